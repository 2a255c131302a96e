//! The laws of merging: in which order, how often and in which company states arrive makes no difference to what is
//! known in the end, what is known only grows, and nothing that arrives makes a replica say what no honest one says.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    Ballot, Decision, Digest, LATE, MemberId, Merged, Phase, Rule, Signature, Signed, Signers,
    Site, State, World, random::Run, validity,
};
use crate::{Certificate, tally::Source};

/// What is known of a key: the view, what the last one decided, and the votes of this one.
type Known = (u64, Option<Digest>, BTreeMap<Ballot, BTreeSet<MemberId>>);

fn known(site: &Site) -> Known {
    let voters = |signers: &Signers| signers.iter().map(|(voter, _)| voter).collect();
    let votes = site
        .instance
        .tallies()
        .iter()
        .map(|(&ballot, tally)| (ballot, voters(tally.claimed())));
    let entry = site.instance.entry().map(|entry| entry.certificate.value);
    (site.instance.view(), entry, votes.collect())
}

/// What a replica that has not voted knows after these states.
fn merged(world: &World, states: &[&State]) -> Site {
    let mut site = world.site(0);
    for (from, &state) in (0..).zip(states) {
        let source = Source {
            member: MemberId(from),
            vouched: false,
        };
        world.at(&mut site, 0, |instance, cx| {
            let merged = instance.merge(cx, source, state.clone());
            assert!(matches!(merged, Merged::Known | Merged::News), "{merged:?}");
            while instance.latest_ahead().is_some() {
                instance
                    .settle_ahead(cx, true)
                    .expect("honest entries hold");
            }
        });
    }
    site
}

/// Three states that honest replicas had during one run.
fn states(n: u16, seed: u64, moments: [usize; 3]) -> (World, [State; 3]) {
    let mut run = Run::new(n, Rule::Locked, seed);
    let states = moments.map(|steps| {
        for _ in 0..steps {
            run.step();
        }
        let who = run.below(run.sites.len());
        run.tell(who, true)
    });
    (run.world, states)
}

/// Votes that can be an honest replica's, whoever cast them: from a list of any, those that fit when their turn comes.
fn valid(world: &World, votes: &[(u32, bool, usize, u16)]) -> validity::Votes {
    let (n, quorum) = (world.members.len(), world.members.quorum());
    let mut valid = validity::Votes::new();
    for &(round, commits, value, voter) in votes {
        let phase = if commits {
            Phase::Commit
        } else {
            Phase::PreCommit
        };
        let mut more = valid.clone();
        let one = Signers::one(n, MemberId(voter % n as u16));
        more.entry(world.ballot(round, phase, value))
            .or_insert_with(|| Signers::none(n))
            .unite(&one);
        if validity::check(&more, n, quorum, &|_| false).is_ok() {
            valid = more;
        }
    }
    valid
}

fn any_votes() -> impl Strategy<Value = Vec<(u32, bool, usize, u16)>> {
    // Early rounds first, so that later ones can follow.
    let vote = (0..4u32, prop::bool::weighted(0.2), 0..3usize, 0..7u16);
    prop::collection::vec(vote, 0..120).prop_map(|mut votes| {
        votes.sort_by_key(|&(round, commits, ..)| (round, commits));
        votes
    })
}

fn any_signers() -> impl Strategy<Value = Signers> {
    let counts = prop::collection::vec(
        prop_oneof![Just(0u16), Just(1), Just(1), 2..5u16, Just(u16::MAX)],
        4,
    );
    let counted = counts.prop_map(|counts| {
        let mut signers = Signers::none(4);
        for (member, count) in (0..).zip(counts) {
            let mut times = Signers::one(4, MemberId(member));
            for _ in 1..count.min(5) {
                times = times
                    .plus(&Signers::one(4, MemberId(member)))
                    .expect("small counts");
            }
            signers = if count == 0 {
                signers
            } else {
                signers.plus(&times).expect("small counts")
            };
        }
        signers
    });
    prop_oneof![9 => counted, 1 => (0..9usize).prop_map(Signers::none)]
}

fn any_signature() -> impl Strategy<Value = Signature> {
    any::<[u8; 16]>().prop_map(|bytes| {
        let mut signature = [0; 48];
        signature[16..32].copy_from_slice(&bytes);
        Signature(signature)
    })
}

