//! Runs in which the published rule decides two values in one view, step by step, and what the lock makes of them.
//!
//! Quorums are three of four. `docs/beaufort/safety.md` tells the first as a table.

use super::{LATE, Marks, MemberId, Merged, Phase, Rule, Signers, Site, State, World};
use crate::{tally::Source, value_digest};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const D: usize = 3;

/// Of two values with as many votes the second wins.
const FIRST: usize = 0;
const SECOND: usize = 1;

struct Story {
    world: World,
    sites: Vec<Site>,
}

impl Story {
    fn begin(rule: Rule) -> Self {
        let world = World::new(4, 2, rule);
        let sites = (0..4).map(|me| world.site(me)).collect();
        Self { world, sites }
    }

    /// One with this many values.
    fn with_values(number: u16) -> Self {
        let mut story = Self::begin(Rule::Locked);
        story.world.values = (0..number)
            .map(|value| value.to_le_bytes().to_vec())
            .collect();
        story
            .world
            .values
            .sort_by_key(|value| value_digest(Some(value)));
        story
    }

    fn propose(&mut self, who: usize, value: usize) {
        assert!(self.world.propose(&mut self.sites[who], value));
    }

    /// All that one replica knows reaches another, which then does what it can and waits for nothing.
    fn gossip(&mut self, from: usize, to: usize) {
        let state = self.world.state(&mut self.sites[from]);
        self.hear(from, to, state);
    }

    /// A Byzantine member shows some votes, its own among them, and the other does what it can.
    fn show(&mut self, to: usize, votes: &[(usize, u32, usize)]) {
        let state = self.votes(votes);
        self.hear(D, to, state);
    }

    /// The same, and the other does nothing yet.
    fn take(&mut self, from: usize, to: usize, votes: &[(usize, u32, usize)]) {
        let state = self.votes(votes);
        self.world
            .merge(&mut self.sites[to], MemberId(from as u16), state);
    }

    fn votes(&self, votes: &[(usize, u32, usize)]) -> State {
        let signed = |&(voter, round, value): &(usize, u32, usize)| {
            self.world.signed(
                voter as u16,
                self.world.ballot(round, Phase::PreCommit, value),
            )
        };
        let proposals = self.world.values.iter().cloned().map(Some).collect();
        State {
            view: 1,
            whole: false,
            decision: None,
            proposals,
            votes: votes.iter().map(signed).collect(),
        }
    }

    fn hear(&mut self, from: usize, to: usize, state: State) {
        let site = &mut self.sites[to];
        self.world.merge(site, MemberId(from as u16), state);
        if self.world.drive(site, 0).is_empty() {
            self.world.drive(site, LATE);
        }
    }

    /// Whose votes to commit a value there are in a round.
    fn commits(&self, round: u32, value: usize) -> Signers {
        let ballot = self.world.ballot(round, Phase::Commit, value);
        let mut all = Signers::none(4);
        for site in &self.sites {
            if let Some(tally) = site.instance.tallies().get(&ballot) {
                all.unite(tally.claimed());
            }
        }
        all
    }
}

/// C hears of A first and D of B; A, B and C come to round 1 without D, which holds the vote that makes round 0 a tie.
fn without_byzantine(rule: Rule) -> Story {
    let mut story = Story::begin(rule);
    story.propose(A, FIRST);
    story.propose(B, SECOND);
    story.gossip(A, C); // C votes for the first value
    story.gossip(B, C); // C knows three votes, the first value leads: round 1
    story.gossip(C, A); // so does A
    story.gossip(B, D); // D votes for the second value
    story.gossip(A, B); // B comes to round 1 as well, sees three votes for the first value, and commits
    story.gossip(B, C); // C commits
    story.gossip(A, D); // D sees the tie: round 1, which is split for it, and round 2
    story.gossip(B, A); // A commits: a certificate for the first value can be made
    story.gossip(D, A); // A sees the tie and round 2, and falls back
    story.gossip(A, B); // so does B
    story
}

#[test]
fn as_published_two_replicas_decide_two_values_and_nobody_cheated() {
    let mut story = without_byzantine(Rule::AsPublished);
    assert_eq!(story.commits(1, FIRST).distinct(), 3);
    story.gossip(B, A);
    story.gossip(B, C); // C knows A's, B's and its own vote to commit the first value
    story.gossip(A, D); // D knows A's, B's and its own vote to commit the second
    let decided = [C, D].map(|who| {
        story.sites[who]
            .instance
            .entry()
            .cloned()
            .expect("it has decided")
    });
    for (entry, (round, value)) in decided.iter().zip([(1, FIRST), (2, SECOND)]) {
        assert_eq!((entry.view, entry.certificate.round), (1, round));
        assert_eq!(entry.certificate.value, story.world.digest(value));
        assert_eq!(
            entry
                .certificate
                .verify(&Marks, &story.world.members, super::KEY),
            Ok(())
        );
    }
}

