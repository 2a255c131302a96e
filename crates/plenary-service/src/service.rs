//! A service as its author declares it: routes, what they do to a session, and the genesis.

use crate::{
    budget::Limits,
    context::Context,
    handler::{BoxedHandler, Handler, boxed},
};
use plenary_types::{Method, Problem, ServiceId};
use serde_json::Value;
use std::fmt;

/// What a route does to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionRole {
    /// Its operation opens a session, which has the operation's name.
    Opens,
    /// Its operation belongs to the session that a parameter of the path names.
    In {
        /// The parameter.
        parameter: String,
    },
    /// Its operation is the last of the session that a parameter of the path names.
    Commits {
        /// The parameter.
        parameter: String,
    },
}

impl SessionRole {
    /// The parameter of the path that names the session, where the role has one.
    pub fn parameter(&self) -> Option<&str> {
        match self {
            Self::Opens => None,
            Self::In { parameter } | Self::Commits { parameter } => Some(parameter),
        }
    }
}

/// A method and a path pattern with their handler.
pub struct Route {
    pub(crate) method: Method,
    pub(crate) pattern: String,
    pub(crate) roles: Vec<SessionRole>,
    pub(crate) operation: bool,
    pub(crate) summary: Option<String>,
    pub(crate) takes_json: bool,
    pub(crate) handler: BoxedHandler,
}

impl Route {
    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The path's pattern, for example `/session/{id}/validate`.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// What the route does to a session; `None` for nothing.
    pub fn role(&self) -> Option<&SessionRole> {
        self.roles.first()
    }

    /// Whether a request to it is an operation, which layer 1 orders, or a read, which any node
    /// answers from final state: a `GET` without a role in a session is a read unless it is
    /// declared an operation; every other method makes operations.
    pub fn is_operation(&self) -> bool {
        self.operation || !self.roles.is_empty() || self.method != Method::Get
    }

    /// Whether its operation is the last of a session. The final answer to one carries `l1`, see
    /// [`with_l1`](crate::with_l1).
    pub fn commits_session(&self) -> bool {
        matches!(self.role(), Some(SessionRole::Commits { .. }))
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.method, self.pattern, self.roles)
    }
}

pub(crate) type Seed = Box<dyn Fn(&mut Context, &Value) -> Result<(), Problem> + Send + Sync>;

/// A service: what an author writes, and every node of its network runs.
///
/// ```
/// use plenary_service::prelude::*;
///
/// const GREETED: Table<String, u64> = Table::new("greeted");
///
/// fn greet(cx: &mut Context, Path(name): Path<String>) -> Result<String, Problem> {
///     let times = GREETED.get(cx, &name)?.unwrap_or(0) + 1;
///     GREETED.put(cx, &name, &times)?;
///     Ok(format!("Hello {name}, for the {times}. time"))
/// }
///
/// fn service() -> Service {
///     Service::new("greeter", "1.0.0").post("/greet/{name}", greet)
/// }
/// # service().check().unwrap();
/// ```
///
/// What is wrong with a declaration shows at start, as a [`ServiceError`](crate::ServiceError).
pub struct Service {
    pub(crate) id: ServiceId,
    pub(crate) routes: Vec<Route>,
    pub(crate) limits: Limits,
    pub(crate) seed: Option<Seed>,
    pub(crate) default_config: Value,
    pub(crate) stray_modifier: Option<&'static str>,
}

