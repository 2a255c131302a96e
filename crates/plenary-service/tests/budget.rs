//! However a handler misbehaves, it ends in a defined refusal, writes nothing, and hurts nobody.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use plenary_service::{
    ExecuteError, Execution, Executor, StateError, StateView,
    budget::{ACCESS_STEPS, ENTRY_STEPS},
    prelude::*,
    testing::TestService,
};
use plenary_types::{Read, StateKey, Versioned};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

const NUMBERS: Table<String, u64> = Table::new("numbers");

fn limited(limits: Limits, handler: fn(&mut Context) -> Result<(), Problem>) -> Executor {
    let service = Service::new("test", "1").limits(limits);
    executor(service.post("/run", handler).get("/read", handler))
}

fn run_limited(limits: Limits, handler: fn(&mut Context) -> Result<(), Problem>) -> Execution {
    run(&limited(limits, handler), nothing(), "/run").unwrap()
}

fn steps(steps: u64) -> Limits {
    Limits {
        steps,
        ..Limits::DEFAULT
    }
}

fn assert_exhausted(execution: &Execution) {
    assert_eq!(code(execution), (500, "budget-exhausted"), "{execution:?}");
    assert!(execution.writes.is_empty());
}

fn put_for_ever(cx: &mut Context) -> Result<(), Problem> {
    loop {
        // Swallows every error: only an end from below stops it.
        let _ = NUMBERS.put(cx, &"a".into(), &1);
    }
}

#[test]
fn a_loop_over_state_ends_at_the_budget_whatever_it_ignores() {
    let execution = run_limited(Limits::DEFAULT, put_for_ever);
    assert_exhausted(&execution);
    let execution = run_limited(steps(10_000), put_for_ever);
    assert_exhausted(&execution);
    assert_eq!(execution.steps, 10_000);
}

#[test]
fn a_loop_over_data_ends_at_the_budget_where_it_counts_its_steps() {
    fn count(cx: &mut Context) -> Result<(), Problem> {
        loop {
            cx.step();
        }
    }
    assert_exhausted(&run_limited(steps(1_000_000), count));
    fn at_once(cx: &mut Context) -> Result<(), Problem> {
        cx.steps(u64::MAX);
        cx.steps(u64::MAX);
        Ok(())
    }
    assert_exhausted(&run_limited(Limits::DEFAULT, at_once));
}

#[test]
fn the_budget_is_to_the_step() {
    fn get(cx: &mut Context) -> Result<(), Problem> {
        NUMBERS.get(cx, &"a".into()).map(drop)
    }
    let view = || state("numbers", 1, [("a".to_owned(), 12345)]);
    let cost = ACCESS_STEPS + "12345".len() as u64;
    let enough = run(&limited(steps(cost), get), view(), "/run").unwrap();
    assert_eq!((code(&enough), enough.steps), ((204, ""), cost));
    let short = run(&limited(steps(cost - 1), get), view(), "/run").unwrap();
    assert_exhausted(&short);
}

#[test]
fn a_handler_that_catches_its_end_is_ended_all_the_same() {
    fn stubborn(cx: &mut Context) -> Result<(), Problem> {
        NUMBERS.put(cx, &"kept".into(), &1)?;
        let _ = catch_unwind(AssertUnwindSafe(|| put_for_ever(cx)));
        let _ = catch_unwind(AssertUnwindSafe(|| NUMBERS.get(cx, &"a".into())));
        Ok(())
    }
    assert_exhausted(&run_limited(steps(10_000), stubborn));
}

#[test]
fn a_context_that_has_ended_its_handler_never_answers_again() {
    static ANSWERED: AtomicBool = AtomicBool::new(false);
    fn stubborn(cx: &mut Context) -> Result<(), Problem> {
        let write = catch_unwind(AssertUnwindSafe(|| NUMBERS.put(cx, &"a".into(), &1)));
        let read = catch_unwind(AssertUnwindSafe(|| NUMBERS.get(cx, &"a".into())));
        let step = catch_unwind(AssertUnwindSafe(|| cx.step()));
        let answered = write.is_ok() || read.is_ok() || step.is_ok();
        ANSWERED.store(answered, Ordering::SeqCst);
        Ok(())
    }
    let limits = Limits {
        writes: 0,
        ..Limits::DEFAULT
    };
    assert_exhausted(&run_limited(limits, stubborn));
    assert!(!ANSWERED.load(Ordering::SeqCst));
}

