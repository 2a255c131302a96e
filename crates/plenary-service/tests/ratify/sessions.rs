//! Transactions of a session's operations, and the session that an operation belongs to.

use crate::{chain::*, common::*};
use plenary_service::{Difference, Session, Simulation, prelude::*};
use plenary_types::{Author, Method, Outcome, Reason, Request};

#[test]
fn a_session_runs_on_its_own_writes_and_commits_whole() {
    let mut chain = Chain::new(&[("a", 1)]);
    let operations = chain.session(&["/open", "/deposit/a/1", "/deposit/a/1", "/deposit/b/1"]);
    let bodies: Vec<&[u8]> = operations.iter().map(|it| &it.response.body[..]).collect();
    assert_eq!(bodies[1..], [&b"2"[..], b"3", b"1"]);
    assert!(
        operations[2].reads.is_empty(),
        "its own write is no read of state"
    );
    chain.apply(operations);
    assert_eq!((chain.balance("a"), chain.balance("b")), (Some(3), Some(1)));
}

#[test]
fn a_session_with_one_bad_step_changes_nothing_and_names_the_step() {
    let mut chain = Chain::new(&[("a", 1), ("b", 1)]);
    let mut operations = chain.session(&["/deposit/a/1", "/deposit/b/1", "/deposit/a/1"]);
    operations[1].response.body = "999".into();
    assert_lied(&chain.ratify(operations), 1);

    let operations = chain.session(&["/deposit/a/1", "/deposit/b/1", "/deposit/a/1"]);
    chain.meanwhile("/deposit/b/1");
    assert_eq!(chain.ratify(operations).outcome, conflict(1, &["b"]));
}

#[test]
fn a_stale_read_of_an_earlier_step_excuses_a_later_one() {
    let mut chain = Chain::new(&[("a", 10)]);
    // The first step does not show what it read; the second does, through the session's write.
    let operations = chain.session(&["/withdraw/a/1", "/deposit/a/0"]);
    assert_eq!(operations[1].response.body, "9");
    chain.meanwhile("/withdraw/a/2");
    assert_eq!(chain.ratify(operations).outcome, conflict(1, &["a"]));
}

#[test]
fn a_session_may_be_simulated_while_state_moves_on() {
    let mut chain = Chain::new(&[("a", 1), ("b", 1)]);
    let mut session = None;
    let first = chain.step(&mut session, "/count");
    chain.meanwhile("/deposit/a/1");
    let second = chain.step(&mut session, "/deposit/a/1");
    assert_eq!(second.response.body, "3");
    // The count is the same and the second step is current.
    chain.apply(vec![first, second]);

    let mut session = None;
    let first = chain.step(&mut session, "/deposit/a/1");
    chain.meanwhile("/deposit/b/1");
    let second = chain.step(&mut session, "/deposit/b/1");
    chain.meanwhile("/deposit/a/1");
    assert_eq!(
        chain.ratify(vec![first, second]).outcome,
        conflict(0, &["a"])
    );
}

#[test]
fn steps_in_another_order_are_rejected() {
    let mut chain = Chain::new(&[("a", 1)]);
    let mut operations = chain.session(&["/deposit/a/1", "/deposit/a/5"]);
    operations.swap(0, 1);
    let outcome = chain.ratify(operations).outcome;
    assert!(
        matches!(outcome, Outcome::Rejected { step: 0, .. }),
        "{outcome}"
    );
}

#[test]
fn what_is_no_operation_is_rejected_before_anything_runs() {
    let mut chain = Chain::new(&[("a", 1)]);
    let get = |target: &str| request(plenary_types::Method::Get, target);
    let reserved = post("/plenary/v1/transactions");
    for request in [post("/nowhere"), get("/open"), get("/balance/a"), reserved] {
        let mut operations = chain.session(&["/deposit/a/1", "/deposit/a/1"]);
        operations[1].request = request;
        let ratified = chain.ratify(operations);
        let (step, reason, signer) = (1, Reason::NotAnOperation, originator().public_key());
        assert_eq!(
            ratified.outcome,
            Outcome::Rejected {
                step,
                reason,
                signer
            }
        );
        assert_eq!(ratified.steps, 0);
    }
}

