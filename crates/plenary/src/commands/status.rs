//! `status`: how validators are.

use super::{Failure, block_on, target::Target};
use crate::output::{Output, table};
use plenary_client::{Client, ClientError, NetworkStatus};
use serde_json::{Value, json};
use std::time::Duration;

/// Show how validators are.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

/// What one validator says.
struct Asked {
    url: String,
    ready: bool,
    status: Result<NetworkStatus, ClientError>,
}

pub(crate) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let urls = args.target.urls()?;
    let asked = block_on(async { futures::future::try_join_all(urls.into_iter().map(ask)).await })?;
    let values: Vec<Value> = asked.iter().map(Asked::value).collect();
    output.show(&values, || {
        let header = [
            "validator",
            "url",
            "ready",
            "height",
            "view",
            "leader",
            "peers",
            "pending",
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
    let status = client.status().await;
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

    fn row(&self) -> [String; 8] {
        let ready = match (&self.status, self.ready) {
            (Ok(_), true) => "yes",
            (Ok(_), false) => "no",
            (Err(_), _) => "no answer",
        };
        let (url, ready) = (self.url.clone(), ready.to_owned());
        let Ok(status) = &self.status else {
            let unknown = || String::from("-");
            return [
                unknown(),
                url,
                ready,
                unknown(),
                unknown(),
                unknown(),
                unknown(),
                unknown(),
            ];
        };
        [
            status.validator.name.clone(),
            url,
            ready,
            status.height.to_string(),
            status.view.to_string(),
            status.leader.clone().unwrap_or_else(|| "-".into()),
            status.peers.to_string(),
            status.pending.to_string(),
        ]
    }
}
