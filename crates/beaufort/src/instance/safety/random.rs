//! Long random runs with up to f Byzantine members, at n = 4, 7 and 10.
//!
//! Beyond the exhaustive search they have false signatures, claims of votes that nobody cast, states that are no honest
//! replica's, values that access control refuses, stale messages, and later views. At the end the network becomes
//! synchronous and the Byzantine members fall silent; then everything open is decided.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{
    Ballot, Digest, Entry, Instance, LATE, Marks, MemberId, Merged, Millis, Phase, Rule, Scheme,
    Signature, Site, State, World, validity,
};
use crate::{
    sums::{Sum, claims},
    tally::Source,
};

/// One run, of which everything follows from the seed.
pub struct Run {
    pub world: World,
    pub sites: Vec<Site>,
    seed: u64,
    random: ChaCha8Rng,
    now: Millis,
    /// States that are under way, to be delivered in any order, more than once, or never.
    sent: Vec<(MemberId, State)>,
    /// Honest votes that were cast, in which view.
    cast: BTreeSet<(u64, Ballot, MemberId)>,
    decided: BTreeMap<u64, Digest>,
}

impl Run {
    /// A run of `n` members, f of which are Byzantine.
    pub fn new(n: u16, rule: Rule, seed: u64) -> Self {
        let mut world = World::new(n, 4, rule);
        world.refused = Some(seed as usize % 5).filter(|&value| value < 4);
        let honest = n - world.members.faults() as u16;
        let sites = (0..honest).map(|me| world.site(me)).collect();
        let random = ChaCha8Rng::seed_from_u64(seed);
        Self {
            world,
            sites,
            seed,
            random,
            now: 0,
            sent: Vec::new(),
            cast: BTreeSet::new(),
            decided: BTreeMap::new(),
        }
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.random.next_u64() as usize % end
    }

    /// Something happens.
    pub fn step(&mut self) {
        let who = self.below(self.sites.len());
        match self.below(16) {
            0 => {
                let value = self.below(self.world.values.len());
                if self.world.refused != Some(value) {
                    self.world.propose(&mut self.sites[who], value);
                }
            }
            1 => self.now += 1 + self.random.next_u64() % LATE,
            2 => {
                let known = self.evidence();
                self.sites[who].excluded.extend(known);
            }
            3..=6 => {
                let whole = self.below(4) > 0;
                let state = self.tell(who, whole);
                self.sent.push((MemberId(who as u16), state));
            }
            7..=12 if !self.sent.is_empty() => {
                let which = self.below(self.sent.len());
                let (from, state) = self.sent[which].clone();
                self.deliver(who, from, state);
            }
            _ => {
                let from =
                    MemberId((self.sites.len() + self.below(self.world.members.faults())) as u16);
                let state = self.contrive(who, from);
                self.receive(who, from, state);
            }
        }
        self.act(who);
    }

    /// What an honest replica tells: all it knows, or a part.
    pub fn tell(&mut self, who: usize, whole: bool) -> State {
        let mut state = self.world.state(&mut self.sites[who]);
        state.whole = whole;
        if !whole {
            state
                .votes
                .retain(|_| !self.random.next_u64().is_multiple_of(4));
        }
        state
    }

    /// Everybody whose two votes some honest replica has, and shows to others sooner or later.
    fn evidence(&self) -> BTreeSet<MemberId> {
        self.sites
            .iter()
            .flat_map(|site| site.excluded.iter().copied())
            .collect()
    }

    /// An honest replica's state arrives at another, which takes it for that.
    pub fn deliver(&mut self, to: usize, from: MemberId, state: State) {
        let invalid = self.receive(to, from, state);
        assert_eq!(
            invalid, None,
            "seed {}: {from:?}'s state is an honest one",
            self.seed
        );
    }

    fn receive(&mut self, to: usize, from: MemberId, state: State) -> Option<validity::Invalid> {
        match self.world.merge(&mut self.sites[to], from, state) {
            Merged::Invalid(invalid) => Some(invalid),
            _ => None,
        }
    }

