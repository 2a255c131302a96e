//! The ordering engine behind one plain interface: validators agree on a chain of blocks that an
//! [`Application`] builds, checks and applies.
//!
//! Embedded is Commonware simplex, release 2026.10.0. No type of it shows; a second engine would
//! implement the same [`start`], call the same [`Application`] and heed the same [`Demand`].
//!
//! # The protocol
//!
//! There are n validators, of which f = floor((n - 1) / 3) may be Byzantine; a quorum is n - f.
//! Time is divided into *views*; validators lead them in turn, by the order of their keys.
//!
//! 1. The leader of a view builds a block on the last one that is notarized, sends it to all, and
//!    votes to *notarize* it.
//! 2. Who gets the block and finds that its header says what the view says votes to notarize it,
//!    and starts to execute it. A quorum of these votes is a notarization; who sees one and whose
//!    execution agrees votes to *finalize* the block and enters the next view.
//! 3. A quorum of votes to finalize is a certificate: the block, and every block below it, is
//!    final. Who has voted to give up a view never votes to finalize in it.
//! 4. Who waits too long in a view, or finds its block wrong, votes to *nullify* it. A quorum of
//!    these votes ends the view without a block.
//!
//! Two certificates need a correct validator in common, and it votes once a view: no two blocks
//! are final at one height. At most f validators are missing from a quorum, so a view with a
//! correct leader ends with a block once messages arrive in time.
//!
//! Deviations from Simplex (Chan and Pass, 2023, <https://eprint.iacr.org/2023/463>), beside
//! those of the library (its module `simplex` lists them):
//!
//! - Leaders have nothing to propose most of the time, and then propose nothing. The engine's
//!   clock stands still while the application has nothing to commit and no proposal is open, so a
//!   network at rest sends nothing, writes nothing and stays in its view. Every correct validator
//!   needs to know of what is to be committed, or its clock does not help to replace a leader
//!   that is gone: the application broadcasts it, and again until it is final.
//! - The vote to notarize says that the block is there and consistent; the execution is part of
//!   the vote to finalize, the one that certificates are made of, and so runs beside the votes.
//! - A block whose time is ahead of a validator's clock is not refused: the vote waits.
//! - A leader that has nothing to propose proposes an empty block where an earlier one is
//!   notarized and does not become final. Votes to finalize are sent once; without this, a block
//!   whose votes were lost would wait for the next thing to commit.
//! - Validators tell each other how far they are when they meet, when things become quiet, and
//!   while they wait; who is ahead answers with a certificate. So who was away catches up while
//!   all are at rest.
//!
//! # What a commit costs
//!
//! From submitting at a validator to final there, in messages one after the other: none where it
//! leads the view and one to the leader otherwise; the block; the votes to notarize; the votes to
//! finalize. So three or four; what was submitted just after a leader has proposed waits for the
//! next.
//!
//! Waits for the disk, one after the other: the leader's own vote (the block is on its way
//! meanwhile), each validator's vote to notarize, then the block and the notarization together,
//! each validator's vote to finalize, and the final block and its certificate together before it
//! is delivered. The application may take a block as durable once it is delivered: it is on the
//! disk of the engine, and comes again until it is acknowledged.
//!
//! Signature checks of each validator: a quorum of votes to notarize and one of votes to finalize,
//! each in one batch; certificates that others made are checked only where one's own votes did
//! not make them first.
//!
//! # Crashes
//!
//! Votes are on disk before they are sent, so a validator that comes back contradicts nothing it
//! said. Its engine keeps the latest final blocks, and delivers again what the application had
//! not acknowledged; what both have lost comes from the others. The engine's files can be older
//! than the application's ledger, or empty: it then goes on from the last certificate in the
//! ledger. They must not be deleted, or restored from a copy, while votes that were made since
//! may still count: the validator could vote twice in one view, as a Byzantine one does.

mod adapter;
mod application;
mod block;
mod clock;
mod convert;
mod delivery;
mod demand;
mod engine;
mod failure;
mod gossip;
mod network;
mod observer;
mod signal;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod stack;
mod store;

pub use application::{Acknowledgement, Application, Proposal};
pub use demand::Demand;
pub use engine::{
    Config, Engine, EngineError, MAX_BROADCAST_BYTES, MAX_UNACKNOWLEDGED, Status, start,
};
