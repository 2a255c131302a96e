//! Transactions that layer 1 refuses for good, and what becomes of their sessions.
//!
//! A transaction is sent again until it is final, for a validator that refuses it may lie. It is given
//! up once so many validators have refused it that one of them is honest, all for the same reason, and
//! one that cannot change: then no later block can have it. Its session is rejected, without a block
//! that says so. Should a block that was on its way then have it all the same, the block counts.

use crate::{feed::Event, follow::submit::Refused, node::Node, record::Record, session::Status};
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, ReadExt, Write};
use plenary_types::{
    Problem, Stage, Timestamp, Transaction, TransactionHash, encode, limits::MAX_OPERATION_AGE_MS,
};

/// Longest code of a reason, and longest text, in bytes.
const MAX_CODE_BYTES: usize = 64;
const MAX_DETAIL_BYTES: usize = 1024;

/// What is wrong with a transaction itself, on this network, at any time.
const NEVER: [&str; 11] = [
    "malformed-transaction",
    "transaction-too-large",
    "service-version",
    "unknown-originator",
    "originator-signature",
    "client-signature",
    "signature-required",
    "repeated-operation",
    "mixed-authors",
    "commitment-signature",
    "endorsement-signature",
];

/// Why no block will have a session's transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The transaction.
    pub transaction: TransactionHash,
    /// When it was given up.
    pub time: Timestamp,
    /// The code of the validators' problem.
    pub code: String,
    /// Its text, as one of them wrote it.
    pub detail: String,
}

impl Reason {
    fn new(transaction: TransactionHash, time: Timestamp, problem: &Problem) -> Self {
        // A character has four bytes at most.
        let detail = problem.detail.chars().take(MAX_DETAIL_BYTES / 4);
        Self {
            transaction,
            time,
            code: problem.code.clone(),
            detail: detail.collect(),
        }
    }

    /// What the session's client is told.
    pub fn problem(&self) -> Problem {
        let detail = format_args!(
            "layer 1 will have the session's transaction in no block ({}: {}); open another session",
            self.code, self.detail
        );
        Problem::new(409, "refused-for-good", detail)
            .at(Stage::Layer1)
            .about(self.transaction)
            .with("reason", self.code.clone())
    }
}

impl Write for Reason {
    fn write(&self, buf: &mut impl BufMut) {
        self.transaction.write(buf);
        self.time.write(buf);
        self.code.as_bytes().to_vec().write(buf);
        self.detail.as_bytes().to_vec().write(buf);
    }
}

impl EncodeSize for Reason {
    fn encode_size(&self) -> usize {
        let text = |text: &str| text.len().encode_size() + text.len();
        32 + self.time.encode_size() + text(&self.code) + text(&self.detail)
    }
}

impl Read for Reason {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, _: &()) -> Result<Self, Error> {
        Ok(Self {
            transaction: TransactionHash::read(buf)?,
            time: Timestamp::read(buf)?,
            code: text(buf, MAX_CODE_BYTES)?,
            detail: text(buf, MAX_DETAIL_BYTES)?,
        })
    }
}

fn text(buf: &mut impl Buf, most: usize) -> Result<String, Error> {
    let bytes = Bytes::read_cfg(buf, &RangeCfg::from(0..=most))?;
    String::from_utf8(bytes.into()).map_err(|_| Error::Invalid("Reason", "it is no text"))
}

impl Node {
    /// A validator refuses a transaction, so it says, for good.
    pub fn refused(&self, refused: &Refused) {
        let validators = &self.genesis.validators;
        if !validators.iter().any(|one| one.key == refused.validator) {
            return;
        }
        let problem = &refused.problem;
        // One more than may lie.
        let enough = self.genesis.faults() + 1;
        let for_good = |transaction: &Transaction| self.is_for_good(&problem.code, transaction);
        let given_up = self.submissions.refused(refused, enough, for_good);
        if let Some(transaction) = given_up {
            tracing::warn!(transaction = %refused.transaction, %problem,
                "a transaction is given up: no block will have it");
            self.give_up(&transaction, problem);
        }
    }

    /// Whether what a transaction is refused for now, it is refused for at any later time.
    fn is_for_good(&self, code: &str, transaction: &Transaction) -> bool {
        let now = self.now();
        let expired = |time: Timestamp| time.plus_ms(MAX_OPERATION_AGE_MS) < now;
        match code {
            // It may also be too early, or the validator's clock be wrong.
            "operation-time" => transaction.operations.iter().any(|one| expired(one.time)),
            // The block may be that of this session; so not before this node has it.
            "already-in-block" => {
                let in_ledger = |id| matches!(self.store.operation(&id), Ok(Some(_)));
                transaction.operation_ids().any(in_ledger)
            }
            code => NEVER.contains(&code),
        }
    }

    /// No block will have a transaction. Whoever waits for it is told, and its session ends.
    pub(crate) fn give_up(&self, transaction: &Transaction, problem: &Problem) {
        let hash = transaction.hash();
        self.finality.supersede(&hash);
        let entry = transaction.session().and_then(|id| self.sessions.get(&id));
        let Some(entry) = entry else { return };
        let reason = Reason::new(hash, self.now(), problem);
        let record = encode(&Record::Refused(reason.clone()));
        let rejected = self.metrics.rejected.clone();
        self.log.append(entry.life, record, move || {
            let mut live = entry.live.lock();
            if live.status != Status::Committing(hash) {
                // Another transaction has it, or it is no session that was to be committed.
                return;
            }
            live.status = Status::Refused(reason);
            drop(live);
            rejected.inc();
            let (transaction, height) = (hash, None);
            entry.feed.push(Event::Rejected {
                transaction,
                height,
            });
        });
    }
}
