//! `session`: a session from the command line, kept in a file from one command to the next.

use super::{
    Failure, block_on,
    call::{self, pretty},
    signer::{self, Signer},
    target::Target,
};
use crate::{
    files::{self, Access},
    output::{Output, table},
};
use plenary_client::{Change, ClientError, Committed, Kept, Session, SessionStatus};
use plenary_types::{BrokenPromise, Method, SessionId};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Work in a session.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Open a session, and keep it in a file
    Open {
        #[command(flatten)]
        request: Optional,
        #[command(flatten)]
        at: At,
    },
    /// Send a signed request in the session
    Call {
        /// The method: GET, POST, PUT, PATCH or DELETE
        #[arg(value_parser = signer::method)]
        method: Method,
        /// Path and query, such as /session/ID/qc
        target: String,
        /// The body, JSON; `-` reads it from standard input
        body: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Show how a session is
    Show(Named),
    /// Commit the session, and check what was committed
    Commit {
        #[command(flatten)]
        request: Optional,
        #[command(flatten)]
        at: At,
    },
    /// After a conflict, run the session's requests again and show what changed
    Rebase(At),
    /// Give the session up
    Abort(At),
    /// Follow what happens in a session, to its end
    Events(Named),
}

/// A request of a route that opens, or commits, a session; any session will do without one.
#[derive(clap::Args)]
pub(crate) struct Optional {
    /// The route, such as /session/start [default: the framework's own, for any service]
    target: Option<String>,
    /// The body, JSON; `-` reads it from standard input
    body: Option<String>,
}

/// Which session, and as whom.
#[derive(clap::Args)]
pub(crate) struct At {
    #[command(flatten)]
    file: SessionFile,
    #[command(flatten)]
    signer: Signer,
    #[command(flatten)]
    network: Target,
}

/// A session by its name, or the one in the file.
#[derive(clap::Args)]
pub(crate) struct Named {
    /// The session [default: that of the file]
    id: Option<SessionId>,
    #[command(flatten)]
    file: SessionFile,
    #[command(flatten)]
    network: Target,
}

/// Where a session is kept.
#[derive(clap::Args)]
pub(crate) struct SessionFile {
    /// The file that the session is kept in
    #[arg(
        long = "session",
        env = "PLENARY_SESSION_FILE",
        value_name = "FILE",
        default_value = "session.json"
    )]
    path: PathBuf,
}

/// What goes wrong with a session's file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionFailure {
    /// The file holds something else.
    #[error("{} holds no session: {error}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// There is one already.
    #[error("{} is there already: name another file with --session, or remove it", .0.display())]
    Exists(PathBuf),
    /// A session node broke its word.
    #[error(
        "what was committed is not what was promised; the proof is in {}: hand it to whoever runs the network (`promise check` verifies it)", .0.display()
    )]
    Broken(PathBuf),
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Open { request, at } => open(request, &at, output),
        Command::Call {
            method,
            target,
            body,
            at,
        } => {
            let request = signer::request(method, target, body.as_deref(), JSON.into())?;
            let mut session = at.resume()?;
            let answered = block_on(async { Ok(session.send(&request, None).await) })?;
            at.file.replace(&session)?;
            call::tell(answered, output)
        }
        Command::Show(named) => {
            let (id, client) = (named.id()?, named.network.client()?);
            let status = block_on(async { Ok(client.session_status(&id).await?) })?;
            output.show(&status, || human(&status));
            Ok(())
        }
        Command::Commit { request, at } => commit(request, &at, output),
        Command::Rebase(at) => {
            let mut session = at.resume()?;
            let changes = block_on(async { Ok(session.rebase().await?) })?;
            at.file.replace(&session)?;
            show_changes(&changes, output);
            Ok(())
        }
        Command::Abort(at) => {
            let session = at.resume()?;
            block_on(async { Ok(session.abort().await?) })?;
            let value = json!({ "session": session.id(), "status": "aborted" });
            output.show(&value, || format!("session {} is aborted", session.id()));
            Ok(())
        }
        Command::Events(named) => events(&named, output),
    }
}

const JSON: &str = "application/json";

fn open(request: Optional, at: &At, output: Output) -> Result<(), Failure> {
    if at.file.path.exists() {
        return Err(SessionFailure::Exists(at.file.path.clone()).into());
    }
    let client = at.signer.client(&at.network)?;
    let request = request.read()?;
    let session = block_on(async {
        Ok(match &request {
            Some(request) => client.open_with(request, None).await?,
            None => client.open_plain().await?,
        })
    })?;
    let text = text(&session);
    files::write_new(&at.file.path, &text, Access::Owner)?;
    let body: Value = session.opening()?;
    let value = json!({
        "session": session.id(),
        "file": at.file.path,
        "body": body,
    });
    output.show(&value, || {
        let file = at.file.path.display();
        format!(
            "session {}, kept in {file}\n{}",
            session.id(),
            pretty(&body)
        )
    });
    Ok(())
}

