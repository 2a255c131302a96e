//! A bank, and a chain of its states, to ratify transactions on.

use crate::common::{executor, key, post, state};
use bytes::Bytes;
use plenary_service::{Executor, Ratification, Session, Simulation, StateView, prelude::*};
use plenary_types::{
    Author, Changes, GenesisHash, Operation, Outcome, PrivateKey, Reason, ServiceId, Transaction,
    Version,
};
use std::sync::Arc;

pub(crate) const ACCOUNTS: Table<String, u64> = Table::new("accounts");
pub(crate) const LOG: Table<SessionId, u64> = Table::new("log");

pub(crate) type Amount = (String, u64);

/// Adds to an account and says what it has then.
pub(crate) fn deposit(
    cx: &mut Context,
    Path((name, amount)): Path<Amount>,
) -> Result<Json<u64>, Problem> {
    let balance = ACCOUNTS.get(cx, &name)?.unwrap_or(0) + amount;
    ACCOUNTS.put(cx, &name, &balance)?;
    Ok(Json(balance))
}

/// Takes from an account where there is enough, and does not say how much is left.
pub(crate) fn withdraw(
    cx: &mut Context,
    Path((name, amount)): Path<Amount>,
) -> Result<(), Problem> {
    let balance = ACCOUNTS.get(cx, &name)?.unwrap_or(0);
    let left = balance.checked_sub(amount);
    let left = left.ok_or_else(|| Problem::conflict("overdrawn", "there is not enough"))?;
    ACCOUNTS.put(cx, &name, &left)
}

pub(crate) fn close(cx: &mut Context, Path(name): Path<String>) -> Result<(), Problem> {
    ACCOUNTS.delete(cx, &name)
}

/// Counts the accounts, up to ten.
pub(crate) fn count(cx: &mut Context) -> Result<Json<usize>, Problem> {
    Ok(Json(ACCOUNTS.scan(cx, .., 10)?.len()))
}

/// Reads one account, and another only where the first is rich.
pub(crate) fn rich(cx: &mut Context) -> Result<Json<u64>, Problem> {
    match ACCOUNTS.get(cx, &"a".into())?.unwrap_or(0) {
        rich if rich > 100 => Ok(Json(ACCOUNTS.get(cx, &"b".into())?.unwrap_or(0))),
        poor => Ok(Json(poor)),
    }
}

/// Sums all accounts; more than some hundreds are over the budget of this service.
pub(crate) fn sum(cx: &mut Context) -> Result<Json<u64>, Problem> {
    let all = ACCOUNTS.scan(cx, .., usize::MAX)?;
    Ok(Json(all.iter().map(|(_, balance)| balance).sum()))
}

pub(crate) fn note(cx: &mut Context, Path(id): Path<SessionId>) -> Result<Json<u64>, Problem> {
    assert_eq!(
        id,
        cx.session(),
        "the path names the session that the context has"
    );
    let notes = LOG.get(cx, &id)?.unwrap_or(0) + 1;
    LOG.put(cx, &id, &notes)?;
    Ok(Json(notes))
}

pub(crate) fn open(cx: &mut Context) -> Result<Json<SessionId>, Problem> {
    Ok(Json(cx.session()))
}

pub(crate) fn panics_when_rich(cx: &mut Context) -> Result<(), Problem> {
    assert!(
        ACCOUNTS.get(cx, &"a".into())?.unwrap_or(0) < 100,
        "too rich"
    );
    Ok(())
}

pub(crate) fn bank() -> Arc<Executor> {
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
pub(crate) struct Chain {
    pub(crate) executor: Arc<Executor>,
    pub(crate) state: Changes,
    pub(crate) height: u64,
    nonce: u64,
}

impl Chain {
    pub(crate) fn new(accounts: &[(&str, u64)]) -> Self {
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

    pub(crate) fn view(&self) -> Arc<dyn StateView> {
        Arc::new(self.state.clone())
    }

    pub(crate) fn author(&mut self) -> Author {
        self.nonce += 1;
        let nonce = self.nonce.to_string().into();
        Author::Anonymous { nonce }
    }

    pub(crate) fn simulate(&mut self, target: &str) -> Operation {
        let author = self.author();
        let simulated = self
            .executor
            .simulate(self.view(), post(target), author, Timestamp(1));
        answered(simulated.unwrap())
    }

    /// Simulates the operations of a session one after the other, on this state.
    pub(crate) fn session(&mut self, targets: &[&str]) -> Vec<Operation> {
        let mut session = None;
        targets
            .iter()
            .map(|target| self.step(&mut session, target))
            .collect()
    }

    pub(crate) fn step(&mut self, session: &mut Option<Session>, target: &str) -> Operation {
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

    pub(crate) fn ratify(&self, operations: Vec<Operation>) -> Ratification {
        let transaction = transaction(operations);
        self.executor
            .ratify(self.view(), &transaction, self.next())
            .unwrap()
    }

    pub(crate) fn next(&self) -> Version {
        Version {
            height: self.height + 1,
            index: 0,
        }
    }

    /// Commits an operation of someone else.
    pub(crate) fn meanwhile(&mut self, target: &str) {
        let operation = self.simulate(target);
        self.apply(vec![operation]);
    }

    pub(crate) fn apply(&mut self, operations: Vec<Operation>) {
        let ratified = self.ratify(operations);
        assert_eq!(ratified.outcome, Outcome::Committed);
        self.height += 1;
        self.state.extend(ratified.changes);
        self.state.retain(|_, change| change.is_some());
    }

    pub(crate) fn balance(&self, name: &str) -> Option<u64> {
        let value = self.state.get(&account(name))?.as_ref()?;
        serde_json::from_slice(&value.value).unwrap()
    }
}

pub(crate) fn answered(simulation: Simulation) -> Operation {
    match simulation {
        Simulation::Answered(operation) => operation,
        Simulation::Refused(problem) => panic!("{problem}"),
    }
}

pub(crate) fn originator() -> PrivateKey {
    PrivateKey::from_seed([1; 32])
}

pub(crate) fn transaction(operations: Vec<Operation>) -> Transaction {
    let service = ServiceId {
        name: "bank".into(),
        version: "1.0.0".into(),
    };
    let genesis = GenesisHash([0; 32]);
    Transaction::sign(
        &originator(),
        &genesis,
        service,
        operations,
        None,
        Vec::new(),
    )
    .unwrap()
}

pub(crate) fn account(name: &str) -> plenary_types::StateKey {
    key("accounts", name.as_bytes())
}

pub(crate) fn conflict(step: u32, names: &[&str]) -> Outcome {
    let keys = names.iter().map(|name| account(name)).collect();
    Outcome::Conflict { step, keys }
}

#[track_caller]
pub(crate) fn assert_lied(ratified: &Ratification, at: u32) {
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

pub(crate) fn wrong(mut operation: Operation) -> Operation {
    operation.response.body = "999".into();
    operation
}
