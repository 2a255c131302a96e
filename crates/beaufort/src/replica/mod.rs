//! One replica: agreement on every key, gossip with its neighbours, and what the application asks for.
//!
//! A replica has no I/O, clock or randomness of its own. Its driver tells it what happened, then calls
//! [`Replica::poll`], which verifies what has to be verified, all of it in one batch, decides what can be decided, and
//! says what is to be done. One idea each:
//!
//! - `decide` runs the keys' instances and verifies signatures: late, and together. `doubt` is whose are not believed
//!   unless they answer for them.
//! - `known` is what each neighbour has, `gossip` takes in what it tells and sends it what is new to it, `spread` says when
//!   and to whom.
//! - `sync` compares the tree of all keys with a neighbour's.
//! - `neighbours` chooses whom to be connected to.
//! - `proposals` is the application's writes that wait for their view.
//! - `record` is what is kept when the program ends.

mod decide;
mod doubt;
mod gossip;
mod known;
mod neighbours;
mod proposals;
mod record;
mod spread;
mod sync;

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use self::{
    doubt::Doubt,
    known::Peer,
    neighbours::Neighbours,
    proposals::Proposals,
    spread::{Parent, Stage},
};
pub use self::{proposals::Ticket, record::RecordError};
use crate::{
    Access, Digest, Entry, Evidence, Invalid, MemberId, Members, Millis, Scheme, Settings,
    digest::hash,
    instance::{Context, Instance},
    tree::Tree,
    wire::{self, MAX_KEY, MAX_VALUE, Message},
};

/// What the driver is to do. The order counts: what is kept must be durable before anything after it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send bytes to a neighbour.
    Send {
        /// To whom.
        to: MemberId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Keep this under this key, in place of what was kept there.
    Persist {
        /// The key; empty for what belongs to none.
        key: Vec<u8>,
        /// All that must be known of it when the program starts again.
        record: Vec<u8>,
    },
    /// A key has a new value.
    Commit {
        /// The key.
        key: Vec<u8>,
        /// Its value, and the proof that the network decided it.
        entry: Entry,
    },
    /// What was set or deleted is decided.
    Settled {
        /// What [`Replica::set`] or [`Replica::delete`] returned.
        ticket: Ticket,
        /// Whether this replica's value is the one that was decided.
        won: bool,
        /// What was decided.
        entry: Entry,
    },
    /// Open an authenticated channel to a member, and say so; or say that it is closed.
    Connect(MemberId),
    /// Close the channel to a member.
    Disconnect(MemberId),
    /// A member proved itself Byzantine, now or before the program started; anyone can check it.
    Evidence(Evidence),
}

/// Why a replica does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The secret key is none of the members'.
    #[error(
        "this key is not a member's: add its public key to the list of members on every replica"
    )]
    NotAMember,
    /// What was kept cannot be read.
    #[error("what was kept of key {key}: {error}")]
    Record {
        /// The key, as text as far as it is.
        key: String,
        /// What is wrong.
        error: RecordError,
    },
}

/// Why a value is not proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// Keys have bounds.
    #[error("a key has 1 to {MAX_KEY} bytes, this one has {0}")]
    Key(usize),
    /// Values have bounds.
    #[error("a value has at most {MAX_VALUE} bytes, this one has {0}")]
    Value(usize),
    /// Access control refuses it here, so that it would at every honest replica.
    #[error("access control refuses this value for this key")]
    Denied,
    /// Too many wait for earlier ones of the same key.
    #[error("{0} writes of this key wait already: wait for them to be decided")]
    Busy(usize),
}

/// Why this replica no longer talks to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// It voted twice; others are shown, and its votes count for nothing.
    DoubleVote(Box<Evidence>),
    /// It sent what no honest replica sends.
    Invalid(Invalid),
    /// It sent signatures that it said it had verified, and they do not hold.
    FalseSignature,
    /// It sent bytes that are no message.
    Malformed,
}

/// A replica at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which member this is.
    pub me: MemberId,
    /// To whom it is connected.
    pub neighbours: Vec<MemberId>,
    /// Keys whose present view has proposals.
    pub open: usize,
    /// Members that this replica does not talk to, and why.
    pub excluded: Vec<(MemberId, Exclusion)>,
    /// Members that passed on false signatures of late: they are believed only what they answer for.
    pub distrusted: Vec<MemberId>,
}

