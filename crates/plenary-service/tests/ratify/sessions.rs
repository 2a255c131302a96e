//! Transactions of a session's operations, and the session that an operation belongs to.

use crate::{chain::*, common::*};
use plenary_service::{Session, Simulation, prelude::*};
use plenary_types::{Author, Outcome, Reason};

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
