//! What layer 1 decides of a transaction: committed, conflict or rejected, by invariants 4 and 5.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::*;
use plenary_service::{
    Executor, Ratification, Session, Simulation, StateView, prelude::*, ratify::MAX_CONFLICT_KEYS,
};
use plenary_types::{
    Author, Changes, GenesisHash, Operation, Outcome, PrivateKey, Read, Reason, Request, ServiceId,
    Transaction, Version, Versioned,
};
use std::sync::Arc;

const ACCOUNTS: Table<String, u64> = Table::new("accounts");
const LOG: Table<SessionId, u64> = Table::new("log");

type Amount = (String, u64);

/// Adds to an account and says what it has then.
fn deposit(cx: &mut Context, Path((name, amount)): Path<Amount>) -> Result<Json<u64>, Problem> {
    let balance = ACCOUNTS.get(cx, &name)?.unwrap_or(0) + amount;
    ACCOUNTS.put(cx, &name, &balance)?;
    Ok(Json(balance))
}

/// Takes from an account where there is enough, and does not say how much is left.
fn withdraw(cx: &mut Context, Path((name, amount)): Path<Amount>) -> Result<(), Problem> {
    let balance = ACCOUNTS.get(cx, &name)?.unwrap_or(0);
    let left = balance.checked_sub(amount);
    let left = left.ok_or_else(|| Problem::conflict("overdrawn", "there is not enough"))?;
    ACCOUNTS.put(cx, &name, &left)
}

fn close(cx: &mut Context, Path(name): Path<String>) -> Result<(), Problem> {
    ACCOUNTS.delete(cx, &name)
}

/// Counts the accounts, up to ten.
fn count(cx: &mut Context) -> Result<Json<usize>, Problem> {
    Ok(Json(ACCOUNTS.scan(cx, .., 10)?.len()))
}

/// Reads one account, and another only where the first is rich.
fn rich(cx: &mut Context) -> Result<Json<u64>, Problem> {
    match ACCOUNTS.get(cx, &"a".into())?.unwrap_or(0) {
        rich if rich > 100 => Ok(Json(ACCOUNTS.get(cx, &"b".into())?.unwrap_or(0))),
        poor => Ok(Json(poor)),
    }
}

/// Sums all accounts; more than some hundreds are over the budget of this service.
fn sum(cx: &mut Context) -> Result<Json<u64>, Problem> {
    let all = ACCOUNTS.scan(cx, .., usize::MAX)?;
    Ok(Json(all.iter().map(|(_, balance)| balance).sum()))
}

fn note(cx: &mut Context, Path(id): Path<SessionId>) -> Result<Json<u64>, Problem> {
    assert_eq!(
        id,
        cx.session(),
        "the path names the session that the context has"
    );
    let notes = LOG.get(cx, &id)?.unwrap_or(0) + 1;
    LOG.put(cx, &id, &notes)?;
    Ok(Json(notes))
}

fn open(cx: &mut Context) -> Result<Json<SessionId>, Problem> {
    Ok(Json(cx.session()))
}

fn panics_when_rich(cx: &mut Context) -> Result<(), Problem> {
    assert!(
        ACCOUNTS.get(cx, &"a".into())?.unwrap_or(0) < 100,
        "too rich"
    );
    Ok(())
}

fn bank() -> Arc<Executor> {
    let limits = Limits {
        steps: 20_000,
        ..Limits::DEFAULT
    };
    let service = Service::new("bank", "1.0.0")
        .limits(limits)
        .post("/open", open)
        .opens_session()
        .post("/deposit/{name}/{amount}", deposit)
        .post("/withdraw/{name}/{amount}", withdraw)
        .post("/close/{name}", close)
        .post("/count", count)
        .post("/rich", rich)
        .post("/sum", sum)
        .post("/fragile", panics_when_rich)
        .post("/note/{id}", note)
        .in_session("id")
        .get(
            "/balance/{name}",
            |cx: &mut Context, Path(name): Path<String>| {
                Ok(Json(ACCOUNTS.get(cx, &name)?.unwrap_or(0)))
            },
        );
    Arc::new(executor(service))
}

