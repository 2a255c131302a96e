//! The engine's store of final blocks: a window of the latest on its own disk, and the
//! application's ledger for all that is older.
//!
//! The engine writes a block before it delivers it, so that nothing is lost when the application
//! has not made it durable yet. Once it has, the ledger is the better place; what the engine keeps
//! beyond that is only for speed. Peers that were away for long are served from the ledger.

use crate::{
    Application,
    block::EngineBlock,
    convert::{self, EngineFinalization, EngineScheme},
};
use commonware_consensus::{
    marshal::store::{Blocks, Certificates},
    types::Height,
};
use commonware_cryptography::{certificate::Verifier as _, sha256::Digest};
use commonware_runtime::{Clock, Handle, Metrics, Storage, buffer::paged::CacheRef};
use commonware_storage::{
    archive::{self, Identifier, prunable},
    translator::EightCap,
};
use commonware_utils::NZUsize;
use std::{num::NonZeroU64, sync::Arc};

/// How many final blocks the engine keeps at least.
pub(crate) const WINDOW: u64 = 2048;
/// How many files that is; whole files are removed.
pub(crate) const FILES: u64 = 8;
/// Buffers of the files, in bytes.
const BUFFER: usize = 64 * 1024;

/// What is older than the window.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) application: Arc<dyn Application>,
    pub(crate) genesis: Arc<EngineBlock>,
    pub(crate) validators: usize,
}

impl Ledger {
    fn find(
        &self,
        id: Identifier<'_, Digest>,
    ) -> Option<(Arc<EngineBlock>, Option<EngineFinalization>)> {
        let height = match id {
            Identifier::Index(height) => height,
            Identifier::Key(digest) => {
                let hash = convert::block_hash(digest);
                // The parent of the first block, which no ledger has.
                if hash == self.genesis.block().hash() {
                    return Some((self.genesis.clone(), None));
                }
                self.application.height_of(&hash)?
            }
        };
        let (block, certificate) = self.application.block(height)?;
        let finalization = certificate.and_then(|certificate| {
            convert::finalization(&block.header, &certificate, self.validators)
        });
        Some((Arc::new(EngineBlock::new(block)?), finalization))
    }

    /// The finalization of the last block that has one of its own, of the latest few.
    pub(crate) fn latest(&self) -> Option<EngineFinalization> {
        let top = self.application.height();
        let heights = (top.saturating_sub(WINDOW).max(1)..=top).rev();
        let mut finals = heights.map_while(|height| self.find(Identifier::Index(height)));
        finals.find_map(|(_, finalization)| finalization)
    }
}

/// An identifier for the archive, and the same for the ledger.
fn twice(id: Identifier<'_, Digest>) -> (Identifier<'_, Digest>, Identifier<'_, Digest>) {
    match id {
        Identifier::Index(height) => (Identifier::Index(height), Identifier::Index(height)),
        Identifier::Key(digest) => (Identifier::Key(digest), Identifier::Key(digest)),
    }
}

type Archive<E, V> = prunable::Archive<EightCap, E, Digest, V>;

/// An archive in front of the ledger.
pub(crate) struct Window<E: Storage + Metrics + Clock, V: commonware_codec::CodecShared> {
    archive: Archive<E, V>,
    ledger: Ledger,
}

/// Where the files are, and how many blocks they hold.
pub(crate) struct Files<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) window: u64,
    pub(crate) cache: &'a CacheRef,
}

fn config<C>(files: &Files<'_>, name: &str, codec_config: C) -> prunable::Config<EightCap, C> {
    let Files {
        prefix,
        window,
        cache,
    } = files;
    prunable::Config {
        translator: EightCap,
        metadata_partition: format!("{prefix}-{name}-metadata"),
        key_partition: format!("{prefix}-{name}-key"),
        key_page_cache: CacheRef::clone(cache),
        value_partition: format!("{prefix}-{name}-value"),
        compression: None,
        codec_config,
        items_per_section: NonZeroU64::new(window / FILES).unwrap_or(NonZeroU64::MIN),
        key_write_buffer: NZUsize!(BUFFER),
        value_write_buffer: NZUsize!(BUFFER),
        replay_buffer: NZUsize!(BUFFER),
    }
}