impl Service {
    /// A service without routes. Transactions name the service and the version they ran on; give
    /// every change that can change a response, a read or a write a new version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            id: ServiceId {
                name: name.into(),
                version: version.into(),
            },
            routes: Vec::new(),
            limits: Limits::DEFAULT,
            seed: None,
            default_config: Value::Object(serde_json::Map::new()),
            stray_modifier: None,
        }
    }

    /// The service's name and version.
    pub fn id(&self) -> &ServiceId {
        &self.id
    }

    /// The routes, in the order of their declaration.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The config that a new network's genesis has unless someone writes another.
    pub fn config(&self) -> &Value {
        &self.default_config
    }

    /// Routes a `GET`: a read, unless [`operation`](Self::operation) or a role in a session says
    /// otherwise. Patterns are literal but for `{name}`, which takes one segment of the path, and
    /// `{*name}`, which takes the rest.
    #[must_use]
    pub fn get<A, H: Handler<A>>(self, pattern: &str, handler: H) -> Self {
        self.route(Method::Get, pattern, handler)
    }

    /// Routes a `POST`; see [`get`](Self::get) for patterns.
    #[must_use]
    pub fn post<A, H: Handler<A>>(self, pattern: &str, handler: H) -> Self {
        self.route(Method::Post, pattern, handler)
    }

    /// Routes a `PUT`; see [`get`](Self::get) for patterns.
    #[must_use]
    pub fn put<A, H: Handler<A>>(self, pattern: &str, handler: H) -> Self {
        self.route(Method::Put, pattern, handler)
    }

    /// Routes a `PATCH`; see [`get`](Self::get) for patterns.
    #[must_use]
    pub fn patch<A, H: Handler<A>>(self, pattern: &str, handler: H) -> Self {
        self.route(Method::Patch, pattern, handler)
    }

    /// Routes a `DELETE`; see [`get`](Self::get) for patterns.
    #[must_use]
    pub fn delete<A, H: Handler<A>>(self, pattern: &str, handler: H) -> Self {
        self.route(Method::Delete, pattern, handler)
    }

    fn route<A, H: Handler<A>>(mut self, method: Method, pattern: &str, handler: H) -> Self {
        self.routes.push(Route {
            method,
            pattern: pattern.to_owned(),
            roles: Vec::new(),
            operation: false,
            summary: None,
            takes_json: H::TAKES_JSON,
            handler: boxed(handler),
        });
        self
    }

    /// The last route opens a session, named like the operation that opened it.
    #[must_use]
    pub fn opens_session(self) -> Self {
        self.modify("opens_session", |route| {
            route.roles.push(SessionRole::Opens)
        })
    }

    /// The last route is a step of the session that the path's `parameter` names.
    #[must_use]
    pub fn in_session(self, parameter: &str) -> Self {
        let parameter = parameter.to_owned();
        let role = SessionRole::In { parameter };
        self.modify("in_session", |route| route.roles.push(role))
    }

    /// The last route is the last step of the session that the path's `parameter` names.
    #[must_use]
    pub fn commits_session(self, parameter: &str) -> Self {
        let parameter = parameter.to_owned();
        let role = SessionRole::Commits { parameter };
        self.modify("commits_session", |route| route.roles.push(role))
    }

    /// The last route makes operations although it is a `GET` outside any session.
    #[must_use]
    pub fn operation(self) -> Self {
        self.modify("operation", |route| route.operation = true)
    }

    /// Says in one line what the last route does, for the API's description.
    #[must_use]
    pub fn summary(self, summary: &str) -> Self {
        self.modify("summary", |route| route.summary = Some(summary.to_owned()))
    }

    fn modify(mut self, modifier: &'static str, change: impl FnOnce(&mut Route)) -> Self {
        match self.routes.last_mut() {
            Some(route) => change(route),
            None => self.stray_modifier = Some(modifier),
        }
        self
    }

    /// Bounds each operation by `limits` instead of [`Limits::DEFAULT`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Seeds the state of a new network from the `config` of its genesis. A problem stops the
    /// network before it starts.
    #[must_use]
    pub fn genesis(
        mut self,
        seed: impl Fn(&mut Context, &Value) -> Result<(), Problem> + Send + Sync + 'static,
    ) -> Self {
        self.seed = Some(Box::new(seed));
        self
    }

    /// The `config` to write into the genesis of a new network, for people to edit.
    #[must_use]
    pub fn default_config(mut self, config: Value) -> Self {
        self.default_config = config;
        self
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({}, {:?})", self.id, self.routes)
    }
}
