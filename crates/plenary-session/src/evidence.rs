//! The proof that a session node gave a wrong answer.
//!
//! Whoever has the ledger can check it exactly. The wrong step's node has signed, with its proposal, all
//! that its response follows from: the requests and responses before, and when and on which height each
//! of them ran. So run each operation at its own time, on the state at its own height and on what those
//! before have written, and compare the last response. The node that found it signs it too, so that
//! nobody brings up contradictions that nobody stands for.

use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, ReadExt, Write};
use parking_lot::Mutex;
use plenary_types::{
    Digest, Genesis, GenesisHash, Operation, PrivateKey, Promise, PublicKey, Signature,
    limits::MAX_OPERATIONS,
    session::{EMPTY_HISTORY, Moment, chain_digest, history_link},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
};

/// Longest description of a difference, in bytes.
const MAX_DIFFERENCE_BYTES: usize = 4 * 1024;
/// Most that are kept: one of each step proves enough, and a liar must not fill the disk.
const MOST: usize = 1_000;

/// A step that a session node promised, and that another one, running the same, answers otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The step that is contradicted, as its node proposed it.
    pub promise: Promise,
    /// The final heights that the steps before it ran on, as the proposal signs them.
    pub heights: Vec<u64>,
    /// The session's operations up to the step, as the proposal signs them.
    pub operations: Vec<Operation>,
    /// The first difference, in words.
    pub difference: String,
    /// The node that found it.
    pub finder: PublicKey,
    /// The finder's signature over all of the above.
    pub signature: Signature,
}

impl Contradiction {
    /// Contradicts a step that a node proposed.
    pub fn sign(
        key: &PrivateKey,
        genesis: &GenesisHash,
        promise: Promise,
        heights: Vec<u64>,
        operations: Vec<Operation>,
        difference: &impl ToString,
    ) -> Self {
        let mut difference = difference.to_string();
        let end = (0..=MAX_DIFFERENCE_BYTES.min(difference.len())).rev();
        let end = end
            .into_iter()
            .find(|end| difference.is_char_boundary(*end));
        difference.truncate(end.unwrap_or_default());
        let mut contradiction = Self {
            promise,
            heights,
            operations,
            difference,
            finder: key.public_key(),
            signature: Signature([0; 64]),
        };
        contradiction.signature = key.sign(&contradiction.message(genesis));
        contradiction
    }

    /// Whether both signatures hold and are session nodes' of the network, and the operations, their
    /// times and their heights are those that were proposed. Which of the two is right, running them
    /// again shows.
    #[must_use]
    pub fn verify(&self, genesis: &Genesis) -> bool {
        let hash = genesis.hash();
        let Some((last, before)) = self.operations.split_last() else {
            return false;
        };
        genesis.is_session_node(&self.promise.node)
            && genesis.is_session_node(&self.finder)
            && (before.len(), before.len()) == (self.promise.sequence as usize, self.heights.len())
            && chain_digest(&self.operations) == self.promise.chain
            && last.time == self.promise.time
            && self.promise.verify_proposal(&hash, &self.history())
            && self.finder.verify(&self.message(&hash), &self.signature)
    }

    /// The digest of the moments of the steps before.
    fn history(&self) -> Digest {
        let moments = self.operations.iter().zip(&self.heights);
        moments.fold(EMPTY_HISTORY, |history, (operation, height)| {
            let (time, height) = (operation.time, *height);
            history_link(&history, Moment { time, height })
        })
    }

    fn message(&self, genesis: &GenesisHash) -> Vec<u8> {
        let mut message = b"plenary contradiction 1\n".to_vec();
        message.extend_from_slice(&genesis.0);
        self.promise.write(&mut message);
        message
            .extend_from_slice(&Digest::of("plenary difference", &[self.difference.as_bytes()]).0);
        message
    }
}

impl Write for Contradiction {
    fn write(&self, buf: &mut impl BufMut) {
        self.promise.write(buf);
        self.heights.write(buf);
        self.operations.write(buf);
        self.difference.as_bytes().to_vec().write(buf);
        self.finder.write(buf);
        self.signature.write(buf);
    }
}

