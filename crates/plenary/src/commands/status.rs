//! `status`: how validators are.

use super::{Failure, block_on, target::Target};
use crate::{
    output::{Output, table},
    remote::{Remote, RemoteError},
};
use serde_json::{Value, json};

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
    status: Result<Value, RemoteError>,
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
    let remote = Remote::new([url.clone()])?;
    let status = remote.get("status").await;
    Ok(Asked {
        ready: status.is_ok() && remote.is_ready().await,
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
        let field = |pointer| match &self.status {
            Ok(status) => plain(status.pointer(pointer)),
            Err(_) => String::from("-"),
        };
        let ready = match (&self.status, self.ready) {
            (Ok(_), true) => "yes",
            (Ok(_), false) => "no",
            (Err(_), _) => "no answer",
        };
        [
            field("/validator/name"),
            self.url.clone(),
            ready.into(),
            field("/height"),
            field("/view"),
            field("/leader"),
            field("/peers"),
            field("/pending"),
        ]
    }
}

fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
