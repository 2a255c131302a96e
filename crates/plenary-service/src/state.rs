//! State as the executor sees it: something to read, and layers of changes on top.
//!
//! A session's own writes lie over the blocks that are not yet final, those over the finalized
//! state; each is a layer of [`Changes`], and a read takes the first layer that knows the key.

use plenary_types::{Changes, StateKey, Versioned};
use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included},
    sync::Arc,
};

/// State could not be read: the disk failed, or the height is no longer kept. Never the fault of
/// an operation; the node must not answer, vote or apply on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("state cannot be read: {0}")]
pub struct StateError(pub String);

/// State at one point, for reading.
pub trait StateView: Send + Sync {
    /// The value under `key`, where there is one.
    ///
    /// # Errors
    ///
    /// Only where the storage below failed.
    fn get(&self, key: &StateKey) -> Result<Option<Versioned>, StateError>;

    /// The first `limit` entries from `from` up to, not including, `to`, in key order.
    ///
    /// # Errors
    ///
    /// Only where the storage below failed.
    fn range(
        &self,
        from: &StateKey,
        to: &StateKey,
        limit: usize,
    ) -> Result<Vec<(StateKey, Versioned)>, StateError>;
}

/// Layers of changes over a view, the newest first.
#[derive(Clone)]
pub struct Layered {
    layers: Vec<Arc<Changes>>,
    base: Arc<dyn StateView>,
}

impl Layered {
    /// Lays `layers`, the newest first, over `base`.
    pub fn new(layers: Vec<Arc<Changes>>, base: Arc<dyn StateView>) -> Self {
        Self { layers, base }
    }
}

impl StateView for Layered {
    fn get(&self, key: &StateKey) -> Result<Option<Versioned>, StateError> {
        match self.layers.iter().find_map(|layer| layer.get(key)) {
            Some(change) => Ok(change.clone()),
            None => self.base.get(key),
        }
    }

    fn range(
        &self,
        from: &StateKey,
        to: &StateKey,
        limit: usize,
    ) -> Result<Vec<(StateKey, Versioned)>, StateError> {
        if from >= to || limit == 0 {
            return Ok(Vec::new());
        }
        let mut changed: BTreeMap<&StateKey, Option<&Versioned>> = BTreeMap::new();
        for layer in self.layers.iter().rev() {
            let entries = layer.range((Included(from), Excluded(to)));
            changed.extend(entries.map(|(key, change)| (key, change.as_ref())));
        }
        // Every change may hide one entry of the base, so that many more are asked for.
        let below = self
            .base
            .range(from, to, limit.saturating_add(changed.len()))?;
        let mut merged: BTreeMap<StateKey, Versioned> = below.into_iter().collect();
        for (key, change) in changed {
            match change {
                Some(value) => merged.insert(key.clone(), value.clone()),
                None => merged.remove(key),
            };
        }
        Ok(merged.into_iter().take(limit).collect())
    }
}

/// State in memory, for tests and for the genesis.
impl StateView for Changes {
    fn get(&self, key: &StateKey) -> Result<Option<Versioned>, StateError> {
        Ok(BTreeMap::get(self, key).cloned().flatten())
    }

    fn range(
        &self,
        from: &StateKey,
        to: &StateKey,
        limit: usize,
    ) -> Result<Vec<(StateKey, Versioned)>, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let entries = BTreeMap::range(self, (Included(from), Excluded(to)));
        let present = entries.filter_map(|(key, change)| Some((key.clone(), change.clone()?)));
        Ok(present.take(limit).collect())
    }
}
