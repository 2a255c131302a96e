//! What is heard of other session nodes, and the thread that works on it.
//!
//! Messages are worked on one after the other, off the async threads, for a proposal runs a handler.
//! An endorsement, which somebody's answer waits for, is taken at once where that needs no waiting.
//! A handler that does not come back costs its thread: [`Worker::relieve`] notices, and another one
//! goes on with the next message.

use crate::{message::Message, node::Node};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use plenary_types::PublicKey;
use plenary_validator::guard::HANDLER_LIMIT;
use std::{
    io,
    sync::{Arc, Weak, mpsc},
    thread,
    time::Instant,
};

/// How many messages of other session nodes wait to be worked on.
const MAX_WAITING: usize = 65_536;

/// What is heard of other session nodes.
enum Heard {
    Message(PublicKey, Message),
    Met(PublicKey),
}

/// Where it arrives. The worker ends when the last of these is gone.
#[derive(Clone)]
pub struct Inbox {
    node: Arc<Node>,
    queue: mpsc::SyncSender<Heard>,
}

/// The thread that works on it.
pub struct Worker(Arc<Work>);

struct Work {
    /// Weak, so that a handler that does not come back keeps no file open for ever.
    node: Weak<Node>,
    queue: Mutex<mpsc::Receiver<Heard>>,
    turn: Mutex<Turn>,
    idle: Condvar,
}

/// Which thread's turn it is, and since when it is at a message.
#[derive(Default)]
struct Turn {
    thread: u64,
    since: Option<Instant>,
    stopped: bool,
}

/// An inbox of `node`, and its worker, which has begun.
///
/// # Errors
///
/// No thread can be had.
pub fn start(node: Arc<Node>) -> io::Result<(Inbox, Worker)> {
    let (queue, messages) = mpsc::sync_channel(MAX_WAITING);
    let work = Arc::new(Work {
        node: Arc::downgrade(&node),
        queue: Mutex::new(messages),
        turn: Mutex::default(),
        idle: Condvar::new(),
    });
    spawn(work.clone(), 0)?;
    Ok((Inbox { node, queue }, Worker(work)))
}

impl Inbox {
    /// Takes what another node sent. Anything may be in it.
    pub fn receive(&self, from: PublicKey, message: Bytes) {
        if let Some(message) = self.node.hear(&from, message)
            && !self.node.take_at_once(from, &message)
        {
            self.put(Heard::Message(from, message));
        }
    }

    /// Another node can be reached, anew or for the first time.
    pub fn met(&self, peer: PublicKey) {
        self.put(Heard::Met(peer));
    }

    fn put(&self, heard: Heard) {
        // Whoever floods this node loses messages.
        let _ = self.queue.try_send(heard);
    }
}

impl Worker {
    /// Has another thread go on where the one that is at work does not come back.
    pub fn relieve(&self) {
        let mut turn = self.0.turn.lock();
        if turn
            .since
            .is_none_or(|since| since.elapsed() < HANDLER_LIMIT)
        {
            return;
        }
        tracing::error!("a step that another node proposed does not come back");
        turn.thread += 1;
        turn.since = None;
        if let Err(error) = spawn(self.0.clone(), turn.thread)
            && let Some(node) = self.0.node.upgrade()
        {
            node.fail(format_args!("no thread for other nodes' steps: {error}"));
        }
    }

    /// Ends the work, once the message that it is at is done, if that comes back.
    pub fn stop(&self) {
        let mut turn = self.0.turn.lock();
        turn.stopped = true;
        let busy = |turn: &mut Turn| turn.since.is_some();
        self.0.idle.wait_while_for(&mut turn, busy, HANDLER_LIMIT);
    }
}

fn spawn(work: Arc<Work>, thread: u64) -> io::Result<()> {
    let builder = thread::Builder::new().name("replica".into());
    builder.spawn(move || work.run(thread)).map(drop)
}

impl Work {
    /// Works until nothing can come any more, or it is another thread's turn.
    fn run(&self, thread: u64) {
        loop {
            let Ok(heard) = self.queue.lock().recv() else {
                return;
            };
            {
                let mut turn = self.turn.lock();
                if turn.stopped {
                    return;
                }
                turn.since = Some(Instant::now());
            }
            self.work(heard);
            let mut turn = self.turn.lock();
            if turn.thread != thread {
                return;
            }
            turn.since = None;
            self.idle.notify_all();
        }
    }

    fn work(&self, heard: Heard) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        match heard {
            Heard::Message(from, message) => node.take_in(from, message),
            Heard::Met(peer) => node.met(peer),
        }
    }
}
