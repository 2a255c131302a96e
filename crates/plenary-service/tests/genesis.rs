//! What a network starts with, and why it does not start.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use plenary_service::{SeedError, prelude::*};
use plenary_types::{
    Changes, Genesis, PrivateKey, ServiceId, Version, Versioned,
    genesis::{ClientSignatures, Member},
};
use serde_json::{Value, json};

const LARGE: Table<u32, String> = Table::new("large");

fn genesis(service: ServiceId, config: Value) -> Genesis {
    let members = (1..=4).map(|n: u8| Member {
        name: format!("validator-{n}"),
        key: PrivateKey::from_seed([n; 32]).public_key(),
    });
    let (time, clients) = (Timestamp(5), ClientSignatures::Required);
    let members = members.collect();
    Genesis::new("test", time, clients, service, members, Vec::new(), config).unwrap()
}

fn seed(
    config: Value,
    seed: fn(&mut Context, &Value) -> Result<(), Problem>,
) -> Result<Changes, SeedError> {
    let service = Service::new("test", "1.0.0").genesis(seed);
    let genesis = genesis(service.id().clone(), config);
    executor(service).genesis(&genesis)
}

#[test]
fn the_config_becomes_state_at_version_zero() {
    fn from_config(cx: &mut Context, config: &Value) -> Result<(), Problem> {
        assert_eq!((cx.now(), cx.client()), (Timestamp(5), None));
        LARGE.put(cx, &1, &config["one"].to_string())
    }
    let changes = seed(json!({ "one": 1 }), from_config).unwrap();
    let version = Version {
        height: 0,
        index: 0,
    };
    let value = "\"1\"".into();
    let key = key("large", &1u32.to_be_bytes());
    assert_eq!(
        changes,
        Changes::from([(key, Some(Versioned { version, value }))])
    );
}

#[test]
fn no_limit_of_an_operation_holds_for_the_genesis() {
    fn large(cx: &mut Context, _: &Value) -> Result<(), Problem> {
        cx.steps(u64::MAX);
        (0..100).try_for_each(|n| LARGE.put(cx, &n, &"x".repeat(100_000)))
    }
    assert_eq!(seed(Value::Null, large).unwrap().len(), 100);
}

#[test]
fn a_service_without_a_genesis_function_starts_empty() {
    let service = Service::new("test", "1.0.0");
    let genesis = genesis(service.id().clone(), json!({ "ignored": true }));
    assert_eq!(executor(service).genesis(&genesis), Ok(Changes::new()));
}

#[test]
fn another_services_genesis_is_refused() {
    let other = ServiceId {
        name: "test".into(),
        version: "1.0.1".into(),
    };
    let genesis = genesis(other.clone(), Value::Null);
    let error = executor(Service::new("test", "1.0.0"))
        .genesis(&genesis)
        .unwrap_err();
    assert!(
        matches!(&error, SeedError::Service { genesis, .. } if *genesis == other),
        "{error}"
    );
}

#[test]
fn a_config_that_is_refused_or_brings_a_panic_stops_the_network() {
    fn refuses(_: &mut Context, _: &Value) -> Result<(), Problem> {
        Err(Problem::unprocessable(
            "invalid-config",
            "operators are missing",
        ))
    }
    let error = seed(Value::Null, refuses).unwrap_err().to_string();
    assert!(error.contains("operators are missing"), "{error}");
    fn panics(_: &mut Context, _: &Value) -> Result<(), Problem> {
        panic!("no such thing");
    }
    let error = seed(Value::Null, panics).unwrap_err();
    assert!(matches!(&error, SeedError::Panicked(message) if message.contains("no such thing")));
}
