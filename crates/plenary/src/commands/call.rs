//! `call`: a signed request, which curl cannot make.

use super::{Failure, block_on, target::Target};
use crate::{
    keys,
    output::{Output, table},
};
use bytes::Bytes;
use plenary_client::{Answer, ClientError};
use plenary_types::{Method, PrivateKey, Problem, Request, http::UnknownMethod};
use serde_json::{Value, json};
use std::{
    io::{self, Read as _},
    path::PathBuf,
};

/// Send a signed request.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The method: GET, POST, PUT, PATCH or DELETE
    #[arg(value_parser = method)]
    method: Method,
    /// Path and query, such as /session/start
    target: String,
    /// The body; `-` reads it from standard input
    body: Option<String>,
    /// The body's media type
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    content_type: String,
    /// The client's key file [default: client.key of the network's directory]
    #[arg(
        long,
        env = "PLENARY_CLIENT_KEY",
        value_name = "FILE",
        conflicts_with = "unsigned"
    )]
    key: Option<PathBuf>,
    /// Do not sign
    #[arg(long)]
    unsigned: bool,
    /// Makes a retry the same request as before [default: drawn at random]
    #[arg(long)]
    nonce: Option<String>,
    #[command(flatten)]
    network: Target,
}

fn method(text: &str) -> Result<Method, UnknownMethod> {
    text.to_ascii_uppercase().parse()
}

/// Why a request is not sent, or what came of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFailure {
    /// There is no key to sign it with.
    #[error(
        "no key to sign with; give --key FILE (`keys new --out FILE` makes one), or --unsigned where the network takes that"
    )]
    NoKey,
    /// The target is no path.
    #[error("`{0}` is no path: it starts with /, such as /session/start; the host is --url's")]
    Target(String),
    /// Standard input cannot be read.
    #[error("cannot read the body from standard input: {0}")]
    Input(io::Error),
    /// The answer is an error's.
    #[error("the request was answered with status {0}")]
    Status(u16),
}

pub(crate) fn run(args: Args, output: Output) -> Result<(), Failure> {
    if !args.target.starts_with('/') {
        return Err(CallFailure::Target(args.target).into());
    }
    let key = signer(&args)?;
    let body = match args.body.as_deref() {
        Some("-") => {
            let mut body = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut body);
            read.map_err(CallFailure::Input)?;
            Bytes::from(body)
        }
        body => Bytes::copy_from_slice(body.unwrap_or_default().as_bytes()),
    };
    let request = Request {
        method: args.method,
        target: args.target,
        content_type: match body.is_empty() {
            true => String::new(),
            false => args.content_type,
        },
        body,
    };
    let client = args.network.client()?;
    let client = match key {
        Some(key) => client.with_key(key),
        None => client,
    };
    let nonce = args.nonce.as_deref();
    let status = match block_on(async { Ok(client.send(&request, nonce).await) })? {
        Ok(answer) => {
            show(&answer, output);
            answer.status
        }
        Err(ClientError::Problem { url, problem }) => {
            refused(&url, &problem, output);
            problem.status
        }
        Err(error) => return Err(error.into()),
    };
    match status {
        ..400 => Ok(()),
        status => Err(CallFailure::Status(status).into()),
    }
}

fn signer(args: &Args) -> Result<Option<PrivateKey>, Failure> {
    if args.unsigned {
        return Ok(None);
    }
    let path = args.key.clone().or_else(|| args.network.client_key());
    Ok(Some(keys::load(&path.ok_or(CallFailure::NoKey)?)?))
}

fn show(answer: &Answer, output: Output) {
    let body: Value = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|_| String::from_utf8_lossy(&answer.body).into());
    let value = json!({
        "url": answer.url,
        "status": answer.status,
        "finality": answer.finality,
        "transaction": answer.transaction,
        "height": answer.height,
        "session": answer.session,
        "body": body,
    });
    output.show(&value, || {
        let told = [
            ("finality", answer.finality.clone()),
            (
                "transaction",
                answer.transaction.map(|hash| hash.to_string()),
            ),
            ("height", answer.height.map(|height| height.to_string())),
            ("session", answer.session.map(|session| session.to_string())),
        ];
        let told = told
            .into_iter()
            .filter_map(|(name, value)| Some([name.into(), value?]));
        let status = ["status".to_owned(), answer.status.to_string()];
        let rows = table(["answer", &answer.url], std::iter::once(status).chain(told));
        format!("{rows}\n{}", pretty(&body))
    });
}

fn refused(url: &str, problem: &Problem, output: Output) {
    let value = json!({ "url": url, "status": problem.status, "body": problem });
    output.show(&value, || pretty(&value["body"]));
}

fn pretty(body: &Value) -> String {
    match body {
        Value::String(text) => text.clone(),
        // A value with text keys prints.
        value => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}
