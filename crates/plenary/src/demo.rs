//! The demo of a service: a workflow its author gives, which the command `demo` shows and `bench`
//! measures.

use bytes::Bytes;
use plenary_types::{Method, Request};
use serde_json::Value;
use std::sync::OnceLock;

/// A workflow: requests in order, each made of the answers to earlier ones.
///
/// ```
/// use plenary::prelude::*;
/// use serde_json::json;
///
/// let demo = Demo::new()
///     .step("Open", |_| Ok(Call::post("/accounts").json(json!({ "owner": "Ada" }))))
///     .step("Balance", |answers| {
///         let id = answers.text("Open", "/id")?;
///         Ok(Call::get(format!("/accounts/{id}")))
///     });
/// ```
#[derive(Default)]
pub struct Demo {
    pub(crate) steps: Vec<Step>,
}

/// One request of a demo.
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) call: MakeCall,
}

type MakeCall = Box<dyn Fn(&Answers) -> Result<Call, MissingAnswer> + Send + Sync>;

impl Demo {
    /// A demo without steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step: its name, which later steps ask for its answer by, and how its request is
    /// made.
    #[must_use]
    pub fn step(
        mut self,
        name: impl Into<String>,
        call: impl Fn(&Answers) -> Result<Call, MissingAnswer> + Send + Sync + 'static,
    ) -> Self {
        self.steps.push(Step {
            name: name.into(),
            call: Box::new(call),
        });
        self
    }
}

/// A request of a demo's step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub(crate) request: Request,
}

impl Call {
    /// A request without a body. The target is the path and, where there is one, the query.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            request: Request {
                method,
                target: target.into(),
                content_type: String::new(),
                body: Bytes::new(),
            },
        }
    }

    /// A `GET` request.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new(Method::Get, target)
    }

    /// A `POST` request.
    pub fn post(target: impl Into<String>) -> Self {
        Self::new(Method::Post, target)
    }

    /// The request with a JSON body.
    #[must_use]
    pub fn json(mut self, body: Value) -> Self {
        self.request.content_type = "application/json".into();
        self.request.body = body.to_string().into();
        self
    }
}

/// The answers to a demo's earlier steps.
#[derive(Debug, Default)]
pub struct Answers {
    answers: Vec<Answered>,
}

/// The answer to one step.
#[derive(Debug)]
struct Answered {
    step: String,
    body: Bytes,
    /// The body's JSON, read when it is first asked for: most answers never are.
    value: OnceLock<Value>,
}

impl Answered {
    fn value(&self) -> &Value {
        self.value.get_or_init(|| {
            serde_json::from_slice(&self.body).unwrap_or_else(|_| {
                // An answer that is no JSON is a text, which the empty pointer names.
                Value::String(String::from_utf8_lossy(&self.body).into_owned())
            })
        })
    }
}

/// A step asked for what no earlier answer has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer to step `{step}` has no `{pointer}`")]
pub struct MissingAnswer {
    /// The earlier step.
    pub step: String,
    /// What was asked of its answer.
    pub pointer: String,
}

impl Answers {
    /// A value in the body that answered the step `step`, by JSON pointer (RFC 6901): `/items/0`.
    ///
    /// # Errors
    ///
    /// Where there is no such step before this one, or no such value in its answer.
    pub fn value(&self, step: &str, pointer: &str) -> Result<&Value, MissingAnswer> {
        let answered = self.answers.iter().find(|answered| answered.step == step);
        answered
            .and_then(|answered| answered.value().pointer(pointer))
            .ok_or_else(|| MissingAnswer {
                step: step.to_owned(),
                pointer: pointer.to_owned(),
            })
    }

    /// The same value as text: a string as it is, a number or a truth value as JSON writes it.
    ///
    /// # Errors
    ///
    /// Where there is no such value, or it has another type.
    pub fn text(&self, step: &str, pointer: &str) -> Result<String, MissingAnswer> {
        match self.value(step, pointer)? {
            Value::String(text) => Ok(text.clone()),
            value @ (Value::Number(_) | Value::Bool(_)) => Ok(value.to_string()),
            _ => Err(MissingAnswer {
                step: step.to_owned(),
                pointer: pointer.to_owned(),
            }),
        }
    }

    pub(crate) fn add(&mut self, step: &str, body: Bytes) {
        self.answers.push(Answered {
            step: step.to_owned(),
            body,
            value: OnceLock::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_step_takes_what_it_needs_from_earlier_answers() {
        let mut answers = Answers::default();
        answers.add(
            "Create",
            Bytes::from_static(br#"{"id":"PKG-1","count":2,"items":[{"name":"bolt"}]}"#),
        );
        answers.add("Greet", Bytes::from_static(b"hello"));
        assert_eq!(answers.text("Create", "/id").unwrap(), "PKG-1");
        assert_eq!(answers.text("Create", "/count").unwrap(), "2");
        assert_eq!(answers.text("Create", "/items/0/name").unwrap(), "bolt");
        assert_eq!(answers.text("Greet", "").unwrap(), "hello");
    }

    #[test]
    fn what_no_answer_has_is_named() {
        let mut answers = Answers::default();
        answers.add("Create", Bytes::from_static(br#"{"items":[]}"#));
        for (step, pointer) in [("Create", "/id"), ("Create", "/items"), ("Start", "/id")] {
            let error = answers.text(step, pointer).unwrap_err().to_string();
            assert!(error.contains(step) && error.contains(pointer), "{error}");
        }
    }
}