fn commit(request: Optional, at: &At, output: Output) -> Result<(), Failure> {
    let request = request.read()?;
    let mut session = at.resume()?;
    let committed = block_on(async {
        Ok(match &request {
            Some(request) => session.commit_by(request).await,
            None => session.commit().await,
        })
    })?;
    at.file.replace(&session)?;
    match committed {
        Ok(committed) => show_committed(&session, &committed, output),
        Err(ClientError::Broken(proof)) => return Err(keep_proof(&proof, at)?.into()),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Writes the proof beside the session's file.
fn keep_proof(proof: &BrokenPromise, at: &At) -> Result<SessionFailure, Failure> {
    let path = at.file.path.with_extension("broken.json");
    // Its parts are numbers, texts and lists, which serialize.
    let text = serde_json::to_string_pretty(proof).unwrap_or_default() + "\n";
    files::write_new(&path, &text, Access::Usual)?;
    Ok(SessionFailure::Broken(path))
}

fn show_committed(session: &Session, committed: &Committed, output: Output) {
    let hash = committed.transaction.hash();
    let body: Value = committed.json().unwrap_or_default();
    let value = json!({
        "session": session.id(),
        "status": "committed",
        "transaction": hash,
        "height": committed.height(),
        "operations": committed.transaction.operations.len(),
        "body": body,
    });
    output.show(&value, || {
        let rows = [
            ("session", session.id().to_string()),
            ("status", "committed, as it was promised".into()),
            ("transaction", hash.to_string()),
            ("height", committed.height().to_string()),
            (
                "operations",
                committed.transaction.operations.len().to_string(),
            ),
        ];
        let rows = table(
            ["commit", "holds"],
            rows.map(|(name, value)| [name.into(), value]),
        );
        format!("{rows}\n{}", pretty(&body))
    });
}

fn show_changes(changes: &[Change], output: Output) {
    let body = |bytes: &[u8]| -> Value {
        serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into())
    };
    let steps: Vec<Value> = changes
        .iter()
        .enumerate()
        .map(|(sequence, change)| {
            json!({
                "sequence": sequence,
                "method": change.request.method,
                "target": change.request.target,
                "changed": change.changed(),
                "before": body(&change.before.body),
                "after": body(&change.after.body),
            })
        })
        .collect();
    output.show(&json!({ "steps": steps }), || {
        let rows = steps.iter().zip(changes).map(|(step, change)| {
            [
                step["sequence"].to_string(),
                format!("{} {}", change.request.method, change.request.target),
                if change.changed() { "yes" } else { "no" }.to_owned(),
                step["after"].to_string(),
            ]
        });
        table(["step", "request", "changed", "answer now"], rows)
    });
}

fn human(status: &SessionStatus) -> String {
    let state = serde_json::to_value(status.status).unwrap_or_default();
    let facts = [
        ("session", Some(status.session.to_string())),
        ("status", state.as_str().map(str::to_owned)),
        ("owner", status.owner.map(|key| key.to_string())),
        (
            "transaction",
            status.transaction.map(|hash| hash.to_string()),
        ),
        ("height", status.height.map(|height| height.to_string())),
        ("why", status.why.as_ref().map(ToString::to_string)),
    ];
    let facts = facts
        .into_iter()
        .filter_map(|(name, value)| Some([name.into(), value?]));
    let steps = status.operations.iter().map(|step| {
        [
            step.sequence.to_string(),
            format!("{} {}", step.method, step.target),
            step.status.to_string(),
            step.finality.clone(),
            step.height.map_or("-".into(), |height| height.to_string()),
        ]
    });
    let header = ["step", "request", "status", "finality", "height"];
    format!(
        "{}\n\n{}",
        table(["field", "value"], facts),
        table(header, steps)
    )
}

fn events(named: &Named, output: Output) -> Result<(), Failure> {
    let (id, client) = (named.id()?, named.network.client()?);
    block_on(async {
        let mut events = client.session_events(&id)?;
        while let Some(event) = events.next().await? {
            output.line(&event);
        }
        Ok(())
    })
}

impl Optional {
    fn read(self) -> Result<Option<plenary_types::Request>, Failure> {
        let Some(target) = self.target else {
            return Ok(None);
        };
        let request = signer::request(Method::Post, target, self.body.as_deref(), JSON.into())?;
        Ok(Some(request))
    }
}

impl At {
    fn resume(&self) -> Result<Session, Failure> {
        let kept = self.file.read()?;
        Ok(self.signer.client(&self.network)?.resume(kept)?)
    }
}

impl Named {
    fn id(&self) -> Result<SessionId, Failure> {
        match self.id {
            Some(id) => Ok(id),
            None => Ok(self.file.read()?.session()),
        }
    }
}

impl SessionFile {
    fn read(&self) -> Result<Kept, Failure> {
        let text = files::read(&self.path)?;
        let kept = serde_json::from_str(&text).map_err(|error| SessionFailure::Form {
            path: self.path.clone(),
            error,
        })?;
        Ok(kept)
    }

    fn replace(&self, session: &Session) -> Result<(), Failure> {
        Ok(files::replace(&self.path, &text(session))?)
    }
}

fn text(session: &Session) -> String {
    // Its parts are texts and lists, which serialize.
    serde_json::to_string_pretty(&session.keep()).unwrap_or_default() + "\n"
}
