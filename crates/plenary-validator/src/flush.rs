//! Making final blocks durable in groups.
//!
//! A final block is applied in memory at once, and clients are answered: the engine holds the
//! block and its certificate on disk already, and delivers it again after a crash until it is
//! acknowledged here. So state and ledger need no sync of their own for each block: the flusher
//! waits a little, writes all there is in one go, and acknowledges.

use parking_lot::Mutex;
use plenary_consensus::Acknowledgement;
use plenary_store::Store;
use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long blocks are collected before they are written.
const PACE: Duration = Duration::from_millis(100);
/// How many blocks are written without waiting any longer.
const GROUP: u64 = 64;

type Finalized = (u64, Acknowledgement);

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
                    let _ = queue.send((height, acknowledgement));
                }
            }
        }
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
    while let Ok(first) = blocks.recv() {
        let mut group = vec![first];
        let deadline = std::time::Instant::now() + PACE;
        while (group.len() as u64) < GROUP {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match blocks.recv_timeout(left) {
                Ok(next) => group.push(next),
                Err(_) => break,
            }
        }
        if let Err(error) = store.flush() {
            failed(error.to_string());
            return;
        }
        for (height, acknowledgement) in group {
            if height > store.state().flushed_height() {
                failed(format!("block {height} was flushed and is not on disk"));
                return;
            }
            acknowledgement.complete();
        }
    }
}
