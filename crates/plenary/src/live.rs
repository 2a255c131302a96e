//! A live view of a network's nodes, for a terminal: a line a node, renewed every second.

use crate::{config::Role, output::Output, supervise::Running};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use plenary_client::Client;
use serde_json::Value;
use std::{future::pending, time::Duration};
use tokio::time::{Instant, sleep};

/// How often nodes are asked how they are.
const RENEW: Duration = Duration::from_secs(1);

/// A node that is shown.
struct Shown {
    name: String,
    role: Role,
    client: Client,
    bar: ProgressBar,
    /// How many steps it had run, and when.
    steps: Option<(u64, Instant)>,
}

/// The lines; taken off the terminal again when they are dropped.
pub(crate) struct Live {
    lines: MultiProgress,
    nodes: Vec<Shown>,
}

impl Live {
    /// A view of `nodes`, where standard error is a terminal and people look.
    pub(crate) fn new(nodes: &[Running], output: Output) -> Option<Self> {
        let lines = output.lines()?;
        let nodes = nodes.iter().filter_map(|node| {
            let client = Client::new([&node.url]).ok()?.with_patience(RENEW);
            let bar = lines.add(ProgressBar::new_spinner());
            bar.set_style(ProgressStyle::with_template("{msg}").ok()?);
            Some(Shown {
                name: node.name.clone(),
                role: node.role,
                client,
                bar,
                steps: None,
            })
        });
        let nodes = nodes.collect();
        Some(Self { lines, nodes })
    }

    /// Renews the view for as long as it is polled; without one, waits for ever.
    pub(crate) async fn run(live: Option<Self>) {
        let Some(mut live) = live else {
            return pending().await;
        };
        loop {
            for node in &mut live.nodes {
                node.renew().await;
            }
            sleep(RENEW).await;
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // A terminal that is gone needs no clearing.
        let _ = self.lines.clear();
    }
}

impl Shown {
    async fn renew(&mut self) {
        let line = match self.client.resource::<Value>("status").await {
            Ok(status) => self.describe(&status),
            Err(error) => format!("does not answer: {error}"),
        };
        self.bar.set_message(format!("{:<14} {line}", self.name));
    }

    fn describe(&mut self, status: &Value) -> String {
        // As text, for a value pays no heed to a width.
        let [height, pending, sessions] =
            ["height", "pending", "sessions"].map(|member| status[member].to_string());
        if self.role == Role::Validator {
            return format!("height {height:>6}   waiting {pending:>5}");
        }
        let steps = status["steps"].as_u64().unwrap_or_default();
        let now = Instant::now();
        let rate = self.steps.map_or(0.0, |(before, then)| {
            let seconds = now.duration_since(then).as_secs_f64();
            steps.saturating_sub(before) as f64 / seconds.max(f64::EPSILON)
        });
        self.steps = Some((steps, now));
        format!(
            "height {height:>6}   waiting {pending:>5}   open {sessions:>6}   steps/s {rate:>7.0}"
        )
    }
}
