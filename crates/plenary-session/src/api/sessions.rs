//! `sessions/{id}`: looking at one, committing it, giving it up, running it again.

use super::{Api, answer, bad_path, check_asker, commitment, decided, refuse};
use crate::{
    commit::{Rerun, Word},
    error::Refusal,
    message::Owner,
    session::{Entry, Live, Status},
    step::{Stepped, lock},
};
use axum::{
    Json,
    extract::{Path, Request as HttpRequest, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use plenary_types::{Operation, Outcome, SessionId, TransactionHash};
use plenary_validator::{
    decision::{Decision, against},
    finality::Landed,
    http::{Failure, author, from_http, wait},
    lookup::receipt_at,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// How long the requests of a session may take to be run again, all together.
const REBASE: Duration = Duration::from_secs(10);

type Id = Result<Path<SessionId>, PathRejection>;

pub(super) async fn show(State(api): State<Api>, id: Id) -> Result<Json<Value>, Failure> {
    let Path(id) = id.map_err(bad_path)?;
    if let Some(entry) = api.node.sessions.get(&id) {
        let live = lock(&entry).map_err(refuse)?;
        if !live.is_committed() {
            return Ok(Json(describe(&api, &entry, &live)));
        }
    }
    // It has forgotten it, or never had it.
    let store = &api.node.store;
    match Decision::of_session(store, id).map_err(refuse)? {
        Some(decision) => Ok(Json(decision.describe(store))),
        None => Err(refuse(Refusal::UnknownSession(id))),
    }
}

fn describe(api: &Api, entry: &Entry, live: &Live) -> Value {
    let limit = api.node.bounds.time_limit.as_millis() as u64;
    let (transaction, height, why) = match &live.status {
        Status::Committing(transaction) => (
            Some(*transaction),
            None,
            Some(decided::why_not_yet(api, *transaction)),
        ),
        Status::Decided(transaction, landed) => (
            Some(*transaction),
            Some(landed.height),
            against(&api.node.store, *transaction, landed),
        ),
        Status::Refused(reason) => (Some(reason.transaction), None, Some(reason.problem())),
        Status::Open | Status::Over(_) => (None, None, None),
    };
    // Who agrees with a step has agreed with those before it.
    let replicated = live
        .steps
        .iter()
        .rposition(|step| step.agreement.is_replicated());
    let operations = live.steps.iter().enumerate().map(|(sequence, step)| {
        let finality = match replicated.is_some_and(|last| sequence <= last) {
            true => "replicated",
            false => "simulated",
        };
        let mut described = operation(sequence, &step.operation, finality);
        described["node"] = json!(step.promise.node);
        described["height"] = json!(step.promise.height);
        described
    });
    json!({
        "session": entry.id,
        "status": live.status.name(),
        "owner": match live.owner {
            Owner::Client(key) => Some(key),
            Owner::Token(_) => None,
        },
        "opened": live.opened,
        "expires": live.opened.plus_ms(limit),
        "chain": live.chain(),
        "operations": operations.collect::<Vec<_>>(),
        "transaction": transaction,
        "height": height,
        "why": why,
    })
}

fn operation(sequence: usize, operation: &Operation, finality: &str) -> Value {
    json!({
        "sequence": sequence,
        "operation": operation.id(),
        "method": operation.request.method,
        "target": operation.request.target,
        "status": operation.response.status,
        "finality": finality,
    })
}

/// The session that a request which is no step is about, once it is known to be its owner's.
async fn owned(api: &Api, id: SessionId, http: HttpRequest) -> Result<Owned, Failure> {
    let entry = api.entry(id)?;
    let (parts, request) = from_http(http).await?;
    let author = author(&parts, &request, api.node.genesis.clients, api.node.now())?;
    check_asker(&entry, &parts.headers, &author)?;
    Ok(Owned {
        entry,
        headers: parts.headers,
    })
}

struct Owned {
    entry: Arc<Entry>,
    headers: axum::http::HeaderMap,
}

pub(super) async fn commit(
    State(api): State<Api>,
    id: Id,
    http: HttpRequest,
) -> Result<Response, Failure> {
    let Path(id) = id.map_err(bad_path)?;
    let _slot = api.slot()?;
    if api.node.sessions.get(&id).is_none()
        && let Some(decision) = Decision::of_session(&api.node.store, id).map_err(refuse)?
        && decision.landed.outcome == Outcome::Committed
    {
        return committed(&api, id, decision.transaction.hash(), &decision.landed);
    }
    let Owned { entry, headers } = owned(&api, id, http).await?;
    let last = {
        let live = lock(&entry).map_err(refuse)?;
        let last = live.steps.last().cloned();
        last.inspect(|last| api.node.ask_again(&live, last))
    };
    if let Some(step) = last {
        let entry = entry.clone();
        answer::endorsed(&api.node, Stepped { entry, step }).await?;
    }
    let word = Word::Whole(commitment(&headers)?);
    api.node.commit(&entry, word).map_err(refuse)?;
    let (transaction, landed) = decided::wait(&api.node, &entry, wait(&headers)).await?;
    let Some(landed) = landed else {
        return Ok(answer::on_its_way(&api, id, transaction));
    };
    match against(&api.node.store, transaction, &landed) {
        Some(problem) => Ok(answer::against(problem, id, &landed)),
        None => committed(&api, id, transaction, &landed),
    }
}

fn committed(
    api: &Api,
    session: SessionId,
    transaction: TransactionHash,
    landed: &Landed,
) -> Result<Response, Failure> {
    let receipt = receipt_at(&api.node.store, landed.location()).map_err(refuse)?;
    let body = json!({
        "session": session,
        "status": "committed",
        "l1": { "block_height": landed.height, "tx_hash": transaction },
        "receipt": receipt,
    });
    let mut response = Json(body).into_response();
    answer::mark_final(&mut response, session, transaction, landed.height);
    Ok(response)
}

pub(super) async fn abort(
    State(api): State<Api>,
    id: Id,
    http: HttpRequest,
) -> Result<Json<Value>, Failure> {
    let Path(id) = id.map_err(bad_path)?;
    let Owned { entry, .. } = owned(&api, id, http).await?;
    api.node.abort(&entry).map_err(refuse)?;
    // Durable before anyone hears of it.
    let over = || matches!(entry.live.lock().status, Status::Over(_)).then_some(());
    answer::ending(&api.node, &entry, over).await?;
    Ok(Json(json!({ "session": id, "status": "aborted" })))
}

pub(super) async fn rebase(
    State(api): State<Api>,
    id: Id,
    http: HttpRequest,
) -> Result<Json<Value>, Failure> {
    let Path(id) = id.map_err(bad_path)?;
    let _slot = api.slot()?;
    let Owned { entry, .. } = owned(&api, id, http).await?;
    let (node, rebased) = (api.node.clone(), entry.clone());
    // A handler that does not come back keeps its thread and the session, and nothing else.
    let rerun = tokio::task::spawn_blocking(move || node.rebase(&rebased));
    let rerun = tokio::time::timeout(REBASE, rerun).await;
    let rerun = rerun.map_err(|_| refuse(Refusal::Busy(id)))?;
    let rerun = rerun.map_err(|_| refuse(plenary_validator::error::Refusal::Stopping))?;
    let mut rerun = rerun.map_err(refuse)?;
    if let Some(Rerun { step: last, .. }) = rerun.last_mut() {
        let (entry, step) = (entry.clone(), last.clone());
        *last = answer::agreed(&api.node, Stepped { entry, step })
            .await?
            .step;
    }
    let steps: Vec<Value> = rerun.iter().map(|rerun| changed(&api, rerun)).collect();
    let chain = rerun.last().map(|last| last.step.promise.chain);
    Ok(Json(
        json!({ "session": id, "steps": steps, "chain": chain }),
    ))
}

fn changed(api: &Api, rerun: &Rerun) -> Value {
    let (key, genesis) = (&api.node.key, api.node.genesis.hash());
    let mut change = rerun.change();
    change["promise"] = json!(rerun.step.promise.give(key, &genesis));
    change
}
