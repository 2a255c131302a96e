//! The service registry: from method and path to the handler, the same map on every node.

use crate::{
    budget::Limits,
    context::Context,
    extract::{Json, Parts, Rejection},
    handler::boxed,
    service::{Route, Service, SessionRole},
};
use http::StatusCode;
use matchit::{InsertError, Router};
use percent_encoding::percent_decode_str;
use plenary_types::{
    Method, OperationId, Problem, Request, ServiceId, SessionId, Stage,
    limits::{MAX_BODY_BYTES, MAX_NAME_BYTES, MAX_READS},
};
use serde_json::json;
use std::{fmt, sync::Arc};

/// Paths that are the framework's on every node. A path belongs to it too where it continues one
/// of them with a slash.
pub const RESERVED_PATHS: [&str; 4] = ["/plenary/v1", "/metrics", "/livez", "/readyz"];

/// Where a `POST` opens a session of any service. It is the one operation that is the framework's: it
/// answers 201 with the session's name, and is the first of the session's transaction like any other.
pub const OPEN_SESSION: &str = "/plenary/v1/sessions";

/// What is wrong with the declaration of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The name or the version is empty or too long.
    #[error("the service's name and version must have 1 to {MAX_NAME_BYTES} bytes: `{0}`")]
    Name(ServiceId),
    /// A modifier of routes before the first route.
    #[error(".{0}() modifies the last route, and there is none before it")]
    NoRoute(&'static str),
    /// The pattern is no pattern.
    #[error("{route}: {reason}")]
    Pattern {
        /// The route.
        route: RouteName,
        /// What is wrong.
        reason: String,
    },
    /// Two routes answer the same request.
    #[error("{route} clashes with {with}")]
    Clash {
        /// The later route.
        route: RouteName,
        /// The pattern of the earlier.
        with: String,
    },
    /// The route is the framework's.
    #[error("{route}: paths under {prefix} are reserved for the framework")]
    Reserved {
        /// The route.
        route: RouteName,
        /// The reserved path.
        prefix: &'static str,
    },
    /// The role in a session names a parameter that the pattern does not have.
    #[error("{route}: the session is to be named by `{parameter}`, which the pattern has not")]
    NoParameter {
        /// The route.
        route: RouteName,
        /// The parameter.
        parameter: String,
    },
    /// The route has more than one role in a session.
    #[error("{route} has more than one role in a session")]
    Roles {
        /// The route.
        route: RouteName,
    },
    /// A limit is over what a transaction can carry.
    #[error("the service's limit of {what} is {limit}, more than the {most} of the protocol")]
    Limit {
        /// The limit.
        what: &'static str,
        /// What the service declares.
        limit: usize,
        /// The most it may be.
        most: usize,
    },
}

/// A method and a pattern, which name a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteName {
    /// The method.
    pub method: Method,
    /// The pattern.
    pub pattern: String,
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.pattern)
    }
}

impl From<&Route> for RouteName {
    fn from(route: &Route) -> Self {
        Self {
            method: route.method,
            pattern: route.pattern.clone(),
        }
    }
}

/// The routes of a service, ready to look requests up in.
pub(crate) struct Registry {
    pub(crate) service: Arc<Service>,
    /// The framework's own route.
    opening: Route,
    /// By method, from patterns to indexes of the service's routes; `None` is the framework's.
    routers: [Router<Option<usize>>; Method::ALL.len()],
}

impl Service {
    /// Checks the declaration, as every node does at start. Meant for a service's own tests.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn check(self) -> Result<(), ServiceError> {
        Registry::new(Arc::new(self)).map(|_| ())
    }
}

impl Registry {
    pub(crate) fn new(service: Arc<Service>) -> Result<Self, ServiceError> {
        let names = [&service.id.name, &service.id.version];
        if names
            .iter()
            .any(|name| !(1..=MAX_NAME_BYTES).contains(&name.len()))
        {
            return Err(ServiceError::Name(service.id.clone()));
        }
        if let Some(modifier) = service.stray_modifier {
            return Err(ServiceError::NoRoute(modifier));
        }
        check_limits(&service.limits)?;
        let mut routers = std::array::from_fn(|_| Router::new());
        let opening = opening();
        let posts: &mut Router<Option<usize>> = &mut routers[opening.method as usize];
        posts
            .insert(OPEN_SESSION, None)
            .map_err(|error| insert_error(&opening, error))?;
        for (index, route) in service.routes.iter().enumerate() {
            check_route(route)?;
            routers[route.method as usize]
                .insert(route.pattern.as_str(), Some(index))
                .map_err(|error| insert_error(route, error))?;
        }
        Ok(Self {
            service,
            opening,
            routers,
        })
    }

    /// The route of a request.
    ///
    /// # Errors
    ///
    /// 404 `unknown-route` and 405 `method-not-allowed`.
    pub(crate) fn route(&self, request: &Request) -> Result<&Route, Problem> {
        self.at(request.method, request.path())
            .map(|(route, _)| route)
            .ok_or_else(|| self.no_route(request))
    }

