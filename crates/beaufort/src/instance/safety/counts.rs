//! Counts of signatures harm nobody, whoever makes them large: each signature can be added to itself, and a sum does not
//! tell who did that.

use proptest::prelude::*;

use super::{
    Ballot, Digest, LATE, Marks, MemberId, Merged, Phase, Rule, Scheme, Signed, Signers, State,
    World, validity::Invalid,
};
use crate::sums::{Sum, Sums, claims};

const MEMBERS: u16 = 7;
const MESSAGE: Digest = [7; 32];
/// The most that anybody is counted where fewer than n - f have signed.
const LIMIT: u16 = u16::MAX / MEMBERS;

/// A sum in which each of these members signed so often.
fn sum(message: &Digest, counts: &[(u16, u16)]) -> Sum<<Marks as Scheme>::Point> {
    let (mut signers, mut all) = (Signers::none(MEMBERS.into()), None);
    let mut add = |more: &Signers, point: &<Marks as Scheme>::Point| {
        signers = signers.plus(more).expect("small counts");
        match &mut all {
            Some(all) => Marks.add(all, point),
            None => all = Some(point.clone()),
        }
    };
    for &(member, count) in counts {
        let mut doubled = Signers::one(MEMBERS.into(), MemberId(member));
        let mut point = Marks.sign(&member, message);
        for bit in 0..16 - count.leading_zeros() {
            if count >> bit & 1 == 1 {
                add(&doubled, &point);
            }
            doubled = doubled.plus(&doubled).expect("small counts");
            let once = point.clone();
            Marks.add(&mut point, &once);
        }
    }
    let point = all.expect("somebody signed");
    Sum { signers, point }
}

fn holds(sums: &[Sum<<Marks as Scheme>::Point>]) -> bool {
    let claims: Vec<_> = claims(&MESSAGE, sums).collect();
    Marks.verify(&(), &claims, &[0; 32])
}

/// One member's vote, in a sum in which the last member is counted to the limit, or beyond it.
fn wrapped(world: &World, ballot: Ballot, voter: u16, count: u16) -> State {
    let scope = world.site(0).instance.scope();
    let Sum { signers, point } = sum(&scope.message(&ballot), &[(voter, 1), (MEMBERS - 1, count)]);
    State {
        view: 1,
        whole: true,
        decision: None,
        proposals: vec![Some(world.values[0].clone())],
        votes: vec![Signed {
            ballot,
            signers,
            signature: Marks.encode(&point),
        }],
    }
}

/// A Byzantine member sent each vote in a sum of its own, with itself counted to the limit. The sums could not be joined:
/// most votes were left out of what was verified and passed on, and the view stood still.
#[test]
fn votes_in_sums_that_do_not_join_are_told_and_decide() {
    let world = World::new(MEMBERS, 1, Rule::Locked);
    let mut sites = [world.site(0), world.site(5)];
    for phase in [Phase::PreCommit, Phase::Commit] {
        let ballot = world.ballot(0, phase, 0);
        for voter in 1..5 {
            let mut state = wrapped(&world, ballot, voter, LIMIT);
            state.whole = false;
            let merged = world.merge(&mut sites[0], MemberId(MEMBERS - 1), state);
            assert_eq!(merged, Merged::News, "{phase:?} of {voter}");
        }
        if phase == Phase::PreCommit {
            assert!(world.act(&mut sites[0], LATE).is_none());
        }
    }
    let told = world.state(&mut sites[0]);
    world.merge(&mut sites[1], MemberId(0), told);
    for site in &mut sites {
        let entry = world.act(site, LATE).expect("n - f have committed");
        assert!(entry.certificate.signers.distinct() >= world.members.quorum());
    }
}

#[test]
fn who_counts_beyond_the_limit_is_no_honest_replica() {
    let world = World::new(MEMBERS, 1, Rule::Locked);
    let state = wrapped(&world, world.ballot(0, Phase::PreCommit, 0), 1, LIMIT + 1);
    let merged = world.merge(&mut world.site(0), MemberId(MEMBERS - 1), state);
    assert_eq!(merged, Merged::Invalid(Invalid::Inflated(0)));
}

proptest! {
    #[test]
    fn everybody_stays_in_and_n_minus_f_make_one_sum(
        counts in prop::collection::vec(prop::collection::vec(prop_oneof![3 => Just(0u16), 2 => Just(1), 1 => 1..=LIMIT, 2 => Just(LIMIT)], 7), 1..30)
    ) {
        let (mut sums, mut everybody) = (Sums::none(MEMBERS.into()), Signers::none(MEMBERS.into()));
        for counts in counts.iter().filter(|counts| counts.iter().any(|&count| count > 0)) {
            let one = sum(&MESSAGE, &(0..).zip(counts.iter().copied()).collect::<Vec<_>>());
            everybody.unite(&one.signers);
            sums.add(&Marks, &one);
            prop_assert_eq!(sums.signers(), &everybody);
            prop_assert!(sums.as_slice().len() <= everybody.distinct());
            prop_assert!(sums.as_slice().iter().all(|sum| sum.signers.is_joinable()));
            let mut covered = Signers::none(MEMBERS.into());
            sums.as_slice().iter().for_each(|sum| covered.unite(&sum.signers));
            prop_assert_eq!(&covered, &everybody);
            prop_assert!(holds(sums.as_slice()));
            let joined = sums.joined(&Marks).expect("counts have room");
            prop_assert!(joined.signers.is_quorum() || !everybody.exceeds(&joined.signers));
            prop_assert_eq!(joined.signers.is_quorum(), everybody.is_quorum());
            prop_assert!(holds(&[joined]));
        }
    }
}
