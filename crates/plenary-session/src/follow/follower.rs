//! The follower: one source after the other, and the chain that grows from them.

use super::{
    Chain, Timing, UrlError, Validators,
    lag::{Lag, Watch},
    source::{Failure, Source, read},
    turns::Turns,
    verify::{Link, Verifier},
};
use futures::{StreamExt as _, TryFutureExt as _, stream::FuturesUnordered};
use parking_lot::Mutex;
use plenary_store::Entry;
use plenary_types::{Genesis, Header, PublicKey};
use plenary_validator::frames::Frame;
use std::{io, pin::pin, sync::Arc, thread};
use tokio::{
    select,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};

/// How many blocks wait between two stages at most.
const QUEUE: usize = 16;

/// Why a follower does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A URL is none.
    #[error("{0}")]
    Url(#[from] UrlError),
    /// The system gives no thread.
    #[error("cannot start the thread that executes blocks: {0}")]
    Thread(#[from] io::Error),
}

/// Where a follower is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The validator that is followed, or tried.
    pub source: PublicKey,
    /// Whether its stream is open.
    pub connected: bool,
    /// The height of the last block found final.
    pub height: u64,
    /// Why the node must stop, once it must.
    pub failure: Option<String>,
}

/// A running follower. It ends when it is dropped.
pub struct Follower {
    shared: Arc<Shared>,
    stopping: watch::Sender<bool>,
    running: Mutex<Option<(JoinHandle<()>, thread::JoinHandle<()>)>>,
}

/// What the stages tell.
struct Shared {
    /// The validator that is followed, and whether its stream is open.
    source: watch::Sender<(PublicKey, bool)>,
    verified: watch::Sender<u64>,
    failure: watch::Sender<Option<String>>,
}

/// Starts to follow the network's validators after the final block `tip`, in a tokio runtime.
///
/// # Errors
///
/// What is wrong with the URLs, or with this system.
pub fn start(
    genesis: Arc<Genesis>,
    tip: &Header,
    validators: &Validators,
    chain: Arc<dyn Chain>,
) -> Result<Follower, StartError> {
    start_with(genesis, tip, validators, chain, Timing::default())
}

/// As [`start`], with other times to wait.
///
/// # Errors
///
/// As [`start`].
pub fn start_with(
    genesis: Arc<Genesis>,
    tip: &Header,
    validators: &Validators,
    chain: Arc<dyn Chain>,
    timing: Timing,
) -> Result<Follower, StartError> {
    let sources = validators.sources()?;
    let tip = Link::from(tip);
    let shared = Arc::new(Shared {
        source: watch::Sender::new((sources[0].key, false)),
        verified: watch::Sender::new(tip.height),
        failure: watch::Sender::new(None),
    });
    let (stopping, mut stopped) = watch::channel(false);
    let (finals, queue) = mpsc::channel(QUEUE);
    let (on, told, stop) = (chain.clone(), shared.clone(), stopped.clone());
    let executing = thread::Builder::new()
        .name("execute".into())
        .spawn(move || execute(&*on, queue, &told, &stop))?;
    let following = Following {
        turns: Turns::new(sources.len(), timing),
        genesis,
        sources,
        chain,
        timing,
        tip,
        finals,
        shared: shared.clone(),
    };
    let following = tokio::spawn(async move {
        select! {
            () = following.run() => {}
            // An error says that the follower is gone.
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    });
    Ok(Follower {
        shared,
        stopping,
        running: Mutex::new(Some((following, executing))),
    })
}

impl Follower {
    /// Where it is now.
    pub fn status(&self) -> Status {
        let (source, connected) = *self.shared.source.borrow();
        Status {
            source,
            connected,
            height: *self.shared.verified.borrow(),
            failure: self.shared.failure.borrow().clone(),
        }
    }

    /// Waits until the chain took no further block, and says why: the node must stop then.
    pub async fn failed(&self) -> String {
        let mut failure = self.shared.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the follower is gone".into(),
        }
    }

    /// Stops it, once the chain has taken the block that it is at.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        let running = self.running.lock().take();
        if let Some((following, executing)) = running {
            // A task or thread that panicked has stopped as well.
            let _ = following.await;
            let _ = tokio::task::spawn_blocking(move || executing.join()).await;
        }
    }
}

/// Gives final blocks to the chain, in a thread of its own.
fn execute(
    chain: &dyn Chain,
    mut queue: mpsc::Receiver<Entry>,
    shared: &Shared,
    stopped: &watch::Receiver<bool>,
) {
    while let Some(entry) = queue.blocking_recv() {
        if *stopped.borrow() {
            return;
        }
        if let Err(reason) = chain.take(entry) {
            tracing::error!(%reason, "a final block cannot be taken");
            shared.failure.send_replace(Some(reason));
            return;
        }
    }
}

/// How following a source ended.
enum End {
    Failed(Failure),
    Behind {
        other: usize,
        claimed: u64,
    },
    /// The chain takes nothing more.
    Over,
}