#[test]
fn a_scan_costs_an_access_a_page_and_its_entries_and_bytes() {
    fn scan(cx: &mut Context) -> Result<(), Problem> {
        NUMBERS.scan(cx, .., 100).map(drop)
    }
    for (entries, pages) in [(0, 1), (10, 1), (63, 1), (64, 2), (65, 2), (128, 2)] {
        let all = (0..entries).map(|n| (format!("{n:04}"), 1));
        let view = state("numbers", 1, all);
        let execution = run(&limited(Limits::DEFAULT, scan), view, "/run").unwrap();
        let seen = entries.min(100);
        let cost = pages * ACCESS_STEPS + seen * (ENTRY_STEPS + 1);
        assert_eq!(execution.steps, cost, "{entries} entries");
    }
}

#[test]
fn a_destructor_that_goes_on_while_the_handler_ends_does_not_abort_the_node() {
    struct Late<'a>(&'a mut Context);
    impl Drop for Late<'_> {
        fn drop(&mut self) {
            self.0.step();
            assert!(NUMBERS.put(self.0, &"late".into(), &1).is_err());
        }
    }
    fn late(cx: &mut Context) -> Result<(), Problem> {
        let late = Late(cx);
        put_for_ever(late.0)
    }
    assert_exhausted(&run_limited(steps(10_000), late));
}

#[test]
fn writes_have_a_limit_of_keys_and_of_bytes() {
    fn keys(cx: &mut Context) -> Result<(), Problem> {
        (0..11).try_for_each(|key: u64| NUMBERS.put(cx, &key.to_string(), &1))
    }
    let limit = |writes| Limits {
        writes,
        ..Limits::DEFAULT
    };
    assert_exhausted(&run_limited(limit(10), keys));
    assert_eq!(run_limited(limit(11), keys).writes.len(), 11);

    // `numbers`, a zero byte, one byte of key and one of value: 10 bytes a write.
    fn same_key(cx: &mut Context) -> Result<(), Problem> {
        (0..5).try_for_each(|_| NUMBERS.put(cx, &"k".into(), &1))
    }
    let limit = |write_bytes| Limits {
        write_bytes,
        ..Limits::DEFAULT
    };
    assert_exhausted(&run_limited(limit(49), same_key));
    assert_eq!(run_limited(limit(50), same_key).writes.len(), 1);
}

#[test]
fn recorded_reads_have_a_limit_and_are_counted_once() {
    fn read(cx: &mut Context) -> Result<(), Problem> {
        for key in [1, 2, 1, 2, 1] {
            NUMBERS.get(cx, &key.to_string())?;
        }
        NUMBERS.scan(cx, .., 10).map(drop)
    }
    let limit = |reads| Limits {
        reads,
        ..Limits::DEFAULT
    };
    assert_exhausted(&run_limited(limit(2), read));
    assert_eq!(run_limited(limit(3), read).reads.len(), 3);
    let read_key_bytes = 10;
    assert_exhausted(&run_limited(
        Limits {
            read_key_bytes,
            ..Limits::DEFAULT
        },
        read,
    ));
}

#[test]
fn a_response_has_a_limit() {
    fn large(_: &mut Context) -> Result<String, Problem> {
        Ok("a".repeat(11))
    }
    let service = |response_bytes| {
        let limits = Limits {
            response_bytes,
            ..Limits::DEFAULT
        };
        executor(Service::new("test", "1").limits(limits).post("/run", large))
    };
    let execution = run(&service(10), nothing(), "/run").unwrap();
    assert_eq!(code(&execution), (500, "response-too-large"));
    assert_eq!(
        code(&run(&service(11), nothing(), "/run").unwrap()),
        (200, "")
    );
}

#[test]
fn keys_and_values_that_are_too_long_are_refused() {
    const TEXTS: Table<String, String> = Table::new("texts");
    fn long_key(cx: &mut Context) -> Result<(), Problem> {
        TEXTS.get(cx, &"k".repeat(1025)).map(drop)
    }
    fn large_value(cx: &mut Context) -> Result<(), Problem> {
        TEXTS.put(cx, &"k".into(), &"v".repeat(256 * 1024))
    }
    assert_eq!(
        code(&run_limited(Limits::DEFAULT, long_key)),
        (400, "key-too-long")
    );
    assert_eq!(
        code(&run_limited(Limits::DEFAULT, large_value)),
        (500, "value-too-large")
    );
}

