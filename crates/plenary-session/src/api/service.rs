//! The service's own routes, and the one that opens a session of any service: steps, commits by a
//! route, reads, and requests outside of any session.

use super::{Api, TOKEN, answer, asked, commitment, decided, header, refuse};
use crate::{
    commit::Word,
    error::Refusal,
    session::Entry,
    step::{Ran, Stepped},
};
use axum::{
    extract::{Request as HttpRequest, State},
    http::{HeaderMap, request::Parts},
    response::Response,
};
use plenary_service::{Route, SessionRole};
use plenary_types::{Author, OperationId, Request, SessionId};
use plenary_validator::{
    decision::against,
    direct::{Answer, answered_before, operate},
    http::{Failure, author, from_http, reach, set, to_http, wait},
};
use std::sync::Arc;

pub(super) async fn serve(State(api): State<Api>, http: HttpRequest) -> Result<Response, Failure> {
    let node = api.node.clone();
    let _slot = api.slot()?;
    let (parts, request) = from_http(http).await?;
    let headers = &parts.headers;
    reach(&node.finality, headers).await?;
    let route = node.executor.route(&request)?;
    if !route.is_operation() {
        return read(&api, route, &parts, request).await;
    }
    let author = author(&parts, &request, node.genesis.clients, node.now())?;
    let id = author.operation();
    let session = match route.role() {
        Some(SessionRole::Opens) => return open(&api, route, headers, request, author).await,
        Some(SessionRole::In { .. } | SessionRole::Commits { .. }) => {
            Some(node.executor.session_of(&request, id)?)
        }
        None => header(headers, "plenary-session")?,
    };
    let Some(session) = session else {
        return alone(&api, route, headers, request, author).await;
    };
    let Some(entry) = node.sessions.get(&session) else {
        return before(&api, route, session, &request, id);
    };
    if route.commits_session() {
        return commit(&api, route, headers, &entry, request, author).await;
    }
    let stepped = step(&api, route, headers, &entry, request, author).await?;
    finish_step(&api, stepped).await
}

/// Opens a session with its first step.
async fn open(
    api: &Api,
    route: &Route,
    headers: &HeaderMap,
    request: Request,
    author: Author,
) -> Result<Response, Failure> {
    let (node, id) = (api.node.clone(), author.operation());
    let session = SessionId::from(id);
    if node.sessions.get(&session).is_none() && node.store.operation(&id).map_err(refuse)?.is_some()
    {
        return before(api, route, session, &request, id);
    }
    let asked = asked(headers, request, author)?;
    let now = node.now();
    let own = node.clone();
    let ran = node
        .guard
        .run(route, now, move || Ok(own.open(asked)))
        .await?;
    finish_step(api, ran.map_err(refuse)?).await
}

async fn step(
    api: &Api,
    route: &Route,
    headers: &HeaderMap,
    entry: &Arc<Entry>,
    request: Request,
    author: Author,
) -> Result<Ran, Failure> {
    let (node, asked) = (api.node.clone(), asked(headers, request, author)?);
    let (own, now, entry) = (node.clone(), node.now(), entry.clone());
    let ran = node
        .guard
        .run(route, now, move || Ok(own.step(&entry, asked)))
        .await?;
    ran.map_err(refuse)
}

async fn finish_step(api: &Api, ran: Ran) -> Result<Response, Failure> {
    match ran {
        Ran::Refused(response) => Ok(to_http(response)),
        Ran::Stepped(stepped) => {
            let first = stepped.step.promise;
            // Signed while the disk works; it leaves with the answer only.
            let mut promise = api.node.promise(&first);
            let stepped = answer::agreed(&api.node, stepped).await?;
            if stepped.step.promise != first {
                promise = api.node.promise(&stepped.step.promise);
            }
            Ok(answer::step(&stepped, promise))
        }
    }
}

