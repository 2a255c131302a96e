//! Faults that random runs found in the core, each as the shortest run that shows it.

use std::collections::BTreeSet;

use super::{
    Ballot, LATE, MemberId, Merged, Phase, Rule, Signature, Signed, Site, State, World,
    validity::Invalid,
};
use crate::tally::Source;

const A: u16 = 0;
const B: u16 = 1;
const C: u16 = 2;
const D: u16 = 3;

/// Of values with as many votes the last wins.
fn world() -> World {
    World::new(4, 3, Rule::Locked)
}

/// A neighbour's state of these votes, and of all values.
fn state(world: &World, votes: Vec<Signed>, whole: bool) -> State {
    State {
        view: 1,
        whole,
        decision: None,
        proposals: world.values.iter().cloned().map(Some).collect(),
        votes,
    }
}

/// Genuine votes of these members in a round, each for the value that is named.
fn votes(world: &World, round: u32, votes: &[(u16, usize)]) -> Vec<Signed> {
    let signed = |&(voter, value): &(u16, usize)| {
        world.signed(voter, world.ballot(round, Phase::PreCommit, value))
    };
    votes.iter().map(signed).collect()
}

fn rounds(site: &Site) -> BTreeSet<u32> {
    let ballots = site.instance.tallies().keys();
    ballots.map(|ballot: &Ballot| ballot.round).collect()
}

/// A round that was split was over for everybody, but each waited for another to vote in the next one first.
#[test]
fn who_is_through_with_a_round_begins_the_next() {
    let world = world();
    let mut site = world.site(A);
    world.propose(&mut site, 0);
    let others = state(&world, votes(&world, 0, &[(B, 1), (C, 2)]), true);
    world.merge(&mut site, MemberId(B), others);
    world.drive(&mut site, LATE);
    assert!(rounds(&site).contains(&1));
}

/// A replica that found two votes of its own, one of them of a former life that it had forgotten, gathered evidence
/// against itself again and again.
#[test]
fn who_finds_two_votes_of_its_own_goes_on() {
    let world = world();
    let mut site = world.site(A);
    world.propose(&mut site, 0);
    let forgotten = state(&world, votes(&world, 0, &[(A, 1), (B, 1), (C, 1)]), true);
    assert_eq!(world.merge(&mut site, MemberId(B), forgotten), Merged::News);
    world.drive(&mut site, LATE);
    assert!(site.excluded.is_empty());
    let commit = world.ballot(0, Phase::Commit, 1);
    assert!(site.instance.tallies().contains_key(&commit));
}

/// Votes of a later round were verified before those that they rest on. When one of these turned out to be false, the
/// replica told a state that no honest one has, and passed for Byzantine.
#[test]
fn what_rests_on_a_false_vote_goes_with_it() {
    let world = world();
    let mut site = world.site(A);
    world.propose(&mut site, 0);
    let mut told = votes(&world, 0, &[(B, 1), (C, 2)]);
    told[1].signature = Signature([9; 48]);
    told.extend(votes(&world, 1, &[(B, 2)]));
    let told = state(&world, told, false);
    assert_eq!(world.merge(&mut site, MemberId(D), told), Merged::News);
    world.drive(&mut site, LATE);
    assert_eq!(rounds(&site), BTreeSet::from([0]));
    assert_eq!(world.check(&site), Ok(()), "what it tells");
    assert_eq!(world.check_verified(&site), Ok(()), "what it keeps");
}

/// Votes were taken without the value that they are for. Who did not have the winner's value voted for another one.
#[test]
fn votes_are_taken_with_their_value_only() {
    let world = world();
    for (whole, merged) in [
        (false, Merged::Incomplete),
        (true, Merged::Invalid(Invalid::Unseen(0))),
    ] {
        let mut site = world.site(A);
        let mut told = state(&world, votes(&world, 0, &[(B, 1)]), whole);
        told.proposals.clear();
        assert_eq!(world.merge(&mut site, MemberId(B), told), merged);
        assert!(site.instance.tallies().is_empty());
    }
}

/// What only an excluded member had voted for was left out even where others' votes rest on it. What was left was taken
/// for no honest replica's state, and those others were not heard.
#[test]
fn who_counted_an_excluded_member_is_heard() {
    let world = world();
    let mut site = world.site(A);
    site.excluded.insert(MemberId(D));
    let mut told = votes(&world, 0, &[(B, 0), (C, 1), (D, 2)]);
    told.extend(votes(&world, 1, &[(B, 2)]));
    let source = Source {
        member: MemberId(B),
        vouched: true,
    };
    let told = state(&world, told, true);
    assert_eq!(world.merge_from(&mut site, source, told), Merged::News);
    assert_eq!(rounds(&site), BTreeSet::from([0, 1]));
    assert_eq!(world.check(&site), Ok(()));
}
