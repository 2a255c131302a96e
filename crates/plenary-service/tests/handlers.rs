//! What handlers take of a request and what clients are told where they cannot.
#![allow(missing_docs, clippy::unwrap_used)]

use plenary_service::{
    prelude::*,
    testing::{TestResponse, TestService},
};
use plenary_types::{
    Method, Request,
    limits::{MAX_BODY_BYTES, MAX_TARGET_BYTES},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

id_type! {
    /// A name of its own.
    struct Name;
}

#[derive(Debug, Serialize, Deserialize)]
struct Place {
    row: u8,
    seat: char,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Red,
    Blue,
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    items: Vec<Place>,
    note: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    from: u64,
    #[serde(default)]
    most: Option<u16>,
}

fn one(_: &mut Context, Path(name): Path<Name>) -> Result<String, Problem> {
    Ok(name.to_string())
}

fn number(_: &mut Context, Path(number): Path<i64>) -> Result<Json<i64>, Problem> {
    Ok(Json(number))
}

fn colour(_: &mut Context, Path(colour): Path<Colour>) -> Result<Json<Colour>, Problem> {
    Ok(Json(colour))
}

fn tuple(_: &mut Context, Path(pair): Path<(Name, u8)>) -> Result<Json<(Name, u8)>, Problem> {
    Ok(Json(pair))
}

fn by_name(_: &mut Context, Path(place): Path<Place>) -> Result<Json<Place>, Problem> {
    Ok(Json(place))
}

fn wrong_arity(_: &mut Context, Path(pair): Path<(u8, u8)>) -> Result<Json<(u8, u8)>, Problem> {
    Ok(Json(pair))
}

fn page(_: &mut Context, Query(page): Query<Page>) -> Result<Json<Page>, Problem> {
    Ok(Json(page))
}

fn order(
    _: &mut Context,
    Path(id): Path<u64>,
    Query(page): Query<Page>,
    Json(order): Json<Order>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    Ok((StatusCode::CREATED, Json(json!([id, page, order]))))
}

fn nothing(_: &mut Context) -> Result<StatusCode, Problem> {
    Ok(StatusCode::RESET_CONTENT)
}

fn on_record(_: &mut Context) -> Result<Problem, Problem> {
    Ok(Problem::conflict(
        "on-record",
        "refused, and it shall be known",
    ))
}

fn odd_refusal(_: &mut Context) -> Result<(), Problem> {
    Err(Problem::new(
        200,
        "odd",
        "a refusal that looks like success",
    ))
}

fn odd_response(_: &mut Context) -> Result<StatusCode, Problem> {
    Ok(StatusCode::CONTINUE)
}

fn network() -> TestService {
    TestService::new(
        Service::new("handlers", "1.0.0")
            .get("/one/{name}", one)
            .get("/number/{n}", number)
            .get("/colour/{c}", colour)
            .get("/tuple/{a}/{b}", tuple)
            .get("/place/{row}/{seat}", by_name)
            .get("/arity/{a}", wrong_arity)
            .get("/page", page)
            .post("/order/{id}", order)
            .delete("/nothing", nothing)
            .post("/on-record", on_record)
            .post("/odd-refusal", odd_refusal)
            .post("/odd-response", odd_response),
    )
}

fn send(network: &mut TestService, content_type: &str, body: impl Into<Vec<u8>>) -> TestResponse {
    network.send(Request {
        method: Method::Post,
        target: "/order/7?from=1".into(),
        content_type: content_type.into(),
        body: body.into().into(),
    })
}

#[test]
fn a_path_is_read_as_what_the_handler_takes() {
    let mut network = network();
    let name = network.get("/one/a%20b%2Fc%C3%A9?x=1");
    assert_eq!(name.response().body, "a b/cé");
    assert_eq!(name.response().content_type, "text/plain; charset=utf-8");
    assert_eq!(network.get("/number/-7").expect(200), -7);
    assert_eq!(network.get("/colour/blue").expect(200), "blue");
    assert_eq!(network.get("/tuple/x/255").expect(200), json!(["x", 255]));
    let place = json!({ "row": 3, "seat": "B" });
    assert_eq!(network.get("/place/3/B").expect(200), place);
}

#[test]
fn a_path_that_is_something_else_is_refused_with_which_parameter() {
    let mut network = network();
    for (target, shows) in [
        ("/number/x", "`n`"),
        ("/number/99999999999999999999", "`n`"),
        ("/tuple/x/256", "`b`"),
        ("/place/3/BB", "`seat`"),
        ("/colour/green", "green"),
        ("/arity/1", "1 parameters"),
        ("/one/%FF", "`name`"),
    ] {
        let detail = network.get(target).expect_problem(400, "invalid-path");
        assert!(detail.contains(shows), "{target}: {detail}");
    }
}

#[test]
fn a_query_is_read_by_name() {
    let mut network = network();
    let page = json!({ "from": 3, "most": 10 });
    assert_eq!(network.get("/page?most=10&from=3").expect(200), page);
    let page = json!({ "from": 3, "most": null });
    assert_eq!(network.get("/page?from=3").expect(200), page);
    for target in ["/page", "/page?from=x", "/page?from=1&most=99999"] {
        network.get(target).expect_problem(400, "invalid-query");
    }
}

#[test]
fn a_json_body_is_taken_with_its_media_type_only() {
    let mut network = network();
    let body = r#"{"items":[{"row":1,"seat":"A"}],"note":null}"#;
    for content_type in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/a+json",
    ] {
        let order: Value = serde_json::from_str(body).unwrap();
        let expected = json!([7, { "from": 1, "most": null }, order]);
        assert_eq!(send(&mut network, content_type, body).expect(201), expected);
    }
    for content_type in ["", "text/plain", "text/json", "application/jsonp"] {
        send(&mut network, content_type, body).expect_problem(415, "unsupported-media-type");
    }
}

