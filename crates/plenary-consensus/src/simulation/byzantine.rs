//! Validators that lie with the engine's own messages. They hold a real key and say nothing that
//! helps; what they sign is well formed.
//!
//! Equivocation with real blocks needs no code of its own: see
//! [`Network::start_twins`](super::Network::start_twins).

use crate::{
    convert::{EPOCH, EngineScheme},
    observer::election,
};
use commonware_codec::{Decode as _, DecodeExt as _, Encode as _};
use commonware_consensus::{
    Viewable as _,
    simplex::{
        elector::{Config as _, Elector as _, RoundRobinElector},
        types::{Certificate, Finalize, Notarize, Nullify, Proposal, Vote},
    },
    types::{Epoch, Round, View},
};
use commonware_cryptography::{
    Hasher as _, Sha256,
    certificate::{Scheme as _, Verifier as _},
    ed25519::PublicKey,
    sha256::Digest,
};
use commonware_p2p::{Receiver, Recipients, Sender};

/// What a Byzantine validator does at the level of the engine. It says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misbehaviour {
    /// Votes, in each phase, for every proposal it sees a vote for, and for one nobody made.
    ConflictingVotes,
    /// Votes to give up and to make final each view it sees a proposal in.
    NullifyAndFinalize,
    /// Votes to give up each view it sees a proposal in.
    NullifyOnly,
    /// Leads its views with the hash of a block that it shows to nobody.
    PhantomLeader,
    /// Answers everything with bytes that mean nothing.
    Garbage,
}

impl Misbehaviour {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ConflictingVotes,
        Self::NullifyAndFinalize,
        Self::NullifyOnly,
        Self::PhantomLeader,
        Self::Garbage,
    ];
}

type EngineVote = Vote<EngineScheme, Digest>;

fn invented(view: View) -> Digest {
    Sha256::hash(&[b"no such block", &view.get().to_be_bytes()])
}

fn votes_on(behaviour: Misbehaviour, scheme: &EngineScheme, seen: EngineVote) -> Vec<EngineVote> {
    let signed = match (behaviour, seen) {
        (Misbehaviour::ConflictingVotes, Vote::Notarize(vote)) => {
            let real = vote.proposal;
            let fake = Proposal::new(real.round, real.parent, invented(real.round.view()));
            let votes = [real, fake].map(|proposal| Notarize::sign(scheme, proposal));
            votes.map(|vote| vote.map(Vote::Notarize)).to_vec()
        }
        (Misbehaviour::ConflictingVotes, Vote::Finalize(vote)) => {
            let real = vote.proposal;
            let fake = Proposal::new(real.round, real.parent, invented(real.round.view()));
            let votes = [real, fake].map(|proposal| Finalize::sign(scheme, proposal));
            votes.map(|vote| vote.map(Vote::Finalize)).to_vec()
        }
        (Misbehaviour::NullifyAndFinalize, Vote::Notarize(vote)) => vec![
            Nullify::sign::<Digest>(scheme, vote.proposal.round).map(Vote::Nullify),
            Finalize::sign(scheme, vote.proposal).map(Vote::Finalize),
        ],
        (Misbehaviour::NullifyOnly, Vote::Notarize(vote)) => {
            vec![Nullify::sign::<Digest>(scheme, vote.proposal.round).map(Vote::Nullify)]
        }
        _ => Vec::new(),
    };
    signed.into_iter().flatten().collect()
}

/// Misbehaves on the vote and certificate channels until the network ends.
pub(super) async fn misbehave(
    behaviour: Misbehaviour,
    scheme: EngineScheme,
    mut votes: (
        impl Sender<PublicKey = PublicKey>,
        impl Receiver<PublicKey = PublicKey>,
    ),
    mut certificates: (
        impl Sender<PublicKey = PublicKey>,
        impl Receiver<PublicKey = PublicKey>,
    ),
) {
    let mut led = View::zero();
    loop {
        tokio::select! {
            biased;
            vote = votes.1.recv() => {
                let Ok((_, bytes)) = vote else { return };
                if behaviour == Misbehaviour::Garbage {
                    let noise = Sha256::hash(&[bytes.as_ref()]).encode();
                    votes.0.send(Recipients::All, noise.clone(), true);
                    certificates.0.send(Recipients::All, noise, true);
                    continue;
                }
                let Ok(seen) = EngineVote::decode(bytes) else { continue };
                for vote in votes_on(behaviour, &scheme, seen) {
                    votes.0.send(Recipients::All, vote.encode(), true);
                }
            }
            certificate = certificates.1.recv() => {
                let Ok((_, bytes)) = certificate else { return };
                if behaviour != Misbehaviour::PhantomLeader {
                    continue;
                }
                let config = scheme.certificate_codec_config();
                let Ok(certificate) = Certificate::<EngineScheme, Digest>::decode_cfg(bytes, &config)
                else { continue };
                let Some(vote) = phantom(&scheme, &certificate) else { continue };
                if std::mem::replace(&mut led, vote.view()) != vote.view() {
                    votes.0.send(Recipients::All, Vote::Notarize(vote).encode(), true);
                }
            }
        }
    }
}

/// A proposal of nothing for the view after a certificate's, where this validator leads it.
fn phantom(
    scheme: &EngineScheme,
    certificate: &Certificate<EngineScheme, Digest>,
) -> Option<Notarize<EngineScheme, Digest>> {
    let parent = match certificate {
        Certificate::Notarization(notarization) => notarization.view(),
        Certificate::Finalization(finalization) => finalization.view(),
        Certificate::Nullification(_) => return None,
    };
    let round = Round::new(Epoch::new(EPOCH), parent.next());
    let elector: RoundRobinElector<EngineScheme> = election().build(scheme.participants());
    let leader = elector.elect(round, ());
    if scheme.me().and_then(|me| me.signer()) != Some(leader) {
        return None;
    }
    Notarize::sign(scheme, Proposal::new(round, parent, invented(round.view())))
}
