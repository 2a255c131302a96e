//! Clients that make handlers panic cannot fill the node's standard error. A process of its own,
//! because the panic hook is the process's.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use plenary_service::prelude::*;
use std::{
    panic,
    sync::atomic::{AtomicUsize, Ordering},
};

static HEARD: AtomicUsize = AtomicUsize::new(0);

fn panics(_: &mut Context) -> Result<(), Problem> {
    panic!("as often as a client likes");
}

fn spends(cx: &mut Context) -> Result<(), Problem> {
    cx.steps(u64::MAX);
    Ok(())
}

#[test]
fn the_panic_hook_hears_of_panics_outside_handlers_only() {
    panic::set_hook(Box::new(|_| {
        HEARD.fetch_add(1, Ordering::SeqCst);
    }));
    let service = Service::new("test", "1").post("/panics", panics);
    let executor = executor(service.post("/spends", spends));
    for (target, expected) in [
        ("/panics", "handler-panicked"),
        ("/spends", "budget-exhausted"),
        ("/panics", "handler-panicked"),
    ] {
        let execution = run(&executor, nothing(), target).unwrap();
        assert_eq!(code(&execution), (500, expected));
    }
    assert_eq!(HEARD.load(Ordering::SeqCst), 0);
    panic::catch_unwind(|| panic!("outside")).unwrap_err();
    assert_eq!(HEARD.load(Ordering::SeqCst), 1);
}