/// A state that means anything or nothing.
fn any_state() -> impl Strategy<Value = State> {
    let world = World::new(4, 3, Rule::Locked);
    let digests: Vec<_> = (0..3)
        .map(|value| world.digest(value))
        .chain([[0; 32], [0xff; 32]])
        .collect();
    let values: Vec<_> = world
        .values
        .iter()
        .cloned()
        .map(Some)
        .chain([None, Some(vec![9; 9])])
        .collect();
    let round = prop_oneof![8 => 0..4u32, 1 => Just(u32::MAX)];
    let phase = prop_oneof![3 => Just(Phase::PreCommit), 1 => Just(Phase::Commit)];
    let ballot = (round.clone(), phase, prop::sample::select(digests.clone()));
    let vote = (ballot, any_signers(), any_signature(), any::<bool>()).prop_map(
        move |((round, phase, value), signers, signature, genuine)| {
            let ballot = Ballot {
                round,
                phase,
                value,
            };
            let voter = signers.iter().next().map_or(3, |(voter, _)| voter.0);
            if genuine {
                world.signed(voter % 4, ballot)
            } else {
                Signed {
                    ballot,
                    signers,
                    signature,
                }
            }
        },
    );
    let view = prop_oneof![6 => Just(1u64), 1 => Just(0), 1 => Just(2), 1 => Just(u64::MAX)];
    let certificate = (
        view.clone(),
        round,
        prop::sample::select(digests),
        any_signers(),
        any_signature(),
    );
    let certificate =
        certificate.prop_map(|(view, round, value, signers, signature)| Certificate {
            view,
            round,
            value,
            signers,
            signature,
        });
    let value = prop::option::of(prop::sample::select(values.clone()));
    let decision = (value, certificate);
    let decision =
        prop::option::of(decision.prop_map(|(value, certificate)| Decision { certificate, value }));
    let proposals = prop::collection::vec(prop::sample::select(values), 0..5);
    let votes = prop::collection::vec(vote, 0..40);
    (view, any::<bool>(), decision, proposals, votes).prop_map(
        |(view, whole, decision, proposals, votes)| State {
            view,
            whole,
            decision,
            proposals,
            votes,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn order_company_and_repetition_make_no_difference(
        n in prop::sample::select(vec![4u16, 7, 10]), seed: u64, moments in prop::array::uniform3(1..120usize),
    ) {
        let (world, [a, b, c]) = states(n, seed, moments);
        let all = known(&merged(&world, &[&a, &b, &c]));
        for order in [[&a, &c, &b], [&b, &a, &c], [&b, &c, &a], [&c, &a, &b], [&c, &b, &a]] {
            prop_assert_eq!(&known(&merged(&world, &order)), &all, "in another order");
        }
        let ab = world.state(&mut merged(&world, &[&a, &b]));
        let bc = world.state(&mut merged(&world, &[&b, &c]));
        prop_assert_eq!(&known(&merged(&world, &[&ab, &c])), &all, "the first two together");
        prop_assert_eq!(&known(&merged(&world, &[&a, &bc])), &all, "the last two together");
        prop_assert_eq!(&known(&merged(&world, &[&a, &b, &c, &b, &a, &c])), &all, "twice");
    }

    #[test]
    fn what_is_known_only_grows(n in prop::sample::select(vec![4u16, 7, 10]), seed: u64, moments in prop::array::uniform3(1..120usize)) {
        let (world, [a, b, _]) = states(n, seed, moments);
        let (view, entry, votes) = known(&merged(&world, &[&a]));
        let (later, later_entry, more) = known(&merged(&world, &[&a, &b]));
        prop_assert!(later >= view);
        if later == view {
            prop_assert_eq!(entry, later_entry);
            for (ballot, voters) in votes {
                prop_assert!(more.get(&ballot).is_some_and(|more| more.is_superset(&voters)), "votes for {ballot:?} are gone");
            }
        }
    }

    #[test]
    fn valid_votes_together_are_valid(n in prop::sample::select(vec![4u16, 7]), one in any_votes(), other in any_votes()) {
        let world = World::new(n, 3, Rule::Locked);
        let mut both = valid(&world, &one);
        for (ballot, signers) in valid(&world, &other) {
            both.entry(ballot).or_insert_with(|| Signers::none(usize::from(n))).unite(&signers);
        }
        prop_assert_eq!(validity::check(&both, world.members.len(), world.members.quorum(), &|_| false), Ok(()));
    }

    #[test]
    fn nothing_that_arrives_makes_a_replica_panic_or_invalid(seed: u64, steps in 0..100usize, arriving in prop::collection::vec(any_state(), 1..6)) {
        let mut run = Run::new(4, Rule::Locked, seed);
        for _ in 0..steps {
            run.step();
        }
        for (from, state) in (0..4).cycle().zip(arriving) {
            let site = &mut run.sites[0];
            run.world.merge(site, MemberId(from), state);
            site.excluded.clear();
            run.act(0);
        }
        run.world.act(&mut run.sites[0], LATE);
    }
}
