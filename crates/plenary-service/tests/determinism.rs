//! Handlers that are not functions of state, context and request are found by running them twice,
//! and what the context gives is the same everywhere.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use plenary_service::{
    Difference, ExecuteError, Executor, OperationContext, Options, SeedError, prelude::*,
};
use plenary_types::{Genesis, Method, genesis::Member};
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

const NUMBERS: Table<String, u64> = Table::new("numbers");

fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::SeqCst)
}

fn double(service: Service) -> Executor {
    Executor::new(service, Options { double_run: true }).unwrap()
}

/// The difference that is found in a handler at `POST /odd/{x}`, with the whole message.
fn difference<A, H: plenary_service::Handler<A>>(handler: H) -> (Difference, String) {
    let executor = double(Service::new("test", "1").post("/odd/{x}", handler));
    let error = run(&executor, nothing(), "/odd/1").unwrap_err();
    let message = error.to_string();
    assert!(message.contains("POST /odd/{x}"), "{message}");
    match error {
        ExecuteError::Nondeterministic { difference, .. } => (difference, message),
        error => panic!("{error}"),
    }
}

#[test]
fn the_order_of_a_hash_map_is_found_with_the_first_byte_that_differs() {
    fn map(_: &mut Context) -> Result<Json<HashMap<u64, u64>>, Problem> {
        Ok(Json((1000..1064).map(|n| (n, n)).collect()))
    }
    let (difference, message) = difference(map);
    let Difference::Body { at, first, second } = difference else {
        panic!("{message}")
    };
    assert!(at >= 2, "both begin with {{\" and differ later: {message}");
    assert_ne!(first, second);
    assert!(message.contains(&format!("byte {at}")), "{message}");
}

#[test]
fn a_value_that_differs_is_found_with_its_key() {
    fn write(cx: &mut Context) -> Result<(), Problem> {
        NUMBERS.put(cx, &"same".into(), &1)?;
        NUMBERS.put(cx, &"other".into(), &next())
    }
    let key = key("numbers", b"other");
    assert_eq!(difference(write).0, Difference::Write { key });
}

#[test]
fn a_read_that_differs_is_found_with_its_keys() {
    fn read(cx: &mut Context) -> Result<(), Problem> {
        NUMBERS.get(cx, &"same".into())?;
        NUMBERS
            .get(cx, &(next() % 1000 + 1000).to_string())
            .map(drop)
    }
    let (difference, message) = difference(read);
    assert!(
        matches!(difference, Difference::Read { at: 1, .. }),
        "{message}"
    );
    assert!(message.contains("numbers/1"), "{message}");
}

#[test]
fn refusals_statuses_and_steps_that_differ_are_found() {
    fn refuses(_: &mut Context) -> Result<(), Problem> {
        Err(Problem::bad_request("odd", next()))
    }
    assert!(matches!(difference(refuses).0, Difference::Answer { .. }));
    fn status(_: &mut Context) -> Result<StatusCode, Problem> {
        Ok(StatusCode::from_u16(200 + (next() % 300) as u16).unwrap())
    }
    assert!(matches!(difference(status).0, Difference::Head { .. }));
    fn steps(cx: &mut Context) -> Result<(), Problem> {
        cx.steps(next() % 1000 + 1);
        Ok(())
    }
    assert!(matches!(difference(steps).0, Difference::Steps { .. }));
}

#[test]
fn a_genesis_that_differs_is_found() {
    let members = (1..=4).map(|n: u8| Member {
        name: format!("validator-{n}"),
        key: plenary_types::PrivateKey::from_seed([n; 32]).public_key(),
    });
    let service =
        Service::new("test", "1").genesis(|cx, _: &Value| NUMBERS.put(cx, &"odd".into(), &next()));
    let genesis = Genesis::new(
        "test",
        Timestamp(0),
        plenary_types::genesis::ClientSignatures::Required,
        service.id().clone(),
        members.collect(),
        Vec::new(),
        Value::Null,
    );
    let error = double(service).genesis(&genesis.unwrap()).unwrap_err();
    let key = key("numbers", b"odd");
    let difference = Difference::Write { key };
    assert_eq!(error, SeedError::Nondeterministic(difference));
}

/// All that a context gives, twice over.
fn given(cx: &mut Context) -> Result<Json<Vec<String>>, Problem> {
    let mut all = vec![
        format!("{:?} {:?}", cx.now(), cx.client()),
        format!("{} {}", cx.session(), cx.operation()),
    ];
    for _ in 0..2 {
        all.push(cx.new_id("PKG"));
        all.push(cx.random_u64().to_string());
        all.push(format!("{:?}", cx.random_bytes::<40>()));
    }
    Ok(Json(all))
}

#[test]
fn what_a_context_gives_follows_from_the_operation_and_never_repeats() {
    let executor = double(Service::new("test", "1").post("/given", given));
    let give = |origin: OperationContext| {
        let view: Arc<plenary_types::Changes> = Arc::default();
        let execution = executor.execute(view, &Arc::default(), origin, &post("/given"));
        let response = execution.unwrap().answer.unwrap();
        serde_json::from_slice::<Vec<String>>(&response.body).unwrap()
    };
    let first = give(origin());
    assert_eq!(give(origin()), first);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), first.len());

    let mut later = origin();
    later.time = Timestamp(2_000);
    let other_time = give(later);
    assert_ne!(other_time[0], first[0]);
    assert_eq!(other_time[2..], first[2..], "time is no source of numbers");

    let mut other = origin();
    other.operation = OperationId([8; 32]);
    let other = give(other);
    assert!(first[2..].iter().all(|number| !other.contains(number)));
}

#[test]
fn the_numbers_of_an_operation_are_the_same_in_every_version() {
    // A golden vector: networks replay their ledgers on later versions of this crate.
    let executor = double(Service::new("test", "1").post("/given", given));
    let execution = run(&executor, nothing(), "/given").unwrap();
    let all: Vec<String> = serde_json::from_slice(&execution.answer.unwrap().body).unwrap();
    assert_eq!(all[2], "PKG-5XMA89DFYHTQ7TRMPBN04G2CNF");
    assert_eq!(all[3], "15824233622087817597");
}

#[test]
fn an_id_has_its_prefix_and_26_characters_of_base_32() {
    fn id(cx: &mut Context) -> Result<String, Problem> {
        Ok(cx.new_id("PKG"))
    }
    let executor = double(Service::new("test", "1").post("/id", id));
    let body = run(&executor, nothing(), "/id")
        .unwrap()
        .answer
        .unwrap()
        .body;
    let id = std::str::from_utf8(&body)
        .unwrap()
        .strip_prefix("PKG-")
        .unwrap();
    assert_eq!(id.len(), 26);
    let alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    assert!(id.chars().all(|c| alphabet.contains(c)), "{id}");
    assert!(
        id.starts_with(|c| c <= '7'),
        "26 digits have 2 bits to spare: {id}"
    );
}

#[test]
fn a_read_has_a_time_and_no_client() {
    let executor = double(Service::new("test", "1").get("/given", given));
    let read = |now| {
        let view: Arc<plenary_types::Changes> = Arc::default();
        let request = request(Method::Get, "/given");
        executor
            .read(view, &request, Timestamp(now))
            .unwrap()
            .answer
            .unwrap()
    };
    assert_eq!(read(7), read(7));
    let body = String::from_utf8(read(7).body.to_vec()).unwrap();
    assert!(body.contains("Timestamp(7) None"), "{body}");
}