#[test]
fn a_scan_of_more_than_the_budget_ends_and_shows_what_it_looked_at() {
    fn scan(cx: &mut Context) -> Result<(), Problem> {
        NUMBERS.scan(cx, .., usize::MAX).map(drop)
    }
    let many = (0..1000).map(|n| (format!("{n:04}"), 1));
    let view = || state("numbers", 1, many.clone());
    let short = steps(3 * ACCESS_STEPS + 150 * ENTRY_STEPS);
    let execution = run(&limited(short, scan), view(), "/run").unwrap();
    assert_exhausted(&execution);
    let [Read::Range { from, to, .. }] = &execution.reads[..] else {
        panic!("{:?}", execution.reads)
    };
    assert_eq!(*from, key("numbers", b""));
    assert_eq!(
        *to,
        key("numbers", b"0191\0"),
        "three pages of 64 were loaded"
    );
    let all = run(&limited(Limits::DEFAULT, scan), view(), "/run").unwrap();
    assert_eq!(code(&all), (204, ""));
}

#[test]
fn a_panic_is_a_refusal_and_its_message_stays_on_the_node() {
    fn panics(cx: &mut Context) -> Result<(), Problem> {
        NUMBERS.put(cx, &"a".into(), &1)?;
        panic!("secret {}", 42);
    }
    let executor = limited(Limits::DEFAULT, panics);
    let execution = run(&executor, nothing(), "/run").unwrap();
    assert_eq!(code(&execution), (500, "handler-panicked"));
    assert!(execution.writes.is_empty());
    let problem = String::from_utf8(execution.response().body.to_vec()).unwrap();
    assert!(!problem.contains("secret"), "{problem}");
    let logged = execution.panic.clone().unwrap();
    assert!(
        logged.contains("secret 42") && logged.contains("budget.rs"),
        "{logged}"
    );
    // Nothing is left behind: the same again, on the same thread and on another.
    assert_eq!(run(&executor, nothing(), "/run").unwrap(), execution);
    let elsewhere = std::thread::spawn(move || run(&executor, nothing(), "/run").unwrap());
    assert_eq!(elsewhere.join().unwrap(), execution);
}

#[test]
fn a_payload_that_panics_when_dropped_does_not_reach_the_node() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    fn bomb(_: &mut Context) -> Result<(), Problem> {
        std::panic::panic_any(Bomb)
    }
    let execution = run_limited(Limits::DEFAULT, bomb);
    assert_eq!(code(&execution), (500, "handler-panicked"));
}

#[test]
fn storage_that_fails_is_no_answer_at_all() {
    struct Broken;
    impl StateView for Broken {
        fn get(&self, _: &StateKey) -> Result<Option<Versioned>, StateError> {
            Err(StateError("disk".into()))
        }
        fn range(
            &self,
            _: &StateKey,
            _: &StateKey,
            _: usize,
        ) -> Result<Vec<(StateKey, Versioned)>, StateError> {
            Err(StateError("disk".into()))
        }
    }
    fn get(cx: &mut Context) -> Result<(), Problem> {
        let _ = NUMBERS.get(cx, &"a".into());
        panic!("the handler went on");
    }
    fn scan(cx: &mut Context) -> Result<(), Problem> {
        let _ = catch_unwind(AssertUnwindSafe(|| NUMBERS.scan(cx, .., 1)));
        Ok(())
    }
    for handler in [get, scan] {
        let result = run(&limited(Limits::DEFAULT, handler), Broken, "/run");
        let disk = ExecuteError::State(StateError("disk".into()));
        assert_eq!(result.unwrap_err(), disk);
    }
}

#[test]
fn a_read_cannot_write() {
    fn writes(cx: &mut Context) -> Result<(), Problem> {
        let _ = NUMBERS.put(cx, &"a".into(), &1);
        Ok(())
    }
    let service = Service::new("test", "1").get("/read", writes);
    let mut network = TestService::new(service);
    network.get("/read").expect_problem(500, "write-in-read");
    assert!(network.state().is_empty());
}

#[test]
fn an_executor_runs_on_any_thread_at_once() {
    fn shared<T: Send + Sync>(_: &T) {}
    let executor = Arc::new(limited(steps(100_000), put_for_ever));
    shared(&executor);
    let threads = (0..4).map(|_| {
        let executor = executor.clone();
        std::thread::spawn(move || run(&executor, nothing(), "/run").unwrap())
    });
    let threads: Vec<_> = threads.collect();
    for thread in threads {
        assert_exhausted(&thread.join().unwrap());
    }
}
