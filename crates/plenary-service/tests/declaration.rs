//! What is wrong with a declaration shows at start, not at a request.
#![allow(missing_docs, clippy::unwrap_used)]

use plenary_service::{Limits, RouteName, ServiceError, prelude::*, testing::TestService};
use plenary_types::Method;
use serde_json::json;

fn nothing(_: &mut Context) -> Result<(), Problem> {
    Ok(())
}

fn service() -> Service {
    Service::new("test", "1.0.0")
}

fn route(pattern: &str) -> RouteName {
    RouteName {
        method: Method::Get,
        pattern: pattern.into(),
    }
}

#[test]
fn routes_that_answer_the_same_request_clash() {
    for (one, other) in [("/a", "/a"), ("/a/{x}", "/a/{y}"), ("/{*rest}", "/{*all}")] {
        let error = service().get(one, nothing).get(other, nothing).check();
        let (route, with) = (route(other), one.to_owned());
        assert_eq!(error, Err(ServiceError::Clash { route, with }));
    }
    let apart = service().get("/a", nothing).post("/a", nothing);
    let apart = apart.get("/a/{x}", nothing).get("/a/b", nothing);
    assert_eq!(apart.check(), Ok(()));
}

#[test]
fn the_frameworks_paths_are_reserved() {
    for path in [
        "/plenary/v1",
        "/plenary/v1/status",
        "/plenary/v1/{x}",
        "/metrics",
        "/readyz/x",
    ] {
        let error = service().get(path, nothing).check().unwrap_err();
        assert!(
            matches!(error, ServiceError::Reserved { .. }),
            "{path}: {error}"
        );
    }
    assert_eq!(service().get("/plenary/v10", nothing).check(), Ok(()));
    let mut all = TestService::new(service().get("/{*rest}", nothing));
    all.get("/plenary/v1/status")
        .expect_problem(404, "unknown-route");
    all.get("/plenary").expect(204);
}

#[test]
fn patterns_are_checked() {
    for pattern in ["a", "", "/{x}{y}", "/{", "/{*rest}/a"] {
        let error = service().get(pattern, nothing).check().unwrap_err();
        assert!(
            matches!(error, ServiceError::Pattern { .. }),
            "{pattern}: {error}"
        );
    }
}

#[test]
fn a_role_names_a_parameter_that_the_pattern_has() {
    let error = service()
        .get("/s/{id}", nothing)
        .in_session("session")
        .check();
    let missing = ServiceError::NoParameter {
        route: route("/s/{id}"),
        parameter: "session".into(),
    };
    assert_eq!(error, Err(missing));
    let literal = service()
        .get("/s/{{id}}", nothing)
        .commits_session("id")
        .check();
    assert!(
        matches!(literal, Err(ServiceError::NoParameter { .. })),
        "{literal:?}"
    );
    assert_eq!(
        service().get("/s/{id}", nothing).in_session("id").check(),
        Ok(())
    );
}

#[test]
fn a_route_has_one_role_and_a_modifier_has_a_route() {
    let two = service()
        .get("/{id}", nothing)
        .opens_session()
        .in_session("id");
    let route = route("/{id}");
    assert_eq!(two.check(), Err(ServiceError::Roles { route }));
    let stray = service().opens_session().get("/", nothing);
    assert_eq!(stray.check(), Err(ServiceError::NoRoute("opens_session")));
}

#[test]
fn names_and_limits_have_bounds() {
    for (name, version) in [("", "1"), ("a", ""), (&*"a".repeat(65), "1")] {
        let error = Service::new(name, version).check().unwrap_err();
        assert!(matches!(error, ServiceError::Name(_)), "{error}");
    }
    let response_bytes = Limits::DEFAULT.response_bytes + 1;
    let limits = Limits {
        response_bytes,
        ..Limits::DEFAULT
    };
    let error = service().limits(limits).check().unwrap_err();
    assert!(matches!(error, ServiceError::Limit { .. }), "{error}");
}

#[test]
fn a_get_is_a_read_unless_it_is_declared_otherwise() {
    let service = service()
        .get("/read", nothing)
        .get("/operation", nothing)
        .operation()
        .get("/step/{id}", nothing)
        .in_session("id")
        .post("/post", nothing);
    let kinds: Vec<bool> = service
        .routes()
        .iter()
        .map(|route| route.is_operation())
        .collect();
    assert_eq!(kinds, [false, true, true, true]);
}

#[test]
fn openapi_names_every_route_with_its_parameters_and_role() {
    fn body(_: &mut Context, Json(_): Json<u64>) -> Result<(), Problem> {
        Ok(())
    }
    let paths = service()
        .post("/start", body)
        .opens_session()
        .get("/s/{id}/files/{*path}", nothing)
        .in_session("id")
        .summary("Reads a file")
        .delete("/s/{id}/files/{*path}", nothing)
        .openapi_paths();
    let start = &paths["/start"]["post"];
    assert_eq!(start["x-plenary-session"], "opens");
    assert!(start["requestBody"]["content"]["application/json"].is_object());
    let file = &paths["/s/{id}/files/{path}"]["get"];
    assert_eq!(file["summary"], "Reads a file");
    assert_eq!(file["x-plenary-session"], json!({ "in": "id" }));
    let names = [
        &file["parameters"][0]["name"],
        &file["parameters"][1]["name"],
    ];
    assert_eq!(names, ["id", "path"]);
    assert!(file.get("requestBody").is_none());
    assert!(paths["/s/{id}/files/{path}"]["delete"].is_object());
}