impl EncodeSize for Contradiction {
    fn encode_size(&self) -> usize {
        let text = self.difference.len();
        self.promise.encode_size()
            + self.heights.encode_size()
            + self.operations.encode_size()
            + text.encode_size()
            + text
            + 32
            + 64
    }
}

impl Read for Contradiction {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        let text = |bytes: Bytes| String::from_utf8(bytes.into());
        Ok(Self {
            promise: Promise::read(buf)?,
            heights: Vec::read_cfg(buf, &(RangeCfg::from(0..MAX_OPERATIONS), ()))?,
            operations: Vec::read_cfg(buf, &(RangeCfg::from(1..=MAX_OPERATIONS), ()))?,
            difference: text(Bytes::read_cfg(
                buf,
                &RangeCfg::from(0..=MAX_DIFFERENCE_BYTES),
            )?)
            .map_err(|_| Error::Invalid("Contradiction", "the difference is no text"))?,
            finder: PublicKey::read(buf)?,
            signature: Signature::read(buf)?,
        })
    }
}

/// A contradiction as people and programs read it.
#[derive(Debug, Clone, Serialize)]
pub struct Described {
    /// The node that is contradicted.
    pub node: PublicKey,
    /// Its name in the genesis.
    pub name: Option<String>,
    /// The session and the step, as the node proposed it.
    pub promise: Promise,
    /// The first difference.
    pub difference: String,
    /// Who found it.
    pub finder: PublicKey,
    /// The whole proof, canonically encoded, in hexadecimal.
    pub proof: String,
}

impl Described {
    /// Describes a contradiction on the network of `genesis`.
    pub fn new(contradiction: &Contradiction, genesis: &Genesis) -> Self {
        let node = contradiction.promise.node;
        let named = genesis
            .session_nodes
            .iter()
            .find(|member| member.key == node);
        Self {
            node,
            name: named.map(|member| member.name.clone()),
            promise: contradiction.promise,
            difference: contradiction.difference.clone(),
            finder: contradiction.finder,
            proof: to_hex(contradiction),
        }
    }
}

fn to_hex(contradiction: &Contradiction) -> String {
    hex::encode(plenary_types::encode(contradiction))
}

#[derive(Default)]
struct Kept {
    all: BTreeMap<(PublicKey, [u8; 32], u32), Contradiction>,
    file: Option<File>,
}

/// The contradictions that a node knows of: one a line, appended as they are found.
#[derive(Default)]
pub struct EvidenceLog(Mutex<Kept>);

impl EvidenceLog {
    /// Opens the log at `path`, or makes it. A line that was cut off by a crash is passed over.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).read(true).open(path)?;
        let mut kept = Kept::default();
        for line in BufReader::new(file.try_clone()?).lines() {
            let decoded = hex::decode(line?).ok();
            let decoded = decoded.and_then(|bytes| plenary_types::decode(bytes.into()).ok());
            kept.all.extend(decoded.map(|one| (key(&one), one)));
        }
        kept.file = Some(file);
        Ok(Self(Mutex::new(kept)))
    }

    /// Keeps a contradiction that holds; more of the same step adds nothing.
    pub fn add(&self, contradiction: Contradiction) {
        let mut kept = self.0.lock();
        let key = key(&contradiction);
        if kept.all.len() >= MOST || kept.all.contains_key(&key) {
            return;
        }
        let line = to_hex(&contradiction) + "\n";
        kept.all.insert(key, contradiction);
        if let Some(file) = &mut kept.file
            && let Err(error) = file
                .write_all(line.as_bytes())
                .and_then(|()| file.sync_data())
        {
            tracing::error!(%error, "evidence could not be written; it is kept in memory");
        }
    }

    /// All that is kept.
    pub fn all(&self) -> Vec<Contradiction> {
        self.0.lock().all.values().cloned().collect()
    }
}

fn key(contradiction: &Contradiction) -> (PublicKey, [u8; 32], u32) {
    let promise = &contradiction.promise;
    (promise.node, promise.session.0, promise.sequence)
}