/// Opens the stores of certificates and of blocks.
pub(crate) async fn open<E: Storage + Metrics + Clock>(
    context: &E,
    files: &Files<'_>,
    ledger: &Ledger,
) -> (Window<E, EngineFinalization>, Window<E, Arc<EngineBlock>>) {
    let codec = EngineScheme::certificate_codec_config_unbounded();
    let certificates = Archive::init(
        context.child("certificates"),
        config(files, "certificates", codec),
    );
    let blocks = Archive::init(context.child("blocks"), config(files, "blocks", ()));
    let certificates = Window {
        archive: certificates
            .await
            .expect("the engine's certificates cannot be opened"),
        ledger: ledger.clone(),
    };
    let blocks = Window {
        archive: blocks.await.expect("the engine's blocks cannot be opened"),
        ledger: ledger.clone(),
    };
    (certificates, blocks)
}

impl<E: Storage + Metrics + Clock> Blocks for Window<E, Arc<EngineBlock>> {
    type Block = Arc<EngineBlock>;
    type Error = archive::Error;

    async fn put(self, digest: Digest, block: &Arc<EngineBlock>) -> Result<Self, Self::Error> {
        let archive = Blocks::put(self.archive, digest, block).await?;
        Ok(Self { archive, ..self })
    }

    async fn sync(self) -> Result<Self, Self::Error> {
        let archive = Blocks::sync(self.archive).await?;
        Ok(Self { archive, ..self })
    }

    async fn start_sync(self) -> Result<(Self, Handle<()>), Self::Error> {
        let (archive, handle) = Blocks::start_sync(self.archive).await?;
        Ok((Self { archive, ..self }, handle))
    }

    async fn get(
        &self,
        id: Identifier<'_, Digest>,
    ) -> Result<Option<Arc<EngineBlock>>, Self::Error> {
        let (id, same) = twice(id);
        let kept = Blocks::get(&self.archive, same).await?;
        Ok(kept.or_else(|| self.ledger.find(id).map(|(block, _)| block)))
    }

    async fn prune(self, min: Height) -> Result<Self, Self::Error> {
        let archive = Blocks::prune(self.archive, min).await?;
        Ok(Self { archive, ..self })
    }

    fn missing_items(&self, start: Height, max: usize) -> Vec<Height> {
        Blocks::missing_items(&self.archive, start, max)
    }

    fn next_gap(&self, value: Height) -> (Option<Height>, Option<Height>) {
        Blocks::next_gap(&self.archive, value)
    }

    fn last_index(&self) -> Option<Height> {
        Blocks::last_index(&self.archive)
    }
}

impl<E: Storage + Metrics + Clock> Certificates for Window<E, EngineFinalization> {
    type BlockDigest = Digest;
    type Commitment = Digest;
    type Scheme = EngineScheme;
    type Error = archive::Error;

    async fn put(
        self,
        height: Height,
        digest: Digest,
        finalization: &EngineFinalization,
    ) -> Result<Self, Self::Error> {
        let archive = Certificates::put(self.archive, height, digest, finalization).await?;
        Ok(Self { archive, ..self })
    }

    async fn sync(self) -> Result<Self, Self::Error> {
        let archive = Certificates::sync(self.archive).await?;
        Ok(Self { archive, ..self })
    }

    async fn start_sync(self) -> Result<(Self, Handle<()>), Self::Error> {
        let (archive, handle) = Certificates::start_sync(self.archive).await?;
        Ok((Self { archive, ..self }, handle))
    }

    async fn get(
        &self,
        id: Identifier<'_, Digest>,
    ) -> Result<Option<EngineFinalization>, Self::Error> {
        let (id, same) = twice(id);
        let kept = Certificates::get(&self.archive, same).await?;
        Ok(kept.or_else(|| self.ledger.find(id)?.1))
    }

    async fn has(&self, height: Height) -> Result<bool, Self::Error> {
        Certificates::has(&self.archive, height).await
    }

    async fn prune(self, min: Height) -> Result<Self, Self::Error> {
        let archive = Certificates::prune(self.archive, min).await?;
        Ok(Self { archive, ..self })
    }

    fn last_index(&self) -> Option<Height> {
        Certificates::last_index(&self.archive)
    }

    fn ranges_from(&self, from: Height) -> impl Iterator<Item = (Height, Height)> {
        Certificates::ranges_from(&self.archive, from)
    }
}
