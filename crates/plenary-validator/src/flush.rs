//! Making final blocks durable in groups.
//!
//! A final block is applied in memory at once, and clients are answered: the engine holds the
//! block and its certificate on disk already, and delivers it again after a crash until it is
//! acknowledged here. So the ledger needs no sync for each block: the flusher waits a little,
//! writes all there is with one sync, and acknowledges. The state is made from the ledger, and is
//! written less often still: keys that many blocks change are then written once.

use parking_lot::Mutex;
use plenary_consensus::Acknowledgement;
use plenary_store::Store;
use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long blocks are collected before they are written.
const PACE: Duration = Duration::from_millis(500);
/// How many blocks are written without waiting any longer.
const GROUP: usize = 32;
/// How many blocks the state may be behind the ledger. Each costs memory, time in every read, and
/// its execution after a crash.
const BEHIND: usize = 16;
/// How long after the last block the state is written.
const REST: Duration = Duration::from_secs(1);

/// A block's height, and what to complete once it is durable.
struct Finalized(u64, Acknowledgement);

/// Writes final blocks to disk and acknowledges them.
pub struct Flusher {
    mode: Mode,
}

enum Mode {
    /// At once, in the caller: for simulations.
    Inline(Arc<Store>),
    /// In a thread of its own.
    Grouped {
        queue: Mutex<Option<mpsc::Sender<Finalized>>>,
        thread: Mutex<Option<JoinHandle<()>>>,
    },
}

impl Flusher {
    /// A flusher that writes each block before it returns.
    pub fn inline(store: Arc<Store>) -> Self {
        Self {
            mode: Mode::Inline(store),
        }
    }

    /// A flusher that writes in groups, from a thread of its own. `failed` is told why, should a
    /// write fail; nothing is acknowledged from then on.
    ///
    /// # Errors
    ///
    /// Where no thread can be started.
    pub fn grouped(
        store: Arc<Store>,
        failed: impl Fn(String) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, blocks) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("flush".into())
            .spawn(move || run(&store, &blocks, &failed))?;
        Ok(Self {
            mode: Mode::Grouped {
                queue: Mutex::new(Some(queue)),
                thread: Mutex::new(Some(thread)),
            },
        })
    }

    /// Acknowledges the block at `height`, which is applied, once it is durable.
    pub(crate) fn durable(&self, height: u64, acknowledgement: Acknowledgement) {
        match &self.mode {
            Mode::Inline(store) => match store.flush() {
                Ok(()) => acknowledgement.complete(),
                Err(error) => tracing::error!(%error, "final blocks could not be written"),
            },
            Mode::Grouped { queue, .. } => {
                if let Some(queue) = &*queue.lock() {
                    // A flusher that has stopped acknowledges nothing: the engine will deliver
                    // the block again after a restart.
                    let _ = queue.send(Finalized(height, acknowledgement));
                }
            }
        }
    }

    /// Makes the block at `height`, which is applied, durable, for a node that would get it again
    /// from others.
    pub fn written(&self, height: u64) {
        self.durable(height, Acknowledgement::new(|| {}));
    }

    /// Writes what is left and stops.
    pub fn stop(&self) {
        if let Mode::Grouped { queue, thread } = &self.mode {
            queue.lock().take();
            if let Some(thread) = thread.lock().take() {
                let _ = thread.join();
            }
        }
    }
}

fn run(store: &Store, blocks: &mpsc::Receiver<Finalized>, failed: &impl Fn(String)) {
    let mut running = true;
    while running {
        let first = match store.unflushed() {
            0 => blocks.recv().map_err(|_| RecvTimeoutError::Disconnected),
            _ => blocks.recv_timeout(REST),
        };
        running = !matches!(first, Err(RecvTimeoutError::Disconnected));
        let written = match first {
            Ok(first) => sync(store, blocks, first),
            Err(_) => store.flush().map_err(|error| error.to_string()),
        };
        if let Err(error) = written {
            failed(error);
            return;
        }
    }
}

/// Makes a block and those that follow it soon durable, and acknowledges them.
fn sync(store: &Store, blocks: &mpsc::Receiver<Finalized>, first: Finalized) -> Result<(), String> {
    let mut group = vec![first];
    let deadline = Instant::now() + PACE;
    while group.len() < GROUP {
        let left = deadline.saturating_duration_since(Instant::now());
        match blocks.recv_timeout(left) {
            Ok(next) => group.push(next),
            Err(_) => break,
        }
    }
    let durable = store.sync().map_err(|error| error.to_string())?;
    for Finalized(height, acknowledgement) in group {
        if height > durable {
            return Err(format!(
                "block {height} was written and is not in the ledger"
            ));
        }
        acknowledgement.complete();
    }
    match store.unflushed() {
        behind if behind >= BEHIND => store.flush().map_err(|error| error.to_string()),
        _ => Ok(()),
    }
}
