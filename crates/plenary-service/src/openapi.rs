//! The service's part of the API's description (OpenAPI 3.1): paths, parameters, roles.
//!
//! Schemas of bodies are not derived: that would ask a second trait of every type an author
//! writes. What a route takes and answers is said in its summary.

use crate::{
    registry::parameters,
    service::{Route, Service, SessionRole},
};
use serde_json::{Map, Value, json};

impl Service {
    /// The `paths` object of an OpenAPI 3.1 document. Errors refer to
    /// `#/components/responses/Problem`, which the document has to define.
    pub fn openapi_paths(&self) -> Value {
        let mut paths: Map<String, Value> = Map::new();
        for route in self.routes() {
            let path = paths.entry(template(route.pattern()));
            let item = path.or_insert_with(|| json!({}));
            item[route.method().as_str().to_ascii_lowercase()] = describe(route);
        }
        Value::Object(paths)
    }
}

/// A pattern as OpenAPI writes it, which has no parameter for the rest of a path.
fn template(pattern: &str) -> String {
    pattern.replace("{*", "{")
}

fn describe(route: &Route) -> Value {
    let parameters: Vec<Value> = parameters(route.pattern())
        .into_iter()
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
        })
        .collect();
    let mut operation = json!({
        "tags": ["service"],
        "parameters": parameters,
        "responses": {
            "2XX": { "description": "the handler's response" },
            "default": { "$ref": "#/components/responses/Problem" },
        },
        "x-plenary-operation": route.is_operation(),
    });
    if let Some(summary) = &route.summary {
        operation["summary"] = json!(summary);
    }
    if route.takes_json {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": {} } } });
    }
    if let Some(role) = route.role() {
        operation["x-plenary-session"] = match role {
            SessionRole::Opens => json!("opens"),
            SessionRole::In { parameter } => json!({ "in": parameter }),
            SessionRole::Commits { parameter } => json!({ "commits": parameter }),
        };
    }
    operation
}
