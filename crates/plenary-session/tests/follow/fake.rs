//! Validators that serve a made-up chain, as honestly as a test wants.

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use bytes::{Bytes, BytesMut};
use futures::stream;
use parking_lot::Mutex;
use plenary_store::Entry;
use plenary_types::{Block, Problem, Transaction, testing::Network};
use plenary_validator::frames;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::watch};

/// A chain that grows when the test says so.
pub struct World {
    pub network: Network,
    pub entries: watch::Sender<Vec<Entry>>,
    /// Whether a stream was opened, anywhere.
    begun: watch::Sender<bool>,
}

impl World {
    /// A chain of `height` blocks.
    pub fn new(height: usize) -> Self {
        let world = Self {
            network: Network::new(4),
            entries: watch::Sender::default(),
            begun: watch::Sender::default(),
        };
        (0..height).for_each(|_| world.grow(true));
        world
    }

    pub fn grow(&self, certified: bool) {
        self.entries.send_modify(|entries| {
            let genesis = self.network.genesis_block().header;
            let tip = entries.last().map_or(&genesis, |tip| &tip.block.header);
            let transaction = self.network.numbered_transaction(tip.height);
            let block = self.network.committed(tip, vec![transaction]);
            entries.push(Entry {
                certificate: certified.then(|| self.network.certificate(&block.header)),
                block: Arc::new(block),
            });
        });
    }

    pub fn height(&self) -> u64 {
        self.entries.borrow().len() as u64
    }
}

/// What a fake validator does after the last block that it gives.
#[derive(Clone, Copy)]
pub enum Then {
    Close,
    Hang,
    /// Shows now and then that it lives.
    Live,
}

/// How a fake validator deviates from an honest one.
pub struct Script {
    /// It gives no block above.
    pub until: u64,
    pub then: Then,
    /// What it does to the blocks from height 3 on.
    pub tamper: fn(&mut Entry),
    /// What it puts instead of frames.
    pub garbage: Option<&'static [u8]>,
    /// The height that it claims, where that is not the chain's.
    pub claim: Option<u64>,
    /// How long it takes for each block.
    pub pause: Duration,
    /// How it answers a transaction.
    pub refuse: Option<Problem>,
    /// Whether it says how far it is only once a stream was opened: then another is the nearest.
    pub far: bool,
}

impl Script {
    pub fn honest() -> Self {
        Self {
            until: u64::MAX,
            then: Then::Hang,
            tamper: |_| {},
            garbage: None,
            claim: None,
            pause: Duration::ZERO,
            refuse: None,
            far: false,
        }
    }

    pub fn until(height: u64, then: Then) -> Self {
        Self {
            until: height,
            then,
            ..Self::honest()
        }
    }
}

pub struct Fake {
    pub url: String,
    /// From where it was asked for blocks, each time.
    pub opened: Arc<Mutex<Vec<u64>>>,
    /// The transactions that it was given.
    pub given: watch::Receiver<Vec<Transaction>>,
}

struct Inner {
    script: Script,
    entries: watch::Receiver<Vec<Entry>>,
    begun: watch::Sender<bool>,
    opened: Arc<Mutex<Vec<u64>>>,
    given: watch::Sender<Vec<Transaction>>,
}

impl Fake {
    pub async fn start(world: &World, script: Script) -> Self {
        let opened = Arc::new(Mutex::new(Vec::new()));
        let given = watch::Sender::default();
        let follower = given.subscribe();
        let inner = Arc::new(Inner {
            script,
            entries: world.entries.subscribe(),
            begun: world.begun.clone(),
            opened: opened.clone(),
            given,
        });
        let router = Router::new()
            .route("/plenary/v1/blocks", get(blocks))
            .route("/plenary/v1/status", get(status))
            .route("/plenary/v1/transactions", post(submit))
            .with_state(inner);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url,
            opened,
            given: follower,
        }
    }
}

#[derive(Deserialize)]
struct From {
    from: u64,
}

async fn blocks(State(fake): State<Arc<Inner>>, Query(From { from }): Query<From>) -> Response {
    fake.opened.lock().push(from);
    fake.begun.send_replace(true);
    let pieces = stream::unfold((fake, from), |(fake, next)| async move {
        let piece = piece(&fake, next).await?;
        let next = next + u64::from(piece != frames::ALIVE[..]);
        Some((Ok::<_, Infallible>(piece), (fake, next)))
    });
    Body::from_stream(pieces).into_response()
}

async fn piece(fake: &Inner, height: u64) -> Option<Bytes> {
    let script = &fake.script;
    if height > script.until {
        return match script.then {
            Then::Close => None,
            Then::Hang => pending().await,
            Then::Live => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Some(Bytes::from_static(&frames::ALIVE))
            }
        };
    }
    let mut entries = fake.entries.clone();
    let there = entries.wait_for(|entries| entries.len() as u64 >= height);
    let mut entry = there.await.ok()?[height as usize - 1].clone();
    tokio::time::sleep(script.pause).await;
    if height >= 3 {
        (script.tamper)(&mut entry);
    }
    let mut piece = BytesMut::new();
    match script.garbage {
        Some(garbage) => piece.extend_from_slice(garbage),
        None => frames::write(&mut piece, &entry),
    }
    Some(piece.freeze())
}

async fn status(State(fake): State<Arc<Inner>>) -> Json<Value> {
    if fake.script.far {
        let mut begun = fake.begun.subscribe();
        // The world lives as long as the test.
        let _ = begun.wait_for(|begun| *begun).await;
    }
    let height = fake.entries.borrow().len() as u64;
    Json(json!({ "height": fake.script.claim.unwrap_or(height) }))
}

async fn submit(State(fake): State<Arc<Inner>>, body: Bytes) -> Response {
    if let Some(problem) = &fake.script.refuse {
        let status = StatusCode::from_u16(problem.status).unwrap();
        return (status, Json(problem)).into_response();
    }
    let transaction = plenary_types::decode(body).unwrap();
    fake.given.send_modify(|given| given.push(transaction));
    StatusCode::ACCEPTED.into_response()
}

/// Changes a block without telling anybody else that has it.
pub fn change(entry: &mut Entry, how: impl FnOnce(&mut Block)) {
    let mut block = Block::clone(&entry.block);
    how(&mut block);
    entry.block = Arc::new(block);
}