/// A chain of states, one for each block.
struct Chain {
    executor: Arc<Executor>,
    state: Changes,
    height: u64,
    nonce: u64,
}

impl Chain {
    fn new(accounts: &[(&str, u64)]) -> Self {
        let accounts = accounts
            .iter()
            .map(|(name, balance)| ((*name).to_owned(), *balance));
        Self {
            executor: bank(),
            state: state("accounts", 0, accounts),
            height: 0,
            nonce: 0,
        }
    }

    fn view(&self) -> Arc<dyn StateView> {
        Arc::new(self.state.clone())
    }

    fn author(&mut self) -> Author {
        self.nonce += 1;
        let nonce = self.nonce.to_string().into();
        Author::Anonymous { nonce }
    }

    fn simulate(&mut self, target: &str) -> Operation {
        let author = self.author();
        let simulated = self
            .executor
            .simulate(self.view(), post(target), author, Timestamp(1));
        answered(simulated.unwrap())
    }

    /// Simulates the operations of a session one after the other, on this state.
    fn session(&mut self, targets: &[&str]) -> Vec<Operation> {
        let mut session = None;
        targets
            .iter()
            .map(|target| self.step(&mut session, target))
            .collect()
    }

    fn step(&mut self, session: &mut Option<Session>, target: &str) -> Operation {
        let author = self.author();
        let request = post(target);
        let first = Operation {
            request: request.clone(),
            author: author.clone(),
            time: Timestamp(1),
            reads: Vec::new(),
            response: Response {
                status: 200,
                content_type: String::new(),
                body: Bytes::new(),
            },
        };
        let session = session.get_or_insert_with(|| Session::open(first.id().into()));
        let simulated =
            session.simulate(&self.executor, self.view(), request, author, Timestamp(1));
        answered(simulated.unwrap())
    }

    fn ratify(&self, operations: Vec<Operation>) -> Ratification {
        let transaction = transaction(operations);
        self.executor
            .ratify(self.view(), &transaction, self.next())
            .unwrap()
    }

    fn next(&self) -> Version {
        Version {
            height: self.height + 1,
            index: 0,
        }
    }

    /// Commits an operation of someone else.
    fn meanwhile(&mut self, target: &str) {
        let operation = self.simulate(target);
        self.apply(vec![operation]);
    }

    fn apply(&mut self, operations: Vec<Operation>) {
        let ratified = self.ratify(operations);
        assert_eq!(ratified.outcome, Outcome::Committed);
        self.height += 1;
        self.state.extend(ratified.changes);
        self.state.retain(|_, change| change.is_some());
    }

    fn balance(&self, name: &str) -> Option<u64> {
        let value = self.state.get(&account(name))?.as_ref()?;
        serde_json::from_slice(&value.value).unwrap()
    }
}

fn answered(simulation: Simulation) -> Operation {
    match simulation {
        Simulation::Answered(operation) => operation,
        Simulation::Refused(problem) => panic!("{problem}"),
    }
}

fn originator() -> PrivateKey {
    PrivateKey::from_seed([1; 32])
}

fn transaction(operations: Vec<Operation>) -> Transaction {
    let service = ServiceId {
        name: "bank".into(),
        version: "1.0.0".into(),
    };
    let genesis = GenesisHash([0; 32]);
    Transaction::sign(&originator(), &genesis, service, operations, None).unwrap()
}

fn account(name: &str) -> plenary_types::StateKey {
    key("accounts", name.as_bytes())
}

fn conflict(step: u32, names: &[&str]) -> Outcome {
    let keys = names.iter().map(|name| account(name)).collect();
    Outcome::Conflict { step, keys }
}

#[track_caller]
fn assert_lied(ratified: &Ratification, at: u32) {
    match &ratified.outcome {
        Outcome::Rejected {
            step,
            reason: Reason::WrongResponse { claimed, computed },
            signer,
        } => {
            assert_eq!((*step, *signer), (at, originator().public_key()));
            assert_ne!(claimed, computed);
        }
        outcome => panic!("{outcome}"),
    }
    assert!(ratified.changes.is_empty());
}

fn wrong(mut operation: Operation) -> Operation {
    operation.response.body = "999".into();
    operation
}

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