    /// A state that a Byzantine member makes up: votes that were cast, its own for anything, and sometimes false ones.
    fn contrive(&mut self, to: usize, me: MemberId) -> State {
        let view = self.sites[to].instance.view();
        let last = self
            .cast
            .iter()
            .filter(|(at, ..)| *at == view)
            .map(|(_, ballot, _)| ballot.round)
            .max();
        let rounds = last.map_or(1, |last| last as usize + 2);
        let mut votes = Vec::new();
        let cast: Vec<_> = self
            .cast
            .iter()
            .filter(|(at, ..)| *at == view)
            .copied()
            .collect();
        let thinness = 1 + self.below(4);
        for (_, ballot, voter) in cast {
            if self.below(thinness) == 0 {
                votes.push(self.world.signed_in(view, voter.0, ballot));
            }
        }
        let accomplices = self.sites.len() as u16..self.world.members.len() as u16;
        for voter in accomplices.cycle().skip(usize::from(me.0)).take(6) {
            let phase = if self.below(3) == 0 {
                Phase::Commit
            } else {
                Phase::PreCommit
            };
            let ballot = self.any_ballot(rounds, phase);
            votes.push(self.world.signed_in(view, voter, ballot));
        }
        if self.below(4) == 0 {
            let ballot = self.any_ballot(rounds, Phase::PreCommit);
            let mut false_vote = self.world.signed_in(view, to as u16 ^ 1, ballot);
            false_vote.signature = Signature([self.below(256) as u8; 48]);
            votes.push(false_vote);
        }
        let proposals = self.world.values.iter().cloned().map(Some).collect();
        State {
            view,
            whole: self.below(3) == 0,
            decision: None,
            proposals,
            votes,
        }
    }

    fn any_ballot(&mut self, rounds: usize, phase: Phase) -> Ballot {
        let (round, value) = (self.below(rounds), self.below(self.world.values.len()));
        self.world.ballot(round as u32, phase, value)
    }

    /// A replica does what it can; what it is then holds all that is promised.
    pub fn act(&mut self, who: usize) {
        let site = &mut self.sites[who];
        for entry in self.world.drive(site, self.now) {
            for (voter, _) in entry
                .certificate
                .signers
                .iter()
                .filter(|(voter, _)| usize::from(voter.0) < self.sites.len())
            {
                let ballot = Ballot {
                    round: entry.certificate.round,
                    phase: Phase::Commit,
                    value: entry.certificate.value,
                };
                self.cast.insert((entry.view, ballot, voter));
            }
            let decided = *self
                .decided
                .entry(entry.view)
                .or_insert(entry.certificate.value);
            assert_eq!(
                decided, entry.certificate.value,
                "seed {}: two values in view {}",
                self.seed, entry.view
            );
        }
        let site = &self.sites[who];
        let view = site.instance.view();
        let own = site.instance.tallies().iter();
        let own = own.filter(|(_, tally)| {
            tally
                .verified()
                .is_some_and(|signers| signers.contains(site.me))
        });
        self.cast
            .extend(own.map(|(&ballot, _)| (view, ballot, site.me)));
        assert_eq!(
            self.world.check(site),
            Ok(()),
            "seed {}: what {who} tells",
            self.seed
        );
        assert_eq!(
            self.world.check_verified(site),
            Ok(()),
            "seed {}: what {who} has verified",
            self.seed
        );
    }

    /// Whether certificates for two values in one view can be made of the votes cast.
    pub fn is_broken(&self) -> bool {
        let mut commits: BTreeMap<(u64, u32, Digest), usize> = BTreeMap::new();
        for (view, ballot, _) in self
            .cast
            .iter()
            .filter(|(_, ballot, _)| ballot.phase == Phase::Commit)
        {
            *commits
                .entry((*view, ballot.round, ballot.value))
                .or_default() += 1;
        }
        let members = &self.world.members;
        let certain = commits
            .iter()
            .filter(|&(_, &votes)| votes + members.faults() >= members.quorum());
        let mut values: BTreeMap<u64, BTreeSet<Digest>> = BTreeMap::new();
        for (&(view, _, value), _) in certain {
            values.entry(view).or_default().insert(value);
        }
        values.values().any(|values| values.len() > 1)
    }

    /// Whether anybody honest has voted in the view that a replica is in.
    fn is_voted_on(&self, site: &Site) -> bool {
        let honest = |(voter, _): (MemberId, u16)| usize::from(voter.0) < self.sites.len();
        site.instance
            .tallies()
            .values()
            .any(|tally| tally.claimed().iter().any(honest))
    }

