//! Who passed on false signatures, and what is still believed of what they say.
//!
//! Sums of signatures go from hand to hand unverified, so that who passes on a false one may not know it. A neighbour from
//! which one came is *distrusted* for a while: it is believed only what it answers for, which are its own votes, and what it
//! says that it verified. Anything else from it is left out without a look, what came before as well as what comes now. It
//! costs nothing, and a view needs n - f votes only. It is also asked to verify the key concerned; doing that, an honest one
//! finds out who misled it, and so on, until all neighbours of whoever spoils signatures distrust it. One that answers for a
//! false signature is Byzantine.
//!
//! Each time is twice as long as the one before, so that who goes on with it is heard less and less. It keeps its
//! neighbours, who know it: with others it could begin anew.
//!
//! This deviates from section 3.2.6 of the paper, where everything from everybody is verified on arrival once a false
//! signature was found: at a hundred members a processor is too slow for that.

use super::Replica;
use crate::{MemberId, Millis, Scheme};

/// How long a neighbour is distrusted the first time, in milliseconds: it has to find out who misled it.
const FIRST: Millis = 2_000;

/// The longest, in milliseconds.
const LONGEST: Millis = 64_000;

/// How long after false signatures were found new neighbours are distrusted at first, in milliseconds; and how long a
/// doubt that is over is remembered.
const ALARM: Millis = 60_000;

/// Why a member is distrusted, or was.
pub(super) struct Doubt {
    /// How long, this time.
    length: Millis,
    until: Millis,
    /// Whether it is not over.
    holds: bool,
}

impl<S: Scheme> Replica<S> {
    /// Ends doubts whose time is over, and forgets old ones.
    pub(super) fn review_doubts(&mut self, now: Millis) {
        self.doubts.retain(|_, doubt| now < doubt.until + ALARM);
        for doubt in self.doubts.values_mut() {
            doubt.holds = now < doubt.until;
        }
    }

    /// Whether a member is believed only what it answers for.
    pub(super) fn is_distrusted(&self, member: MemberId) -> bool {
        self.doubts.get(&member).is_some_and(|doubt| doubt.holds)
    }

    /// All such members.
    pub(super) fn distrusted(&self) -> impl Iterator<Item = MemberId> {
        let held = self.doubts.iter().filter(|(_, doubt)| doubt.holds);
        held.map(|(member, _)| *member)
    }

    /// A neighbour passed on false signatures, and may not know it: it is to send the key again, verified. Returns whether
    /// it was trusted until now.
    pub(super) fn distrust(&mut self, now: Millis, member: MemberId, key: &[u8]) -> bool {
        self.want(member, key);
        self.alarmed_until = now + ALARM;
        if self.is_distrusted(member) {
            return false;
        }
        let before = self.doubts.get(&member);
        let length = before.map_or(FIRST, |doubt| LONGEST.min(2 * doubt.length));
        self.doubt(now, member, length);
        self.disown(now, member, false);
        true
    }

    /// Drops all that a neighbour passed on and does not answer for, or that as well.
    pub(super) fn disown(&mut self, now: Millis, member: MemberId, vouched: bool) {
        let (cx, instances) = self.split(now);
        let mut changed = Vec::new();
        for (key, instance) in instances {
            if instance.disown(cx.members, member, vouched) {
                changed.push(key.clone());
            }
        }
        changed.iter().for_each(|key| self.touch(key));
    }

    /// There is a new neighbour. Who spoils signatures must not do well by changing neighbours.
    pub(super) fn doubt_while_alarmed(&mut self, now: Millis, member: MemberId) {
        if now < self.alarmed_until && !self.is_distrusted(member) {
            let before = self.doubts.get(&member).map_or(0, |doubt| doubt.length);
            self.doubt(now, member, self.settings.caution.max(before));
        }
    }