/// One member's replica.
pub struct Replica<S: Scheme> {
    scheme: S,
    members: Members<S>,
    me: MemberId,
    secret: S::SecretKey,
    settings: Settings,
    access: Box<dyn Access>,
    seed: [u8; 32],
    random: ChaCha8Rng,
    instances: BTreeMap<Vec<u8>, Instance<S>>,
    tree: Tree,
    /// Keys whose leaf in the tree is no longer right.
    stale: BTreeSet<Vec<u8>>,
    /// Keys that may have a step to do.
    dirty: BTreeSet<Vec<u8>>,
    /// Keys of which some neighbour may not know everything yet.
    hot: BTreeSet<Vec<u8>>,
    /// Keys whose signatures a neighbour asked to have verified before they are sent again.
    careful: BTreeSet<Vec<u8>>,
    peers: BTreeMap<MemberId, Peer>,
    neighbours: Neighbours,
    proposals: Proposals,
    excluded: BTreeMap<MemberId, Exclusion>,
    /// Those of them whose votes do not count.
    banned: BTreeSet<MemberId>,
    /// Members that passed on false signatures, now or of late.
    doubts: BTreeMap<MemberId, Doubt>,
    /// Until when new neighbours are among them at first.
    alarmed_until: Millis,
    /// Keys of which neighbours were asked for everything again, and when.
    started_over: BTreeMap<Vec<u8>, Millis>,
    /// Until when keys wait for more votes.
    dues: BTreeMap<Vec<u8>, Millis>,
    /// Keys that are to be kept anew before anything is sent.
    unsaved: BTreeSet<Vec<u8>>,
    /// Keys that changed since neighbours were last told anything.
    fresh: BTreeSet<Vec<u8>>,
    /// Keys for which this replica proposed something since.
    announced: BTreeSet<Vec<u8>>,
    /// How far keys are of which not every neighbour knows everything.
    stages: BTreeMap<Vec<u8>, Stage>,
    /// Neighbours that sent votes of keys which had come further here by then.
    waiting: BTreeSet<(MemberId, Vec<u8>)>,
    /// Where views came from that began since neighbours were last told anything.
    parents: BTreeMap<Vec<u8>, Parent>,
    next_round: Millis,
    /// When decisions are made again.
    next_turn: Millis,
    next_naming: Millis,
    next_comparison: Millis,
    outputs: Vec<Output>,
}