#[test]
fn json_that_is_wrong_is_refused_with_its_place() {
    let mut network = network();
    let wrong = "{\n  \"items\": [{ \"row\": 1, \"seat\": \"A\" },\n    { \"row\": 999, \"seat\": \"B\" }]\n}";
    let detail = send(&mut network, "application/json", wrong).expect_problem(422, "invalid-body");
    assert!(
        detail.contains("`items[1].row`") && detail.contains("line 3"),
        "{detail}"
    );
    let deep = "[".repeat(1000);
    for malformed in ["", "{", "{\"items\":[]} x", "\u{1}", &deep] {
        let answer = send(&mut network, "application/json", malformed);
        assert!(
            [400, 422].contains(&answer.status()),
            "{malformed}: {}",
            answer.json()
        );
    }
    send(&mut network, "application/json", [0xFF]).expect_problem(400, "malformed-json");
    send(&mut network, "application/json", "{\"items\":[]} x")
        .expect_problem(400, "malformed-json");
}

#[test]
fn what_is_over_a_bound_is_refused() {
    let mut network = network();
    let long = format!("/one/{}", "a".repeat(MAX_TARGET_BYTES));
    network.get(&long).expect_problem(414, "target-too-long");
    let request = |content_type: &str, bytes| Request {
        method: Method::Get,
        target: "/page?from=1".into(),
        content_type: content_type.into(),
        body: vec![b' '; bytes].into(),
    };
    network
        .send(request("", MAX_BODY_BYTES + 1))
        .expect_problem(413, "body-too-large");
    network.send(request("", MAX_BODY_BYTES)).expect(200);
    network
        .send(request("a\nb", 0))
        .expect_problem(400, "malformed-request");
}

#[test]
fn a_wrong_path_and_a_wrong_method_are_told_apart() {
    let mut network = network();
    network.get("/nowhere").expect_problem(404, "unknown-route");
    network.get("/one/").expect_problem(404, "unknown-route");
    let wrong = network.get("/nothing");
    wrong.expect_problem(405, "method-not-allowed");
    assert_eq!(wrong.json()["allow"], "DELETE");
    assert_eq!(wrong.json()["stage"], "request");
}

#[test]
fn only_an_ok_is_on_record() {
    let mut network = network();
    network
        .post("/on-record", None)
        .expect_problem(409, "on-record");
    assert_eq!(network.height(), 1);
    network
        .post("/odd-refusal", None)
        .expect_problem(500, "odd");
    network
        .post("/odd-response", None)
        .expect_problem(500, "invalid-response");
    assert_eq!(network.height(), 1);
}
