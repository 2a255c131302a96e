//! `status`: how validators and session nodes are.

use super::{Failure, block_on, target::Target};
use crate::output::{Output, table};
use plenary_client::{Client, ClientError, NetworkStatus, SessionNodeStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// Show how validators and session nodes are.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

/// What one node says.
struct Asked {
    url: String,
    ready: bool,
    status: Result<Status, ClientError>,
}

/// A node of either role.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Status {
    Validator(NetworkStatus),
    Session(SessionNodeStatus),
}

pub(crate) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let found = args.target.find()?;
    let urls = found.validators.into_iter().chain(found.session_nodes);
    let asked = block_on(async { futures::future::try_join_all(urls.map(ask)).await })?;
    let values: Vec<Value> = asked.iter().map(Asked::value).collect();
    output.show(&values, || {
        let header = [
            "node", "url", "ready", "height", "view", "leader", "peers", "pending", "sessions",
        ];
        table(header, asked.iter().map(Asked::row))
    });
    // Where none answers there is nothing in the table but that.
    let (mut silent, mut answers) = (None, 0);
    for one in asked {
        match one.status {
            Ok(_) => answers += 1,
            Err(error) => silent = Some(error),
        }
    }
    match silent {
        Some(error) if answers == 0 => Err(error.into()),
        _ => Ok(()),
    }
}

async fn ask(url: String) -> Result<Asked, Failure> {
    // It answers now or it does not: that is what is asked.
    let client = Client::new([&url])?.with_patience(Duration::ZERO);
    let status = client.resource::<Status>("status").await;
    Ok(Asked {
        ready: status.is_ok() && client.is_ready().await,
        status,
        url,
    })
}

impl Asked {
    fn value(&self) -> Value {
        match &self.status {
            Ok(status) => json!({ "url": self.url, "ready": self.ready, "status": status }),
            Err(error) => {
                json!({ "url": self.url, "ready": false, "error": error.to_string() })
            }
        }
    }

    fn row(&self) -> [String; 9] {
        let ready = match (&self.status, self.ready) {
            (Ok(_), true) => "yes",
            (Ok(_), false) => "no",
            (Err(_), _) => "no answer",
        };
        let (url, ready) = (self.url.clone(), ready.to_owned());
        let none = || String::from("-");
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(none);
        let (name, [height, view, leader, peers, pending, sessions]) = match &self.status {
            Err(_) => (none(), std::array::from_fn(|_| none())),
            Ok(Status::Validator(status)) => (
                status.validator.name.clone(),
                [
                    status.height.to_string(),
                    status.view.to_string(),
                    or_none(&status.leader),
                    status.peers.to_string(),
                    status.pending.to_string(),
                    none(),
                ],
            ),
            Ok(Status::Session(status)) => (
                or_none(&status.session_node.name),
                [
                    status.height.to_string(),
                    none(),
                    none(),
                    status.peers.len().to_string(),
                    status.pending.to_string(),
                    status.sessions.to_string(),
                ],
            ),
        };
        [
            name, url, ready, height, view, leader, peers, pending, sessions,
        ]
    }
}