/// Runs the last step of a session, and commits it.
async fn commit(
    api: &Api,
    route: &Route,
    headers: &HeaderMap,
    entry: &Arc<Entry>,
    request: Request,
    author: Author,
) -> Result<Response, Failure> {
    let signature = commitment(headers)?;
    if signature.is_none() && author_signs(&author) {
        let chain = crate::step::lock(entry).map_err(refuse)?.chain();
        return Err(refuse(Refusal::CommitmentRequired { chain }));
    }
    let stepped = match step(api, route, headers, entry, request, author).await? {
        Ran::Refused(response) => return Ok(to_http(response)),
        Ran::Stepped(stepped) => stepped,
    };
    let stepped = answer::endorsed(&api.node, stepped).await?;
    api.node
        .commit(entry, Word::Closing(signature))
        .map_err(refuse)?;
    finish_commit(api, headers, &stepped).await
}

fn author_signs(author: &Author) -> bool {
    matches!(author, Author::Signed(_))
}

async fn finish_commit(
    api: &Api,
    headers: &HeaderMap,
    stepped: &Stepped,
) -> Result<Response, Failure> {
    let (session, entry) = (stepped.entry.id, &stepped.entry);
    let (transaction, landed) = decided::wait(&api.node, entry, wait(headers)).await?;
    let Some(landed) = landed else {
        return Ok(answer::on_its_way(api, session, transaction));
    };
    match against(&api.node.store, transaction, &landed) {
        Some(problem) => Ok(answer::against(problem, session, &landed)),
        None => {
            let response = stepped.response().clone();
            Ok(answer::last(response, true, session, transaction, &landed))
        }
    }
}

/// Answers an operation of a session that this node has no longer: what it was answered, if it is in
/// the ledger.
fn before(
    api: &Api,
    route: &Route,
    session: SessionId,
    request: &Request,
    id: OperationId,
) -> Result<Response, Failure> {
    match answered_before(&*api.node, request, id)? {
        Some(Answer::Final {
            response,
            transaction,
            landed,
            session,
        }) => {
            let commits = route.commits_session();
            Ok(answer::last(
                response,
                commits,
                session,
                transaction,
                &landed,
            ))
        }
        _ => Err(refuse(Refusal::UnknownSession(session))),
    }
}

/// Commits an operation outside of any session, at once.
async fn alone(
    api: &Api,
    route: &Route,
    headers: &HeaderMap,
    request: Request,
    author: Author,
) -> Result<Response, Failure> {
    match operate(&api.node, route, request, author, wait(headers)).await? {
        Answer::Pending { transaction } => Ok(plenary_validator::api::accepted(transaction)),
        Answer::Refused(response) => Ok(to_http(response)),
        Answer::Final {
            response,
            transaction,
            landed,
            session,
        } => {
            let commits = route.commits_session();
            Ok(answer::last(
                response,
                commits,
                session,
                transaction,
                &landed,
            ))
        }
    }
}

/// Answers a request that only reads, on the session's own writes where it names one, to its owner.
async fn read(
    api: &Api,
    route: &Route,
    parts: &Parts,
    request: Request,
) -> Result<Response, Failure> {
    let (node, now) = (api.node.clone(), api.node.now());
    let session: Option<SessionId> = header(&parts.headers, "plenary-session")?;
    let token: Option<String> = header(&parts.headers, TOKEN)?;
    let own = match session {
        Some(id) => {
            let author = author(parts, &request, node.genesis.clients, now)?;
            Some((api.entry(id)?, author))
        }
        None => None,
    };
    let reader = node.clone();
    let read = move || {
        Ok(match &own {
            Some((entry, author)) => reader.read(entry, &request, author, token.as_deref()),
            None => {
                let (tip, view) = reader.store.state().latest();
                let execution = reader.executor.read(view, &request, now);
                execution
                    .map(|execution| (tip.height, execution))
                    .map_err(Refusal::from)
            }
        })
    };
    let (height, execution) = node.guard.run(route, now, read).await?.map_err(refuse)?;
    let mut response = to_http(execution.response());
    let finality = match session {
        Some(_) => "simulated",
        None => "final",
    };
    set(response.headers_mut(), "plenary-finality", finality);
    set(response.headers_mut(), "plenary-height", height);
    Ok(response)
}