    fn doubt(&mut self, now: Millis, member: MemberId, length: Millis) {
        let doubt = Doubt {
            length,
            until: now + length,
            holds: true,
        };
        self.doubts.insert(member, doubt);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::{
        Ballot, Output, Phase, Settings, Signature, Signed, Signers,
        bls::{Bls, SecretKey},
        digest,
        instance::State,
        members,
        vote::Scope,
        wire::{self, KeyState, Message},
    };

    const MEMBERS: usize = 7;
    const NEIGHBOUR: MemberId = MemberId(1);

    /// Member 0 of seven, with one neighbour, and everybody's secrets.
    struct World {
        replica: Replica<Bls>,
        secrets: Vec<SecretKey>,
    }

    impl World {
        fn new() -> Self {
            let (members, secrets) = members::network(MEMBERS as u8);
            let (_, mut own) = members::network(MEMBERS as u8);
            let access = |_: &[u8], _: Option<&[u8]>, _: Option<&[u8]>| true;
            let mut replica = Replica::new(
                Bls,
                members,
                own.remove(0),
                Settings::default(),
                Box::new(access),
                [0; 32],
                [],
            )
            .unwrap();
            replica.connected(0, NEIGHBOUR);
            Self { replica, secrets }
        }

        /// The sum of some members' votes for a value under a key, or of what they signed elsewhere.
        fn vote(&self, key: &[u8], who: &[u16], is_true: bool) -> Signed {
            let ballot = Ballot {
                round: 0,
                phase: Phase::PreCommit,
                value: digest::value(Some(b"value")),
            };
            let key = if is_true { key } else { b"elsewhere" };
            let scope = Scope::new(&self.replica.members.network(), key, 1);
            let message = scope.message(&ballot);
            let one = |&member: &u16| {
                let point = Bls.sign(&self.secrets[usize::from(member)], &message);
                (Signers::one(MEMBERS, MemberId(member)), point)
            };
            let sum = who.iter().map(one).reduce(|(signers, mut sum), other| {
                Bls.add(&mut sum, &other.1);
                (signers.plus(&other.0).unwrap(), sum)
            });
            let (signers, point) = sum.unwrap();
            let signature: Signature = Bls.encode(&point);
            Signed {
                ballot,
                signers,
                signature,
            }
        }

        /// The neighbour sends its own vote and a sum of others', then the replica has its turn.
        fn hears(&mut self, now: Millis, key: &[u8], sum: Signed, vouched: bool) -> Vec<Output> {
            let state = State {
                view: 1,
                whole: true,
                proposals: vec![Some(b"value".to_vec())],
                votes: vec![self.vote(key, &[NEIGHBOUR.0], true), sum],
                ..State::default()
            };
            let states = Message::States(vec![KeyState::new(key, state, vouched)]);
            self.replica.receive(now, NEIGHBOUR, &wire::encode(&states));
            self.replica.poll(now)
        }

        /// Who is said to have voted for a key's value.
        fn voters(&self, key: &[u8]) -> Vec<u16> {
            let mut tallies = self.replica.instances[key].tallies().values();
            let claimed = tallies.next().unwrap().claimed();
            claimed.iter().map(|(member, _)| member.0).collect()
        }

        fn is_misled(&mut self, now: Millis, key: &[u8]) -> Vec<Output> {
            let sum = self.vote(key, &[2, 3, 4], false);
            self.hears(now, key, sum, false)
        }
    }

    /// At a hundred members, neighbours of one that spoiled signatures were busy verifying all that came from there, and
    /// views took 12 s.
    #[test]
    fn who_passed_on_what_is_false_is_believed_only_what_it_answers_for() {
        let mut world = World::new();
        let sum = world.vote(b"before", &[2, 3], true);
        world.hears(0, b"before", sum, false);
        assert_eq!(world.voters(b"before"), [0, 1, 2, 3]);

        let outputs = world.is_misled(100, b"key");
        assert_eq!(world.replica.status().distrusted, [NEIGHBOUR]);
        assert!(world.replica.status().excluded.is_empty());
        let want = wire::encode(&Message::Want(vec![b"key".to_vec()]));
        let asks = |output: &Output| matches!(output, Output::Send { bytes, .. } if *bytes == want);
        assert!(outputs.iter().any(asks), "it is to verify that key");
        assert_eq!(world.voters(b"before"), [0], "what came before goes, too");

        let sum = || world.vote(b"after", &[2, 3], true);
        let (unverified, verified) = (sum(), sum());
        world.hears(200, b"after", unverified, false);
        assert_eq!(world.voters(b"after"), [0, 1]);
        world.hears(300, b"after", verified, true);
        assert_eq!(world.voters(b"after"), [0, 1, 2, 3]);
    }

    #[test]
    fn each_doubt_is_twice_as_long_as_the_one_before() {
        let mut world = World::new();
        let (mut now, turn) = (0, world.replica.settings.turn);
        for (key, length) in [(b"1", FIRST), (b"2", 2 * FIRST), (b"3", 4 * FIRST)] {
            world.is_misled(now, key);
            world.replica.poll(now + length - turn);
            assert_eq!(world.replica.status().distrusted, [NEIGHBOUR], "{length}");
            now += length;
            world.replica.poll(now + turn);
            assert!(world.replica.status().distrusted.is_empty(), "{length}");
            now += 2 * turn;
        }
        now += ALARM;
        world.replica.poll(now);
        world.is_misled(now + turn, b"4");
        world.replica.poll(now + turn + FIRST);
        assert!(world.replica.status().distrusted.is_empty(), "forgotten");
    }

    /// A view could wait for ever where all that a replica has of it comes from neighbours that it does not believe.
    #[test]
    fn a_distrusted_neighbour_is_asked_to_verify_what_is_stuck() {
        let mut world = World::new();
        world.is_misled(0, b"key");
        let sum = world.vote(b"stuck", &[2, 3], true);
        world.hears(100, b"stuck", sum, false);
        let mut asked = false;
        let want = wire::encode(&Message::Want(vec![b"stuck".to_vec()]));
        for now in (200..FIRST).step_by(100) {
            let outputs = world.replica.poll(now);
            asked |= outputs
                .iter()
                .any(|output| matches!(output, Output::Send { bytes, .. } if *bytes == want));
        }
        assert!(asked);
    }
}