#[test]
fn with_the_lock_the_same_run_decides_one() {
    let mut story = without_byzantine(Rule::Locked);
    story.gossip(B, A);
    story.gossip(B, C);
    story.gossip(A, D);
    for (from, to) in (0..4).flat_map(|from| (0..4).map(move |to| (from, to))) {
        story.gossip(from, to);
    }
    for site in &story.sites {
        let entry = site.instance.entry().expect("it has decided");
        assert_eq!(entry.certificate.value, story.world.digest(FIRST));
    }
}

/// D votes for both values in round 0 and helps each to a quorum: the second in round 1, with A and B; then the first,
/// after C saw both of D's votes, no longer counts D, and finds another winner of round 0.
fn with_byzantine(rule: Rule) -> Story {
    let mut story = Story::begin(rule);
    story.propose(A, FIRST);
    story.show(B, &[(A, 0, FIRST), (D, 0, SECOND)]);
    story.show(
        A,
        &[
            (B, 0, SECOND),
            (D, 0, SECOND),
            (B, 1, SECOND),
            (D, 1, SECOND),
        ],
    );
    story.show(B, &[(A, 1, SECOND), (D, 1, SECOND)]);
    story.show(C, &[(A, 0, FIRST), (D, 0, FIRST)]);
    story.show(
        C,
        &[
            (B, 0, SECOND),
            (D, 0, SECOND),
            (A, 1, SECOND),
            (B, 1, SECOND),
        ],
    );
    for who in [A, B] {
        story.show(
            who,
            &[
                (C, 0, FIRST),
                (D, 0, FIRST),
                (C, 1, FIRST),
                (C, 2, FIRST),
                (D, 2, FIRST),
            ],
        );
    }
    story
}

#[test]
fn as_published_a_byzantine_member_gets_two_values_certified() {
    let story = with_byzantine(Rule::AsPublished);
    assert_eq!(
        story.commits(1, SECOND).distinct() + 1,
        3,
        "A's, B's and D's"
    );
    assert_eq!(
        story.commits(2, FIRST).distinct() + 1,
        3,
        "A's, B's and D's"
    );
    assert!(
        story.sites[..C]
            .iter()
            .all(|site| site.excluded.contains(&MemberId(3))),
        "it is caught, too late"
    );
}

#[test]
fn with_the_lock_it_gets_one() {
    let story = with_byzantine(Rule::Locked);
    assert_eq!(
        story.commits(1, SECOND).distinct() + 1,
        3,
        "A's, B's and D's"
    );
    assert_eq!(story.commits(2, FIRST).distinct(), 0);
}

/// A member that nobody had caught yet voted for as many values as a view had room for votes. At the replica that it showed
/// them to, an honest member's votes were then refused, and not sent again.
#[test]
fn who_votes_for_everything_keeps_nobody_else_out() {
    let mut story = Story::with_values(300);
    let all: Vec<_> = (0..256).map(|value| (D, 0, value)).collect();
    story.take(D, A, &all);
    story.propose(B, 299);
    let state = story.world.state(&mut story.sites[B]);
    let merged = story
        .world
        .merge(&mut story.sites[A], MemberId(B as u16), state);
    assert_eq!(merged, Merged::News);
    let ballot = story.world.ballot(0, Phase::PreCommit, 299);
    let tallies = story.sites[A].instance.tallies();
    assert!(tallies[&ballot].claimed().contains(MemberId(B as u16)));
    let most = tallies
        .values()
        .filter(|tally| tally.claimed().contains(MemberId(D as u16)));
    assert_eq!(most.count(), 64, "what one member votes is bounded");
}

/// A member voted for more values than any member may, and showed another replica one that the first had no more room
/// for. What that replica voted on the strength of it must reach the first all the same, once it answers for it.
#[test]
fn what_others_votes_rest_on_is_taken_in_whoever_cast_it() {
    let mut story = Story::with_values(300);
    let all: Vec<_> = (1..200).map(|value| (D, 0, value)).collect();
    story.take(D, A, &all);
    // Three votes for three values: B begins the next round with D's, which wins by its hash.
    story.propose(B, 298);
    story.propose(C, 0);
    story.gossip(C, B);
    story.show(B, &[(D, 0, 299)]);
    let next = story.world.ballot(1, Phase::PreCommit, 299);
    assert!(story.sites[B].instance.tallies().contains_key(&next));
    let state = story.world.state(&mut story.sites[B]);
    for (vouched, merged) in [(false, Merged::Incomplete), (true, Merged::News)] {
        let source = Source {
            member: MemberId(B as u16),
            vouched,
        };
        let site = &mut story.sites[A];
        let came = story.world.merge_from(site, source, state.clone());
        assert_eq!(came, merged, "vouched: {vouched}");
    }
    let tallies = story.sites[A].instance.tallies();
    assert!(tallies[&next].claimed().contains(MemberId(B as u16)));
}
