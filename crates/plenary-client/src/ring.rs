//! Nodes that serve the same, asked one after the other until one has an answer.

use crate::{ClientError, error::Hope, node::Node};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// The pause after all nodes were asked in vain; doubled each time, up to a second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Nodes of one role. Clones share who is asked first.
#[derive(Debug, Clone)]
pub(crate) struct Ring {
    nodes: Arc<[Node]>,
    /// The node that answered last, which is asked first.
    preferred: Arc<AtomicUsize>,
}

impl Ring {
    /// The nodes at these URLs.
    pub(crate) fn new<U: AsRef<str>>(
        http: &reqwest::Client,
        urls: impl IntoIterator<Item = U>,
    ) -> Result<Self, ClientError> {
        let urls = urls.into_iter();
        let nodes = urls.map(|url| Node::new(http.clone(), url.as_ref()));
        Ok(Self {
            nodes: nodes.collect::<Result<_, _>>()?,
            preferred: Arc::default(),
        })
    }

    /// These nodes, then those.
    pub(crate) fn and(&self, others: &Self) -> Self {
        let nodes = self.nodes.iter().chain(others.nodes.iter());
        Self {
            nodes: nodes.cloned().collect(),
            preferred: Arc::default(),
        }
    }

    /// Whether there is nobody to ask.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The same nodes, with a preference of its own from now on.
    pub(crate) fn fork(&self) -> Self {
        let preferred = self.preferred.load(Ordering::Relaxed);
        Self {
            nodes: self.nodes.clone(),
            preferred: Arc::new(preferred.into()),
        }
    }

    /// The same nodes, with the one of this number asked first, counted on from the last to the
    /// first. There is a node, or nobody to ask.
    pub(crate) fn beginning_at(&self, first: usize) -> Self {
        Self {
            nodes: self.nodes.clone(),
            preferred: Arc::new((first % self.nodes.len().max(1)).into()),
        }
    }

    /// The node that a stream prefers, or another after it failed. There is one.
    pub(crate) fn node(&self, failures: usize) -> &Node {
        let preferred = self.preferred.load(Ordering::Relaxed);
        &self.nodes[(preferred + failures) % self.nodes.len()]
    }

    /// Asks one node after the other, beginning with the one that answered last, and all of them
    /// again after a pause, until one has an answer or patience ends.
    pub(crate) async fn first<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        patience: Duration,
        ask: impl Fn(Node) -> F,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let start = self.preferred.load(Ordering::Relaxed);
            let mut unreachable = Vec::new();
            let mut told = None;
            // Whether any node may answer otherwise soon.
            let mut soon = false;
            for step in 0..self.nodes.len() {
                let index = (start + step) % self.nodes.len();
                let error = match ask(self.nodes[index].clone()).await {
                    Ok(answer) => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Err(error) => error,
                };
                soon |= error.hope() == Hope::Soon;
                match error {
                    ClientError::Unreachable { reasons } => unreachable.extend(reasons),
                    error if error.hope() == Hope::Never => return Err(error),
                    error => told = Some(error),
                }
            }
            if !soon || Instant::now() + pause >= deadline {
                // What somebody said is worth more than who was silent.
                return Err(told.unwrap_or(ClientError::Unreachable {
                    reasons: unreachable,
                }));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
