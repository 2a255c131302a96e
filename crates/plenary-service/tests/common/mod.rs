//! Running single operations, without consensus and without signatures.
#![allow(dead_code)]

use plenary_service::{
    ExecuteError, Execution, Executor, OperationContext, Options, StateView, prelude::*,
};
use plenary_types::{Changes, Method, Request, StateKey, Version, Versioned};
use std::sync::Arc;

pub(crate) fn executor(service: Service) -> Executor {
    Executor::new(service, Options::default()).unwrap()
}

pub(crate) fn request(method: Method, target: &str) -> Request {
    Request {
        method,
        target: target.to_owned(),
        content_type: String::new(),
        body: bytes::Bytes::new(),
    }
}

pub(crate) fn post(target: &str) -> Request {
    request(Method::Post, target)
}

pub(crate) fn origin() -> OperationContext {
    let operation = OperationId([9; 32]);
    OperationContext {
        operation,
        session: operation.into(),
        client: None,
        time: Timestamp(1_000),
    }
}

/// Runs an operation on nothing but `view`.
pub(crate) fn run(
    executor: &Executor,
    view: impl StateView + 'static,
    target: &str,
) -> Result<Execution, ExecuteError> {
    executor.execute(Arc::new(view), &Arc::default(), origin(), &post(target))
}

pub(crate) fn nothing() -> Changes {
    Changes::new()
}

pub(crate) fn key(table: &str, key: &[u8]) -> StateKey {
    StateKey::new(table, key).unwrap()
}

/// State of JSON values, all written by the first transaction of block `height`.
pub(crate) fn state<V: serde::Serialize>(
    table: &str,
    height: u64,
    entries: impl IntoIterator<Item = (String, V)>,
) -> Changes {
    let version = Version { height, index: 0 };
    let entry = |(name, value): (String, V)| {
        let value = serde_json::to_vec(&value).unwrap().into();
        let versioned = Versioned { version, value };
        (key(table, name.as_bytes()), Some(versioned))
    };
    entries.into_iter().map(entry).collect()
}

pub(crate) fn code(execution: &Execution) -> (u16, &str) {
    match &execution.answer {
        Ok(response) => (response.status, ""),
        Err(problem) => (problem.status, &problem.code),
    }
}
