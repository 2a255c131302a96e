//! The property that everything else is for: no two honest replicas decide differently.

use std::collections::BTreeMap;

use super::SiteId;
use crate::Entry;

/// Who was the first to decide, and what.
type Decided = (SiteId, Option<Vec<u8>>);

/// What honest replicas decided so far.
#[derive(Debug, Default)]
pub struct Agreement {
    decided: BTreeMap<(Vec<u8>, u64), Decided>,
    latest: BTreeMap<(SiteId, Vec<u8>), u64>,
}

/// A decision that must not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Two replicas decided differently.
    #[error("sites {first} and {second} decided differently on key {key:?} in view {view}")]
    Disagreement {
        /// The key.
        key: String,
        /// The view.
        view: u64,
        /// Who decided first.
        first: SiteId,
        /// Who decided otherwise.
        second: SiteId,
    },
    /// A replica went back to a view that it had left.
    #[error("site {site} decided on key {key:?} in view {view} after view {after}")]
    Backwards {
        /// The key.
        key: String,
        /// The earlier view, decided later.
        view: u64,
        /// The later view.
        after: u64,
        /// Whose replica.
        site: SiteId,
    },
}

impl Agreement {
    /// Takes note of a decision of an honest replica.
    ///
    /// # Errors
    ///
    /// When it contradicts an earlier one.
    pub fn decided(&mut self, site: SiteId, key: &[u8], entry: &Entry) -> Result<(), Violation> {
        let (view, name) = (entry.view, || String::from_utf8_lossy(key).into_owned());
        let latest = self.latest.entry((site, key.to_vec())).or_insert(view);
        if *latest > view {
            return Err(Violation::Backwards {
                key: name(),
                view,
                after: *latest,
                site,
            });
        }
        *latest = view;
        let (first, value) = self
            .decided
            .entry((key.to_vec(), view))
            .or_insert_with(|| (site, entry.value.clone()));
        match *value == entry.value {
            true => Ok(()),
            false => Err(Violation::Disagreement {
                key: name(),
                view,
                first: *first,
                second: site,
            }),
        }
    }

    /// How many views of keys were decided.
    pub fn views(&self) -> usize {
        self.decided.len()
    }
}
