//! `call`: a signed request, which curl cannot make.

use super::{
    Failure, block_on,
    signer::{self, Signer},
    target::Target,
};
use crate::output::{Output, table};
use plenary_client::{Answer, ClientError};
use plenary_types::{Method, Problem};
use serde_json::{Value, json};

/// Send a signed request.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The method: GET, POST, PUT, PATCH or DELETE
    #[arg(value_parser = signer::method)]
    method: Method,
    /// Path and query, such as /session/start
    target: String,
    /// The body; `-` reads it from standard input
    body: Option<String>,
    /// The body's media type
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    content_type: String,
    /// Makes a retry the same request as before [default: drawn at random]
    #[arg(long)]
    nonce: Option<String>,
    #[command(flatten)]
    signer: Signer,
    #[command(flatten)]
    network: Target,
}

/// The answer is an error's.
#[derive(Debug, thiserror::Error)]
#[error("the request was answered with status {0}")]
pub(crate) struct CallFailure(u16);

pub(crate) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let body = args.body.as_deref();
    let request = signer::request(args.method, args.target, body, args.content_type)?;
    let client = args.signer.client(&args.network)?;
    let nonce = args.nonce.as_deref();
    let answered = block_on(async { Ok(client.send(&request, nonce).await) })?;
    tell(answered, output)
}

/// Shows an answer; one with an error's status is a failure.
pub(crate) fn tell(answered: Result<Answer, ClientError>, output: Output) -> Result<(), Failure> {
    let status = match answered {
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
        status => Err(CallFailure(status).into()),
    }
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
        "sequence": answer.sequence,
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
            (
                "sequence",
                answer.sequence.map(|sequence| sequence.to_string()),
            ),
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

pub(crate) fn pretty(body: &Value) -> String {
    match body {
        Value::String(text) => text.clone(),
        // A value with text keys prints.
        value => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}