    /// The network is synchronous from now on, and Byzantine members are silent: everything open is decided.
    fn settle(&mut self) {
        for _ in 0..40 {
            let views: BTreeSet<_> = self.sites.iter().map(|site| site.instance.view()).collect();
            if views.len() == 1 && !self.sites.iter().any(|site| self.is_voted_on(site)) {
                return;
            }
            self.now += LATE;
            let known = self.evidence();
            for site in &mut self.sites {
                site.excluded.extend(&known);
            }
            let sites = self.sites.len();
            for (from, to) in (0..sites).flat_map(|from| (0..sites).map(move |to| (from, to))) {
                // Where something false was found, neighbours are asked to verify what they send.
                let unsure: Vec<_> = self.sites[from].instance.unverified().collect();
                self.world.verify(&mut self.sites[from], self.now, &unsure);
                let state = self.tell(from, true);
                let member = MemberId(from as u16);
                let source = Source {
                    member,
                    vouched: true,
                };
                let merged = self.world.merge_from(&mut self.sites[to], source, state);
                assert!(
                    matches!(merged, Merged::Known | Merged::News),
                    "seed {}: {member:?}'s state is an honest one: {merged:?}",
                    self.seed
                );
                self.act(to);
            }
        }
        panic!(
            "n = {}, seed {}: nothing is decided although everybody honest has talked to everybody",
            self.world.members.len(),
            self.seed
        );
    }
}

impl World {
    /// Goes as far as the votes allow, verifies what must be, and excludes who voted twice. Returns what was decided.
    pub fn drive(&self, site: &mut Site, now: Millis) -> Vec<Entry> {
        let mut decided = Vec::new();
        loop {
            while let Some(certificate) = site.instance.latest_ahead().cloned() {
                let holds = certificate
                    .verify(&Marks, &self.members, super::KEY)
                    .is_ok();
                self.at(site, now, |instance, cx| {
                    _ = instance.settle_ahead(cx, holds)
                });
            }
            while let Some((culprit, ballots)) = site.instance.double_vote(site.me, &site.excluded)
            {
                let known = |site: &Site| {
                    let voted = |ballot| {
                        site.instance
                            .tallies()
                            .get(ballot)
                            .and_then(|tally| tally.verified())
                            .is_some_and(|signers| signers.contains(culprit))
                    };
                    ballots.iter().all(voted)
                };
                let mut unsure = site.instance.unverified_until(ballots[0].round);
                unsure.extend(ballots);
                self.verify(site, now, &unsure);
                if known(site) {
                    site.excluded.insert(culprit);
                }
            }
            match self.at(site, now, |instance, cx| instance.step(cx)) {
                super::Turn::Rest => return decided,
                super::Turn::Decided => decided.extend(site.instance.entry().cloned()),
                super::Turn::Verify(ballots) => self.verify(site, now, &ballots),
            }
        }
    }

    fn verify(&self, site: &mut Site, now: Millis, ballots: &[Ballot]) {
        for ballot in ballots {
            let message = site.instance.scope().message(ballot);
            let mut holds = |sums: &[Sum<_>]| {
                let claims: Vec<_> = claims(&message, sums).collect();
                Marks.verify(&(), &claims, &[0; 32])
            };
            self.at(site, now, |instance: &mut Instance<Marks>, cx| {
                let tally = instance.tallies_mut().get_mut(ballot);
                if tally.is_some_and(|tally| holds(tally.claims(&Marks))) {
                    instance.confirm(cx, ballot);
                } else {
                    instance.refute(cx.members, ballot, &mut holds);
                }
            });
        }
    }

    /// Whether what a replica has verified can be an honest one's state without the rest.
    pub fn check_verified(&self, site: &Site) -> Result<(), validity::Invalid> {
        let verified = site
            .instance
            .tallies()
            .iter()
            .filter_map(|(&ballot, tally)| Some((ballot, tally.verified()?.clone())));
        validity::check(
            &verified.collect(),
            self.members.len(),
            self.members.quorum(),
            &|value| self.is_refused(value),
        )
    }
}

/// How many runs a test does of each kind: `SEEDS`, or these.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let first = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let number = std::env::var("SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(usual);
    first.map_or(0..number, |first| first..first + 1)
}

#[test]
fn no_random_run_breaks_agreement_and_all_settle() {
    for n in [4, 7, 10] {
        for seed in seeds(40) {
            let mut run = Run::new(n, Rule::Locked, seed);
            for _ in 0..400 {
                run.step();
                assert!(
                    !run.is_broken(),
                    "n = {n}, seed {seed}: certificates for two values can be made"
                );
            }
            run.settle();
            assert!(
                !run.is_broken(),
                "n = {n}, seed {seed}: certificates for two values can be made"
            );
        }
    }
}
