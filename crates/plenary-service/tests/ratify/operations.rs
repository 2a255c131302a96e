//! Transactions of one operation, but for what a session shows best.

use crate::{chain::*, common::*};
use plenary_service::{Simulation, prelude::*, ratify::MAX_CONFLICT_KEYS};
use plenary_types::{Author, Changes, Outcome, Read, Request, Version, Versioned};
use std::sync::Arc;

#[test]
fn responses_that_agree_on_current_state_commit_with_their_version() {
    let mut chain = Chain::new(&[("a", 1)]);
    let operation = chain.simulate("/deposit/a/2");
    assert_eq!(operation.response.body, "3");
    let ratified = chain.ratify(vec![operation]);
    assert_eq!(ratified.outcome, Outcome::Committed);
    assert!(ratified.steps > 0);
    let version = Version {
        height: 1,
        index: 0,
    };
    let value = "3".into();
    let changes = Changes::from([(account("a"), Some(Versioned { version, value }))]);
    assert_eq!(ratified.changes, changes);
}

#[test]
fn stale_reads_with_agreeing_responses_commit_on_current_state() {
    let mut chain = Chain::new(&[("a", 10)]);
    let operation = chain.simulate("/withdraw/a/3");
    chain.meanwhile("/withdraw/a/4");
    chain.apply(vec![operation]);
    assert_eq!(chain.balance("a"), Some(3), "re-executed, not copied");
}

#[test]
fn a_stale_read_and_a_response_that_differs_is_a_conflict_that_names_the_key() {
    let mut chain = Chain::new(&[("a", 1), ("b", 1)]);
    let operation = chain.simulate("/deposit/a/2");
    chain.meanwhile("/deposit/a/5");
    let ratified = chain.ratify(vec![operation]);
    assert_eq!(ratified.outcome, conflict(0, &["a"]));
    assert!(ratified.changes.is_empty());
}

#[test]
fn a_refusal_on_current_state_is_a_conflict_too() {
    let mut chain = Chain::new(&[("a", 10)]);
    let operation = chain.simulate("/withdraw/a/8");
    chain.meanwhile("/withdraw/a/5");
    assert_eq!(chain.ratify(vec![operation]).outcome, conflict(0, &["a"]));
    let operation = chain.simulate("/fragile");
    chain.meanwhile("/deposit/a/500");
    assert_eq!(chain.ratify(vec![operation]).outcome, conflict(0, &["a"]));
}

#[test]
fn a_wrong_response_on_current_state_is_rejected_with_who_signed_it() {
    let mut chain = Chain::new(&[("a", 1)]);
    let operation = wrong(chain.simulate("/deposit/a/2"));
    assert_lied(&chain.ratify(vec![operation]), 0);
    // Also where the handler refuses, or never ran, and where only the head is wrong.
    let mut operation = chain.simulate("/deposit/a/2");
    operation.request.target = "/withdraw/a/999".into();
    assert_lied(&chain.ratify(vec![operation]), 0);
    for forge in [
        |response: &mut Response| response.status = 201,
        |response: &mut Response| {
            response.content_type = "text/plain".into();
        },
    ] {
        let mut operation = chain.simulate("/deposit/a/2");
        forge(&mut operation.response);
        assert_lied(&chain.ratify(vec![operation]), 0);
    }
}

#[test]
fn a_lie_on_stale_reads_cannot_be_told_from_a_conflict_and_changes_nothing() {
    let mut chain = Chain::new(&[("a", 1)]);
    let operation = wrong(chain.simulate("/deposit/a/2"));
    chain.meanwhile("/deposit/a/5");
    assert_eq!(chain.ratify(vec![operation]).outcome, conflict(0, &["a"]));
}

#[test]
fn made_up_reads_are_no_excuse_for_a_wrong_response() {
    let mut chain = Chain::new(&[("a", 1), ("b", 1)]);
    chain.meanwhile("/deposit/b/1");
    chain.meanwhile("/deposit/a/1");
    let genesis = Some(Version::default());
    let current = Some(Version {
        height: 2,
        index: 0,
    });
    let key = |name: &str, version| Read::Key {
        key: account(name),
        version,
    };
    let of = |reads: Vec<Read>| reads;
    for (why, reads) in [
        ("none at all", of(vec![])),
        (
            "a stale read of a key that the handler never reads",
            of(vec![key("b", genesis)]),
        ),
        (
            "the same before the right one",
            of(vec![key("b", genesis), key("a", current)]),
        ),
        (
            "the same after the right one",
            of(vec![key("a", current), key("b", genesis)]),
        ),
        (
            "a version that is yet to come",
            of(vec![key(
                "a",
                Some(Version {
                    height: 9,
                    index: 0,
                }),
            )]),
        ),
        (
            "a version within the block that is newer",
            of(vec![key(
                "a",
                Some(Version {
                    height: 2,
                    index: 1,
                }),
            )]),
        ),
        (
            "a range instead of the key",
            of(vec![Read::Range {
                from: account("a"),
                to: account("b"),
                digest: plenary_types::Digest([0; 32]),
            }]),
        ),
    ] {
        let mut operation = wrong(chain.simulate("/deposit/a/2"));
        operation.reads = reads;
        let ratified = chain.ratify(vec![operation]);
        assert!(
            matches!(ratified.outcome, Outcome::Rejected { .. }),
            "{why}: {}",
            ratified.outcome
        );
    }
}

