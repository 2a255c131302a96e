//! Whole runs, small ones.

#![allow(clippy::unwrap_used)]

use super::{
    experiment::{Measured, Plan},
    matrix::Matrix,
    setup::Setup,
};
use crate::{demo::Call, demo::Demo};
use plenary_service::prelude::*;
use plenary_session::participation::Participation;
use serde_json::json;
use std::{sync::Arc, time::Duration};

const VOTES: Table<SessionId, u64> = Table::new("votes");

/// The first operation of a sitting, or a vote outside of any.
fn begin(cx: &mut Context) -> Result<Json<serde_json::Value>, Problem> {
    let id = cx.session();
    VOTES.put(cx, &id, &0)?;
    Ok(Json(json!({ "id": id })))
}

fn vote(cx: &mut Context, Path(id): Path<SessionId>) -> Result<Json<u64>, Problem> {
    let votes = VOTES.get(cx, &id)?.unwrap_or(0) + 1;
    VOTES.put(cx, &id, &votes)?;
    Ok(Json(votes))
}

fn assembly() -> Service {
    Service::new("assembly", "1.0.0")
        .post("/votes", begin)
        .post("/sittings", begin)
        .opens_session()
        .post("/sittings/{id}", vote)
        .in_session("id")
        .post("/sittings/{id}/end", vote)
        .commits_session("id")
}

fn workflow() -> Demo {
    Demo::new()
        .step("Vote alone", |_| Ok(Call::post("/votes")))
        .step("Open", |_| Ok(Call::post("/sittings")))
        .step("Vote", |answers| {
            let id = answers.text("Open", "/id")?;
            Ok(Call::post(format!("/sittings/{id}")))
        })
        .step("End", |answers| {
            let id = answers.text("Open", "/id")?;
            Ok(Call::post(format!("/sittings/{id}/end")))
        })
}

fn setup(matrix: &str, validators: usize, crashed: usize) -> Setup {
    Setup {
        service: Arc::new(assembly()),
        matrix: Matrix::preset(matrix).unwrap().unwrap(),
        validators,
        crashed,
        participation: Participation::Own,
        jitter: Duration::ZERO,
        seed: 3,
    }
}

fn measure(setup: Setup, rounds: u32) -> Measured {
    let plan = Plan {
        sites: (0..setup.matrix.sites.len()).collect(),
        demo: &workflow(),
        rounds,
        overlapping: false,
        setup,
    };
    plan.run(|| {}).unwrap()
}

/// No commit is faster than any could be, and none takes more than 1.15 times as long.
fn check(measured: &Measured) {
    let workflows = measured.matrix.sites.len() * 4;
    assert_eq!(measured.commits.len(), 2 * workflows);
    assert!(measured.commits.iter().any(|commit| commit.near));
    for commit in &measured.commits {
        // Turns of the event loop take a little time.
        assert!((1.0..=1.15).contains(&commit.ratio()), "{commit:?}");
    }
    assert_eq!(measured.answered.len(), 2 * workflows);
    for step in &measured.answered {
        assert!(step.latency_ms >= step.minimum_ms, "{step:?}");
        assert!(step.latency_ms <= 1.01 * step.minimum_ms, "{step:?}");
    }
}

#[test]
fn a_commit_takes_hardly_longer_than_its_hops() {
    for (matrix, validators) in [("globe", 4), ("continent", 7), ("region", 4)] {
        check(&measure(setup(matrix, validators, 0), 4));
    }
}

#[test]
fn as_many_crashed_validators_as_the_network_bears_are_passed_over() {
    check(&measure(setup("globe", 4, 1), 4));
    // Two that crashed lead one after the other here. Their views are given up in turn, each with a
    // round of votes, which what is sent just after the view before them may have to wait for.
    let measured = measure(setup("globe", 7, 2), 4);
    let late = measured
        .commits
        .iter()
        .filter(|commit| commit.ratio() > 1.15);
    assert!(late.count() * 5 < measured.commits.len());
    let least = measured
        .commits
        .iter()
        .map(super::experiment::Commit::ratio);
    assert!(least.fold(f64::MAX, f64::min) >= 1.0);
}

#[test]
fn where_a_step_needs_others_it_takes_a_round_trip_to_the_nearest() {
    let mut setup = setup("globe", 4, 0);
    setup.participation = Participation::Majority;
    let measured = measure(setup, 1);
    for step in &measured.answered {
        assert!(step.minimum_ms > 50.0);
        let off = (step.latency_ms - step.minimum_ms).abs();
        assert!(off < 0.01, "{step:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_numbers_and_another_one_others() {
    let numbers = |seed| {
        let mut setup = setup("continent", 4, 1);
        setup.jitter = Duration::from_millis(2);
        setup.seed = seed;
        measure(setup, 2)
    };
    let once = numbers(1);
    assert_eq!(once, numbers(1));
    assert_ne!(once, numbers(2));
}