/// What the follower's task has.
struct Following {
    genesis: Arc<Genesis>,
    sources: Vec<Source>,
    chain: Arc<dyn Chain>,
    timing: Timing,
    turns: Turns,
    /// The last block given to the chain.
    tip: Link,
    finals: mpsc::Sender<Entry>,
    shared: Arc<Shared>,
}

impl Following {
    async fn run(mut self) {
        let all = (0..self.sources.len()).collect();
        let (mut source, mut claimed) = (self.nearest(all).await.unwrap_or(0), None);
        loop {
            let began = Instant::now();
            let end = self.follow(source, claimed).await;
            let key = self.sources[source].key;
            self.shared.source.send_replace((key, false));
            (source, claimed) = match end {
                End::Over => return,
                End::Behind { other, claimed } => {
                    tracing::info!(validator = %key, claimed, "a validator is behind another");
                    (other, Some(claimed))
                }
                End::Failed(failure) => {
                    tracing::warn!(validator = %key, %failure, "a validator is left for another");
                    let now = Instant::now();
                    self.turns.failed(source, now - began, now);
                    (self.next(source).await, None)
                }
            };
        }
    }

    /// Which of these sources answers first.
    async fn nearest(&self, candidates: Vec<usize>) -> Option<usize> {
        let asked = candidates.into_iter().map(|index| {
            let answer = self.sources[index].height(self.timing.answer);
            answer.map_ok(move |_| index)
        });
        let answers: FuturesUnordered<_> = asked.collect();
        pin!(answers.filter_map(async |answer| answer.ok()))
            .next()
            .await
    }

    /// The source after one that failed. Where all have failed lately, or none answers, there is a
    /// pause.
    async fn next(&self, failed: usize) -> usize {
        let others = self.turns.others(failed, Instant::now());
        match self.nearest(others.collect()).await {
            Some(next) => next,
            None => {
                sleep(self.timing.backoff).await;
                self.turns.soonest()
            }
        }
    }

    /// Follows a source until it fails or is behind.
    async fn follow(&mut self, index: usize, claimed: Option<u64>) -> End {
        let source = &self.sources[index];
        self.shared.source.send_replace((source.key, false));
        let response = match source.open(self.tip.height + 1, self.timing.answer).await {
            Ok(response) => response,
            Err(failure) => return End::Failed(failure),
        };
        self.shared.source.send_replace((source.key, true));
        let (frames, queue) = mpsc::channel(QUEUE);
        let stage = VerifyStage {
            verifier: Verifier::new(self.genesis.clone(), self.tip),
            tip: self.tip,
            finals: self.finals.clone(),
            shared: self.shared.clone(),
        };
        let verifying = tokio::task::spawn_blocking(move || stage.run(queue));
        let watch = Watch {
            sources: &self.sources,
            followed: index,
            claimed,
            turns: &mut self.turns,
            faults: self.genesis.faults(),
            verified: self.shared.verified.subscribe(),
            chain: &*self.chain,
            timing: self.timing,
        };
        let end = select! {
            biased;
            // Why they are not taken any more is known when the verification has ended.
            () = frames.closed() => End::Failed(Failure::Closed),
            Err(failure) = read(response, &frames, self.timing.silence) => End::Failed(failure),
            lag = watch.run() => match lag {
                Lag::Behind { other, claimed } => End::Behind { other, claimed },
                Lag::Unfounded(claimed) => End::Failed(Failure::Unfounded(claimed)),
            },
        };
        drop(frames);
        match verifying.await {
            Ok((tip, ended)) => {
                self.tip = tip;
                ended.unwrap_or(end)
            }
            Err(error) => {
                let failure = format!("the verification of blocks broke off: {error}");
                self.shared.failure.send_replace(Some(failure));
                End::Over
            }
        }
    }
}

/// Decodes and verifies one source's blocks.
struct VerifyStage {
    verifier: Verifier,
    tip: Link,
    finals: mpsc::Sender<Entry>,
    shared: Arc<Shared>,
}

impl VerifyStage {
    /// Ends with the queue, or by itself, and then says how; and gives the last final block.
    fn run(mut self, mut queue: mpsc::Receiver<Frame>) -> (Link, Option<End>) {
        while let Some(frame) = queue.blocking_recv() {
            if let Err(end) = self.verify(frame) {
                return (self.tip, Some(end));
            }
        }
        (self.tip, None)
    }

    fn verify(&mut self, frame: Frame) -> Result<(), End> {
        let failed = |failure: Failure| End::Failed(failure);
        let (block, certificate) = frame.decode().map_err(|error| failed(error.into()))?;
        let finals = self.verifier.push(block, certificate);
        for entry in finals.map_err(|invalid| failed(invalid.into()))? {
            let link = Link::from(&entry.block.header);
            self.shared.verified.send_replace(link.height);
            self.finals.blocking_send(entry).map_err(|_| End::Over)?;
            self.tip = link;
        }
        Ok(())
    }
}