#[test]
fn a_step_of_another_session_is_rejected_where_operations_commit_together() {
    let mut chain = Chain::new(&[]);
    let (stranger, signer) = (SessionId([7; 32]), originator().public_key());
    let rejected = |step| {
        let reason = Reason::OtherSession;
        Outcome::Rejected {
            step,
            reason,
            signer,
        }
    };
    let mut operations = chain.session(&["/open", "/deposit/a/1"]);
    let own = SessionId::from(operations[0].id());
    operations[1].request.target = format!("/note/{stranger}");
    assert_eq!(chain.ratify(operations.clone()).outcome, rejected(1));
    operations[1].request.target = "/note/7".into();
    assert_eq!(chain.ratify(operations.clone()).outcome, rejected(1));
    // Opening another session is no step of this one.
    operations[1].request.target = "/open".into();
    assert_eq!(chain.ratify(operations.clone()).outcome, rejected(1));
    operations[1].request.target = format!("/note/{own}");
    operations[1].response = Response {
        status: 200,
        content_type: "application/json".into(),
        body: "1".into(),
    };
    assert_eq!(chain.ratify(operations).outcome, Outcome::Committed);
}

#[test]
fn a_session_node_refuses_a_step_of_another_session_too() {
    let chain = Chain::new(&[]);
    let mut session = Session::open(SessionId([1; 32]));
    let target = format!("/note/{}", SessionId([2; 32]));
    let author = Author::Anonymous { nonce: "1".into() };
    let simulated = session.simulate(
        &chain.executor,
        chain.view(),
        post(&target),
        author,
        Timestamp(1),
    );
    let Simulation::Refused(problem) = simulated.unwrap() else {
        panic!("answered")
    };
    assert_eq!(problem.code, "other-session");
    assert!(session.writes().is_empty());
}

#[test]
fn alone_a_step_belongs_to_the_session_that_its_path_names() {
    let mut chain = Chain::new(&[]);
    let application = SessionId([7; 32]);
    for notes in ["1", "2"] {
        let operation = chain.simulate(&format!("/note/{application}"));
        assert_eq!(operation.response.body, notes);
        chain.apply(vec![operation]);
    }
    // A path that names none is a refusal, and who claims an answer lies.
    let mut operation = chain.simulate(&format!("/note/{application}"));
    operation.request.target = "/note/7".into();
    assert_lied(&chain.ratify(vec![operation]), 0);
}

#[test]
fn a_session_of_any_service_opens_at_the_frameworks_route() {
    let mut chain = Chain::new(&[("a", 1)]);
    let operations = chain.session(&[plenary_service::OPEN_SESSION, "/deposit/a/1"]);
    let opened = &operations[0];
    let named = format!("{{\"session\":\"{}\"}}", opened.id());
    assert_eq!(
        (opened.response.status, &opened.response.body[..]),
        (201, named.as_bytes())
    );
    chain.apply(operations);
    assert_eq!(chain.balance("a"), Some(2));
}

#[test]
fn another_node_runs_a_session_step_by_step_and_finds_the_first_difference() {
    let mut chain = Chain::new(&[("a", 1)]);
    let operations = chain.session(&["/open", "/deposit/a/1", "/deposit/a/1"]);
    let mut replica = Session::open(operations[0].id().into());
    for operation in &operations[..2] {
        let writes = replica.check(&chain.executor, chain.view(), operation);
        replica.keep(writes.unwrap().unwrap());
    }
    let mut lie = operations[2].clone();
    lie.response.body = "4".into();
    let difference = replica.check(&chain.executor, chain.view(), &lie).unwrap();
    let body = Difference::Body {
        at: 0,
        first: "4".into(),
        second: "3".into(),
    };
    assert_eq!(difference, Err(body));
    let mut unread = operations[1].clone();
    unread.reads.clear();
    let replica = Session::open(operations[0].id().into());
    let difference = replica
        .check(&chain.executor, chain.view(), &unread)
        .unwrap();
    assert!(matches!(difference, Err(Difference::Read { at: 0, .. })));
}

#[test]
fn a_read_in_a_session_sees_what_the_session_wrote() {
    let mut chain = Chain::new(&[("a", 1)]);
    let mut session = None;
    chain.step(&mut session, "/deposit/a/41");
    let session = session.unwrap();
    let request = Request {
        method: Method::Get,
        target: "/balance/a".into(),
        content_type: String::new(),
        body: Default::default(),
    };
    let read = session.read(&chain.executor, chain.view(), &request, Timestamp(2));
    assert_eq!(read.unwrap().response().body, "42");
    let resumed = Session::resume(session.id(), session.writes().clone());
    assert_eq!(resumed, session);
}
