//! Sending transactions to the validators.
//!
//! A transaction goes to the validator that leads next ([`Leaders`]), which can put it in a block at
//! once and passes it on to the others. A validator that cannot take it is passed over; one that
//! refuses it for good is reported, for it may lie.

use super::{
    Leaders, UrlError, Validators,
    source::{Failure, Source},
};
use plenary_types::{Header, Problem, PublicKey, Transaction, TransactionHash, encode};
use std::{sync::Arc, time::Duration};
use tokio::{runtime::Handle, sync::Semaphore};

/// How many transactions are being sent at a time.
const PARALLEL: usize = 256;
/// How long a validator may take to answer that it has a transaction.
const ANSWER: Duration = Duration::from_secs(2);

/// A validator's refusal that no retry will change.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The transaction.
    pub transaction: TransactionHash,
    /// Who refuses it.
    pub validator: PublicKey,
    /// Why, with a stable code. `already-in-block` says that an operation of it is final.
    pub problem: Problem,
}

/// Sends transactions, without keeping anybody waiting.
pub struct Submitter {
    /// In the order of keys.
    sources: Arc<[Source]>,
    leaders: Arc<Leaders>,
    slots: Arc<Semaphore>,
    refused: Arc<dyn Fn(Refused) + Send + Sync>,
    runtime: Handle,
}

impl Submitter {
    /// A submitter that follows on the final block `tip`; `refused` is told of every refusal that
    /// is for good. To be made in a tokio runtime.
    ///
    /// # Errors
    ///
    /// What is wrong with the URLs.
    pub fn new(
        validators: &Validators,
        tip: &Header,
        refused: impl Fn(Refused) + Send + Sync + 'static,
    ) -> Result<Self, UrlError> {
        let sources = validators.sources()?;
        let keys = sources.iter().map(|source| source.key).collect();
        Ok(Self {
            sources: sources.into(),
            leaders: Arc::new(Leaders::new(keys, tip)),
            slots: Arc::new(Semaphore::new(PARALLEL)),
            refused: Arc::new(refused),
            runtime: Handle::current(),
        })
    }

    /// Takes note of the last final block.
    pub fn followed(&self, tip: &Header) {
        self.leaders.followed(tip);
    }

    /// Sends a transaction to the validator that leads next, or to one as many turns later as there
    /// were `attempts` before, and on to the next ones where that one does not take it. Says whether
    /// it is being sent: not, where too many are.
    ///
    /// That it was sent means nothing: the caller tries again until it is final.
    pub fn submit(&self, transaction: &Transaction, attempts: usize) -> bool {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return false;
        };
        let order = self.leaders.order(attempts);
        let (sources, leaders) = (self.sources.clone(), self.leaders.clone());
        let (transaction, refused) = (transaction.clone(), self.refused.clone());
        self.runtime.spawn(async move {
            let order = order.into_iter().map(|index| (index, &sources[index]));
            send(order, &leaders, &transaction, &*refused).await;
            drop(slot);
        });
        true
    }
}

async fn send(
    order: impl Iterator<Item = (usize, &Source)>,
    leaders: &Leaders,
    transaction: &Transaction,
    refused: &(dyn Fn(Refused) + Send + Sync),
) {
    let (hash, encoded) = (transaction.hash(), encode(transaction));
    for (index, source) in order {
        let answer = source.post(encoded.clone(), ANSWER).await;
        match answer.and_then(|(status, body)| verdict(status, &body)) {
            Ok(None) => return,
            Ok(Some(problem)) => {
                refused(Refused {
                    transaction: hash,
                    validator: source.key,
                    problem,
                });
                return;
            }
            Err(failure) => {
                leaders.failed(index);
                tracing::debug!(%hash, validator = %source.key, %failure, "a transaction is not taken");
            }
        }
    }
}

/// What a validator's answer says: taken, or refused for good.
fn verdict(status: u16, body: &[u8]) -> Result<Option<Problem>, Failure> {
    if (200..300).contains(&status) {
        return Ok(None);
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if !problem.retryable && (400..500).contains(&status) => Ok(Some(problem)),
        _ => Err(Failure::Status(status)),
    }
}