impl<S: Scheme> Replica<S> {
    /// A replica that goes on from what was kept.
    ///
    /// `seed` must be random and secret: whom to connect to, and the numbers that weigh signatures, are drawn from it.
    ///
    /// # Errors
    ///
    /// When the key is not a member's, or what was kept cannot be read.
    #[allow(
        clippy::too_many_arguments,
        reason = "each is a thing of its own, and all are needed"
    )]
    pub fn new(
        scheme: S,
        members: Members<S>,
        secret: S::SecretKey,
        settings: Settings,
        access: Box<dyn Access>,
        seed: [u8; 32],
        stored: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, StartError> {
        let me = members
            .find(&scheme.public(&secret))
            .ok_or(StartError::NotAMember)?;
        let mut replica = Self {
            me,
            secret,
            access,
            seed,
            random: ChaCha8Rng::from_seed(seed),
            instances: BTreeMap::new(),
            tree: Tree::default(),
            stale: BTreeSet::new(),
            dirty: BTreeSet::new(),
            hot: BTreeSet::new(),
            careful: BTreeSet::new(),
            peers: BTreeMap::new(),
            neighbours: Neighbours::default(),
            proposals: Proposals::default(),
            excluded: BTreeMap::new(),
            banned: BTreeSet::new(),
            doubts: BTreeMap::new(),
            alarmed_until: 0,
            started_over: BTreeMap::new(),
            dues: BTreeMap::new(),
            unsaved: BTreeSet::new(),
            fresh: BTreeSet::new(),
            announced: BTreeSet::new(),
            stages: BTreeMap::new(),
            waiting: BTreeSet::new(),
            parents: BTreeMap::new(),
            next_round: 0,
            next_turn: 0,
            next_naming: 0,
            next_comparison: 0,
            outputs: Vec::new(),
            scheme,
            members,
            settings,
        };
        for (key, bytes) in stored {
            replica.restore(&key, &bytes).map_err(|error| {
                let key = String::from_utf8_lossy(&key).into_owned();
                StartError::Record { key, error }
            })?;
        }
        Ok(replica)
    }

    /// Which member this is.
    pub fn id(&self) -> MemberId {
        self.me
    }

    /// Who agrees.
    pub fn members(&self) -> &Members<S> {
        &self.members
    }

    /// What was decided for a key last.
    pub fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.instances.get(key)?.entry()
    }

    /// All keys that ever had a value, deleted ones too.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.instances
            .iter()
            .filter(|(_, instance)| instance.entry().is_some())
            .map(|(key, _)| key.as_slice())
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        Status {
            me: self.me,
            neighbours: self.peers.keys().copied().collect(),
            open: self
                .instances
                .values()
                .filter(|instance| instance.is_open())
                .count(),
            excluded: self
                .excluded
                .iter()
                .map(|(member, why)| (*member, why.clone()))
                .collect(),
            distrusted: self.distrusted().collect(),
        }
    }

    /// The hash over all keys and their whole state: two replicas with the same know the same.
    pub fn root(&mut self) -> Digest {
        self.refresh_tree();
        self.tree.hash(&[])
    }

    /// Bytes came from a neighbour.
    pub fn receive(&mut self, now: Millis, from: MemberId, bytes: &[u8]) {
        if !self.peers.contains_key(&from) {
            return;
        }
        let message = match wire::decode(bytes) {
            Ok(message) => message,
            Err(_) => return self.exclude(from, Exclusion::Malformed),
        };
        match message {
            Message::States(states) => self.receive_states(now, from, states),
            Message::Want(keys) => self.receive_want(now, from, keys),
            Message::Views(views) => self.receive_views(now, from, views),
            Message::Compare(nodes) => self.receive_compare(now, from, &nodes),
            Message::Under(paths) => self.receive_under(now, from, &paths),
            Message::Neighbours(members) => self.neighbours.heard(&self.members, members),
            Message::Evidence(evidence) => self.receive_evidence(from, *evidence),
            Message::Salt(salt) => self.receive_salt(from, salt),
        }
    }

    /// Decides what can be decided, and says what is to be done.
    ///
    /// Decisions are made in turns, so that what arrives within one is verified as one batch and told in one message.
    pub fn poll(&mut self, now: Millis) -> Vec<Output> {
        if now >= self.next_turn {
            self.next_turn = now + self.settings.turn;
            self.decide(now);
            self.spread(now);
        }
        self.save();
        self.compare(now);
        self.tend(now);
        std::mem::take(&mut self.outputs)
    }

    /// By when to poll again, if nothing happens before.
    pub fn next_wake(&self) -> Option<Millis> {
        let telling = self.next_telling();
        let due = self.dues.values().min().copied();
        let has_work = !(self.dirty.is_empty() && self.waiting.is_empty());
        let turn = has_work.then_some(self.next_turn);
        // Before its turn nothing would come of these.
        let [telling, due] = [telling, due].map(|wake| wake.map(|wake| wake.max(self.next_turn)));
        let compare = (!self.peers.is_empty()).then_some(self.next_comparison);
        let stalled = self
            .has_waiting()
            .then(|| self.neighbours.stalled(self.settings.stall));
        [
            telling,
            due,
            turn,
            compare,
            stalled,
            self.neighbours.next_wake(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What an instance needs to know of this replica, beside the instances themselves.
    fn split(&mut self, now: Millis) -> (Context<'_, S>, &mut BTreeMap<Vec<u8>, Instance<S>>) {
        let context = Context {
            scheme: &self.scheme,
            members: &self.members,
            me: self.me,
            secret: &self.secret,
            excluded: &self.banned,
            access: &*self.access,
            now,
            linger: self.settings.linger,
            rule: self.settings.rule,
            seed: &self.seed,
        };
        (context, &mut self.instances)
    }

    /// Stops talking to a member, and counting its votes if it can be shown to have voted twice.
    ///
    /// What can be shown to others says more than what was only seen here, so that it takes its place.
    fn exclude(&mut self, member: MemberId, why: Exclusion) {
        let is_worse = match self.excluded.get(&member) {
            None => true,
            Some(Exclusion::DoubleVote(_)) => false,
            Some(_) => matches!(why, Exclusion::DoubleVote(_)),
        };
        if member == self.me || !is_worse {
            return;
        }
        // Votes stop counting only where everybody honest comes to know why. Were it for what a member sent to this
        // replica alone, replicas could count differently for ever, and never find the same winner.
        if let Exclusion::DoubleVote(evidence) = &why {
            self.outputs
                .push(Output::Evidence(evidence.as_ref().clone()));
            self.broadcast(&Message::Evidence(evidence.clone()));
            self.banned.insert(member);
            self.unsaved.insert(record::EVIDENCE.into());
        }
        self.excluded.insert(member, why);
        if self.peers.remove(&member).is_some() {
            self.outputs.push(Output::Disconnect(member));
        }
        let open = self
            .instances
            .iter()
            .filter(|(_, instance)| instance.is_open());
        self.dirty.extend(open.map(|(key, _)| key.clone()));
    }

    fn receive_evidence(&mut self, from: MemberId, evidence: Evidence) {
        let known = self.excluded.get(&evidence.culprit);
        if matches!(known, Some(Exclusion::DoubleVote(_))) || evidence.key.len() > MAX_KEY {
            return;
        }
        let seed = self.draw_seed();
        if evidence.holds(&self.scheme, &self.members, &seed) {
            self.exclude(evidence.culprit, Exclusion::DoubleVote(Box::new(evidence)));
        } else {
            // Nobody honest passes on what it did not check.
            self.exclude(from, Exclusion::FalseSignature);
        }
    }

    /// Numbers that nobody else can foresee.
    fn draw_seed(&mut self) -> [u8; 32] {
        use rand_chacha::rand_core::Rng;
        let mut drawn = [0; 32];
        self.random.fill_bytes(&mut drawn);
        hash("beaufort 2026 weights", &[&drawn])
    }
}
