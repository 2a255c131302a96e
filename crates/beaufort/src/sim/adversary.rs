//! Ways of being Byzantine.
//!
//! All of them run the real replica and bend what goes into it or comes out: so they know all that an honest replica
//! knows, follow every change of the protocol, and get as far into it as one can.

use super::{
    Micros, Random, SECOND, SiteId, Tamper, World,
    forgery::{Forgery, Lie},
};
use crate::{
    MemberId,
    wire::{self, KeyState, Message},
};

/// The part of all states that liars bend: few enough for the others to believe the rest.
const CHANCE: f64 = 0.2;

/// A way of being Byzantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adversary {
    /// Passes on what others say and, for some of the time, votes for nothing that others propose.
    Withholder,
    /// Two replicas with one key that know nothing of each other: each votes, to a part of the others.
    Equivocator,
    /// Signs wrongly for some of the time.
    Missigner,
    /// Sends bytes of which some are altered.
    Garbler,
    /// Says nothing for long, then all at once.
    Revealer,
    /// Spoils the sums of signatures that it passes on.
    Forger,
    /// Adds votes of its own, signed well, that nothing supports.
    Stuffer,
    /// Sends states that no honest replica can have.
    Liar,
    /// Adds the sums that it passes on to themselves, until a count is as large as it may be.
    Inflator,
    /// Passes proposals on, and nothing after them: others' votes go to it and no further.
    Sink,
}

impl Adversary {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Withholder,
        Self::Equivocator,
        Self::Missigner,
        Self::Garbler,
        Self::Revealer,
        Self::Forger,
        Self::Stuffer,
        Self::Liar,
        Self::Inflator,
        Self::Sink,
    ];

    /// Makes a site's replica this. An equivocator is one already: it has two sites.
    pub fn corrupt(self, world: &mut World, site: SiteId, random: &mut Random) {
        let random = random.fork();
        let tamper: Box<dyn Tamper> = match self {
            Self::Equivocator => return,
            Self::Withholder => return world.site(site).votes.set(false),
            Self::Missigner => return world.site(site).scheme.sabotage(true),
            Self::Garbler => Box::new(Garble { random }),
            Self::Revealer => Box::new(Delay { random, until: 0 }),
            Self::Forger => Box::new(Forgery::new(world, site, random, Lie::Signature, CHANCE)),
            Self::Stuffer => Box::new(Forgery::new(world, site, random, Lie::Vote, CHANCE)),
            Self::Liar => Box::new(Forgery::new(world, site, random, Lie::State, CHANCE)),
            Self::Inflator => Box::new(Forgery::new(world, site, random, Lie::Count, 1.0)),
            Self::Sink => Box::new(Keep),
        };
        world.tamper(site, Some(tamper));
    }

    /// Changes its mind, where it has one: what is worst is to be honest at times.
    pub fn turn(self, world: &World, site: SiteId, random: &mut Random) {
        let honest = random.happens(0.5);
        match self {
            Self::Withholder => world.site(site).votes.set(honest),
            Self::Missigner => world.site(site).scheme.sabotage(!honest),
            _ => {}
        }
    }
}

/// Alters a bit of one message in four, cuts one in sixteen, and doubles one in sixteen.
struct Garble {
    random: Random,
}

impl Tamper for Garble {
    fn tamper(
        &mut self,
        _now: Micros,
        _to: MemberId,
        mut bytes: Vec<u8>,
    ) -> Vec<(Micros, Vec<u8>)> {
        let at = self.random.below(bytes.len() as u64) as usize;
        match self.random.below(16) {
            0..=3 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.random.below(8);
                }
            }
            4 => bytes.truncate(at),
            5 => return vec![(0, bytes.clone()), (0, bytes)],
            _ => {}
        }
        vec![(0, bytes)]
    }
}

/// Keeps everything back until a time, then waits for the next one.
struct Delay {
    random: Random,
    until: Micros,
}

impl Tamper for Delay {
    fn tamper(&mut self, now: Micros, _to: MemberId, bytes: Vec<u8>) -> Vec<(Micros, Vec<u8>)> {
        if self.until <= now {
            self.until = now + self.random.below(4 * SECOND);
        }
        vec![(self.until - now, bytes)]
    }
}

/// Keeps all states back that propose nothing.
struct Keep;

impl Tamper for Keep {
    fn tamper(&mut self, _now: Micros, _to: MemberId, bytes: Vec<u8>) -> Vec<(Micros, Vec<u8>)> {
        let Ok(Message::States(mut states)) = wire::decode(&bytes) else {
            return vec![(0, bytes)];
        };
        states.retain(|state: &KeyState| {
            let state = state.clone().into_state();
            state.is_ok_and(|(_, state)| !state.proposals.is_empty())
        });
        vec![(0, wire::encode(&Message::States(states)))]
    }
}