#[test]
fn a_record_that_leaves_out_a_read_is_made_up_even_where_the_rest_is_stale() {
    let mut chain = Chain::new(&[("a", 500), ("b", 1)]);
    let mut rich = chain.simulate("/rich");
    let mut session = chain.session(&["/deposit/a/1", "/deposit/b/1"]);
    chain.meanwhile("/deposit/b/1");
    assert_eq!(
        chain.ratify(vec![rich.clone()]).outcome,
        conflict(0, &["b"])
    );
    assert_eq!(chain.ratify(session.clone()).outcome, conflict(1, &["b"]));
    rich.reads.remove(0);
    assert_lied(&chain.ratify(vec![rich]), 0);
    session[0].reads.clear();
    assert_lied(&chain.ratify(session), 1);
}

#[test]
fn a_version_to_come_of_a_key_that_is_gone_is_a_lie_and_an_old_one_is_stale() {
    let mut chain = Chain::new(&[("a", 1)]);
    let honest = chain.simulate("/deposit/a/2");
    chain.meanwhile("/close/a");
    let mut liar = honest.clone();
    let version = Some(chain.next());
    liar.reads = vec![Read::Key {
        key: account("a"),
        version,
    }];
    assert_eq!(chain.ratify(vec![honest]).outcome, conflict(0, &["a"]));
    assert_lied(&chain.ratify(vec![liar]), 0);
}

#[test]
fn a_phantom_in_a_range_is_seen_and_one_outside_is_not() {
    let mut chain = Chain::new(&[("a", 1), ("b", 1)]);
    let operation = chain.simulate("/count");
    chain.meanwhile("/deposit/c/1");
    assert_eq!(chain.ratify(vec![operation]).outcome, conflict(0, &[""]));

    let names: Vec<String> = ('a'..='k').map(String::from).collect();
    let accounts: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut chain = Chain::new(&accounts);
    let operation = wrong(chain.simulate("/count"));
    chain.meanwhile("/deposit/z/1");
    // The first ten are still the first ten: nothing that was looked at has changed.
    assert_lied(&chain.ratify(vec![operation]), 0);
}

#[test]
fn a_range_that_grew_over_the_budget_is_a_conflict_and_no_lie() {
    let mut chain = Chain::new(&[("a", 1)]);
    let operation = chain.simulate("/sum");
    let many = (0..500).map(|n| (format!("n{n}"), 1));
    chain.state.extend(state("accounts", 1, many));
    chain.height = 1;
    assert_eq!(chain.ratify(vec![operation]).outcome, conflict(0, &[""]));
}

#[test]
fn a_change_that_leads_the_handler_elsewhere_is_a_conflict_on_what_led_it() {
    let mut chain = Chain::new(&[("a", 1), ("b", 7)]);
    let poor = chain.simulate("/rich");
    chain.meanwhile("/deposit/a/500");
    let rich = chain.simulate("/rich");
    assert_eq!(chain.ratify(vec![poor]).outcome, conflict(0, &["a"]));
    chain.meanwhile("/withdraw/a/500");
    chain.meanwhile("/deposit/b/1");
    assert_eq!(chain.ratify(vec![rich]).outcome, conflict(0, &["a"]));
}

#[test]
fn an_originator_is_refused_what_is_no_operation() {
    let chain = Chain::new(&[]);
    let simulate = |request: Request| {
        let author = Author::Anonymous { nonce: "1".into() };
        let simulated = chain
            .executor
            .simulate(chain.view(), request, author, Timestamp(1));
        match simulated.unwrap() {
            Simulation::Refused(problem) => problem.code.clone(),
            Simulation::Answered(operation) => panic!("{operation:?}"),
        }
    };
    assert_eq!(simulate(post("/nowhere")), "unknown-route");
    let read = request(plenary_types::Method::Get, "/balance/a");
    assert_eq!(simulate(read), "not-an-operation");
    assert_eq!(simulate(post("/note/7")), "invalid-session-id");
    assert_eq!(simulate(post("/withdraw/a/1")), "overdrawn");
}

#[test]
fn a_conflict_names_a_bounded_number_of_keys() {
    let limits = Limits {
        steps: 1_000_000,
        ..Limits::DEFAULT
    };
    fn many(cx: &mut Context) -> Result<Json<u64>, Problem> {
        let mut sum = 0;
        for n in 0..200 {
            sum += ACCOUNTS.get(cx, &format!("n{n:03}"))?.unwrap_or(0);
        }
        Ok(Json(sum))
    }
    let mut chain = Chain::new(&[]);
    chain.executor = Arc::new(executor(
        Service::new("bank", "1.0.0")
            .limits(limits)
            .post("/many", many),
    ));
    let operation = chain.simulate("/many");
    chain.state = state("accounts", 1, (0..200).map(|n| (format!("n{n:03}"), 1)));
    chain.height = 1;
    let Outcome::Conflict { keys, .. } = chain.ratify(vec![operation]).outcome else {
        panic!("no conflict")
    };
    assert_eq!(keys.len(), MAX_CONFLICT_KEYS);
    assert!(keys.is_sorted());
}