    /// The route of a request, and the request in parts.
    pub(crate) fn parts<'a>(
        &'a self,
        request: &'a Request,
    ) -> Result<(&'a Route, Parts<'a>), Problem> {
        Rejection::check(request)?;
        let (route, matched) = self
            .at(request.method, request.path())
            .ok_or_else(|| self.no_route(request))?;
        let mut parameters = Vec::with_capacity(matched.len());
        for (name, value) in matched.iter() {
            let decoded = percent_decode_str(value).decode_utf8();
            let decoded = decoded.map_err(|_| Rejection::PathEncoding(name.to_owned()))?;
            parameters.push((name, decoded));
        }
        Ok((
            route,
            Parts {
                request,
                parameters,
            },
        ))
    }

    fn at<'r, 'p>(
        &'r self,
        method: Method,
        path: &'p str,
    ) -> Option<(&'r Route, matchit::Params<'r, 'p>)> {
        if reserved(path).is_some() && path != OPEN_SESSION {
            return None;
        }
        let found = self.routers[method as usize].at(path).ok()?;
        let route = match found.value {
            Some(index) => self.service.routes.get(*index)?,
            None => &self.opening,
        };
        Some((route, found.params))
    }

    fn no_route(&self, request: &Request) -> Problem {
        let path = request.path();
        let others = Method::ALL.into_iter();
        let others: Vec<_> = others
            .filter(|method| self.at(*method, path).is_some())
            .map(Method::as_str)
            .collect();
        if others.is_empty() {
            let detail = format_args!("{} has no route {path}", self.service.id);
            return Problem::new(404, "unknown-route", detail).at(Stage::Request);
        }
        let others = others.join(", ");
        let detail = format_args!("{path} takes {others}, not {}", request.method);
        Problem::new(405, "method-not-allowed", detail)
            .at(Stage::Request)
            .with("allow", others)
    }

    /// The session that an operation belongs to where it is alone: the one that its path names,
    /// or else its own.
    ///
    /// # Errors
    ///
    /// 400 `invalid-session-id` where the path names none; and where there is no route.
    pub(crate) fn session_of(
        &self,
        request: &Request,
        operation: OperationId,
    ) -> Result<SessionId, Problem> {
        let (route, parts) = self.parts(request)?;
        let Some(parameter) = route.role().and_then(|role| role.parameter()) else {
            return Ok(operation.into());
        };
        let text = parts.parameter(parameter).unwrap_or_default();
        text.parse().map_err(|error| {
            let detail = format_args!("the path names no session: {error}");
            Problem::bad_request("invalid-session-id", detail).at(Stage::Request)
        })
    }
}

/// The route that opens a session of any service.
fn opening() -> Route {
    Route {
        method: Method::Post,
        pattern: OPEN_SESSION.to_owned(),
        roles: vec![SessionRole::Opens],
        operation: true,
        summary: Some("Opens a session".to_owned()),
        takes_json: false,
        handler: boxed(|cx: &mut Context| {
            let session = json!({ "session": cx.session() });
            Ok((StatusCode::CREATED, Json(session)))
        }),
    }
}

fn check_limits(limits: &Limits) -> Result<(), ServiceError> {
    let default = Limits::DEFAULT;
    let bounds = [
        ("recorded reads", limits.reads, MAX_READS),
        (
            "bytes of recorded reads",
            limits.read_key_bytes,
            default.read_key_bytes,
        ),
        ("bytes of a response", limits.response_bytes, MAX_BODY_BYTES),
    ];
    match bounds.into_iter().find(|(_, limit, most)| limit > most) {
        Some((what, limit, most)) => Err(ServiceError::Limit { what, limit, most }),
        None => Ok(()),
    }
}

fn check_route(route: &Route) -> Result<(), ServiceError> {
    if !route.pattern.starts_with('/') {
        return Err(ServiceError::Pattern {
            route: route.into(),
            reason: "a pattern begins with a slash".into(),
        });
    }
    if let Some(prefix) = reserved(&route.pattern) {
        let route = route.into();
        return Err(ServiceError::Reserved { route, prefix });
    }
    if route.roles.len() > 1 {
        let route = route.into();
        return Err(ServiceError::Roles { route });
    }
    if let Some(parameter) = route.role().and_then(|role| role.parameter())
        && !parameters(&route.pattern)
            .iter()
            .any(|name| name == parameter)
    {
        return Err(ServiceError::NoParameter {
            route: route.into(),
            parameter: parameter.to_owned(),
        });
    }
    Ok(())
}

fn insert_error(route: &Route, error: InsertError) -> ServiceError {
    let route = route.into();
    match error {
        InsertError::Conflict { with } => ServiceError::Clash { route, with },
        error => ServiceError::Pattern {
            route,
            reason: error.to_string(),
        },
    }
}

fn reserved(path: &str) -> Option<&'static str> {
    RESERVED_PATHS.into_iter().find(|prefix| {
        let rest = path.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// The names of a pattern's parameters, in order.
pub(crate) fn parameters(pattern: &str) -> Vec<String> {
    // A doubled brace is a literal one.
    let pattern = pattern.replace("{{", "").replace("}}", "");
    let names = pattern.split('{').skip(1);
    let names = names.filter_map(|rest| rest.split_once('}'));
    names
        .map(|(name, _)| name.trim_start_matches('*').to_owned())
        .collect()
}
