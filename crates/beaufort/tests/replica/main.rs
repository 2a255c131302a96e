//! What an application can rely on, with real signatures and a handful of replicas whose messages take no time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod network;

use beaufort::{Exclusion, Output, SetError};
use network::{Network, member};

#[test]
fn a_value_that_one_sets_is_everywhere_with_a_certificate_that_anyone_can_check() {
    let mut network = Network::meshed(4);
    let ticket = network.replica(2).set(0, b"price", b"12".to_vec()).unwrap();
    network.settle();
    for index in 0..4 {
        let entry = network
            .replica(index)
            .get(b"price")
            .expect("decided everywhere")
            .clone();
        assert_eq!((entry.view, entry.value.as_deref()), (1, Some(&b"12"[..])));
        assert_eq!(entry.certificate.value, beaufort::value_digest(Some(b"12")));
        entry
            .certificate
            .verify(&beaufort::bls::Bls, &network.members(), b"price")
            .unwrap();
        assert!(
            entry
                .certificate
                .verify(&beaufort::bls::Bls, &network.members(), b"cost")
                .is_err()
        );
    }
    assert_eq!(network.settled(2), [(ticket, true)]);
}

#[test]
fn of_two_values_at_once_one_wins_everywhere_and_both_proposers_hear_which() {
    let mut network = Network::meshed(4);
    let first = network.replica(0).set(0, b"price", b"12".to_vec()).unwrap();
    let second = network.replica(3).set(0, b"price", b"13".to_vec()).unwrap();
    network.settle();
    let winner = network.replica(0).get(b"price").unwrap().value.clone();
    for index in 1..4 {
        assert_eq!(network.replica(index).get(b"price").unwrap().value, winner);
    }
    let first_won = winner.as_deref() == Some(b"12");
    assert_eq!(network.settled(0), [(first, first_won)]);
    assert_eq!(network.settled(3), [(second, !first_won)]);
}

#[test]
fn replicas_that_are_connected_over_others_only_agree() {
    let mut network = Network::ring(7);
    for index in 0..7 {
        network
            .replica(index)
            .set(0, format!("key {index}").as_bytes(), vec![index as u8])
            .unwrap();
    }
    network.settle();
    for index in 0..7 {
        for other in 0..7 {
            let entry = network
                .replica(other)
                .get(format!("key {index}").as_bytes())
                .expect("decided");
            assert_eq!(entry.value.as_deref(), Some(&[index as u8][..]));
        }
    }
    let roots: Vec<_> = (0..7).map(|index| network.replica(index).root()).collect();
    assert!(
        roots.windows(2).all(|pair| pair[0] == pair[1]),
        "all know the same"
    );
}

#[test]
fn writes_of_one_key_are_decided_one_after_the_other() {
    let mut network = Network::meshed(4);
    let tickets: Vec<_> = (0..5u8)
        .map(|value| network.replica(1).set(0, b"counter", vec![value]).unwrap())
        .collect();
    network.settle();
    let entry = network.replica(0).get(b"counter").unwrap().clone();
    assert_eq!((entry.view, entry.value), (5, Some(vec![4])));
    assert_eq!(
        network.settled(1),
        tickets
            .into_iter()
            .map(|ticket| (ticket, true))
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_deleted_key_stays_deleted_for_who_was_away() {
    let mut network = Network::meshed(4);
    network
        .replica(0)
        .set(0, b"note", b"soon gone".to_vec())
        .unwrap();
    network.settle();
    network.cut_off(3);
    network.replica(0).delete(0, b"note").unwrap();
    network.settle();
    assert_eq!(network.replica(3).get(b"note").unwrap().view, 1);
    network.bring_back(3);
    network.settle();
    let entry = network.replica(3).get(b"note").unwrap();
    assert_eq!((entry.view, &entry.value), (2, &None));
}

#[test]
fn three_of_four_decide_and_two_do_not() {
    let mut network = Network::meshed(4);
    network.cut_off(3);
    network.replica(0).set(0, b"a", b"1".to_vec()).unwrap();
    network.settle();
    assert!(network.replica(2).get(b"a").is_some());
    network.cut_off(2);
    network.replica(0).set(0, b"b", b"1".to_vec()).unwrap();
    network.settle();
    assert!(network.replica(1).get(b"b").is_none());
    network.bring_back(2);
    network.settle();
    assert!(
        network.replica(1).get(b"b").is_some(),
        "votes that were cast are not lost"
    );
}

#[test]
fn a_replica_that_starts_again_goes_on_with_the_votes_that_it_cast() {
    let mut network = Network::meshed(4);
    network.cut_off(2);
    network.cut_off(3);
    network
        .replica(0)
        .set(0, b"key", b"first".to_vec())
        .unwrap();
    network.settle();
    network.restart(0);
    network.restart(1);
    network
        .replica(0)
        .set(0, b"key", b"second".to_vec())
        .unwrap();
    network.bring_back(2);
    network.bring_back(3);
    network.settle();
    let entry = network.replica(3).get(b"key").unwrap();
    assert_eq!(
        (entry.view, entry.value.as_deref()),
        (2, Some(&b"second"[..]))
    );
    let excluded = (0..4)
        .flat_map(|index| network.replica(index).status().excluded)
        .count();
    assert_eq!(excluded, 0, "nobody was seen voting twice");
}

#[test]
fn what_was_decided_is_there_after_a_restart_without_anybody_else() {
    let mut network = Network::meshed(4);
    network
        .replica(0)
        .set(0, b"key", b"value".to_vec())
        .unwrap();
    network.settle();
    network.cut_off(1);
    network.restart(1);
    assert_eq!(
        network.replica(1).get(b"key").unwrap().value.as_deref(),
        Some(&b"value"[..])
    );
}

#[test]
fn a_value_that_access_control_refuses_is_not_proposed_and_not_voted_for() {
    let mut network = Network::guarded(4, |index| {
        // The last replica does not mind what the others refuse.
        Box::new(move |_: &[u8], _: Option<&[u8]>, new: Option<&[u8]>| {
            index == 3 || new != Some(b"bad")
        })
    });
    assert_eq!(
        network.replica(0).set(0, b"key", b"bad".to_vec()),
        Err(SetError::Denied)
    );
    network.replica(3).set(0, b"key", b"bad".to_vec()).unwrap();
    network.settle();
    assert!((0..4).all(|index| network.replica(index).get(b"key").is_none()));
    network.replica(0).set(0, b"key", b"good".to_vec()).unwrap();
    network.settle();
    assert_eq!(
        network.replica(3).get(b"key").unwrap().value.as_deref(),
        Some(&b"good"[..])
    );
}

/// Two tablets took the same points at once, by rules that allow either only while nobody has them. Both waited for ever:
/// each took the other's votes for ones that no honest replica could have cast.
#[test]
fn of_two_values_that_rule_each_other_out_one_is_decided_and_the_other_settled() {
    let mut network = Network::guarded(5, |_| {
        Box::new(|_: &[u8], old: Option<&[u8]>, _: Option<&[u8]>| old.is_none())
    });
    let first = network
        .replica(0)
        .set(0, b"points", b"to the baker".to_vec())
        .unwrap();
    let second = network
        .replica(4)
        .set(0, b"points", b"to the florist".to_vec())
        .unwrap();
    network.settle();
    let winner = network.replica(2).get(b"points").unwrap().clone();
    let first_won = winner.value.as_deref() == Some(b"to the baker");
    assert_eq!(winner.view, 1);
    assert_eq!(network.settled(0), [(first, first_won)]);
    assert_eq!(network.settled(4), [(second, !first_won)]);
    assert_eq!(
        network.replica(0).set(0, b"points", b"again".to_vec()),
        Err(SetError::Denied)
    );
}

/// The last of four members votes for one value where one other sees it, and for another where the third does. Then
/// the others are by themselves.
fn vote_twice(network: &mut Network) {
    network.cut_off(0);
    network.cut_off(2);
    network.replica(3).set(0, b"key", b"one".to_vec()).unwrap();
    network.settle();
    network.cut_off(3);
    network.cut_off(1);
    network.restart_without_memory(3);
    network.bring_back(3);
    network.bring_back(2);
    network
        .replica(3)
        .set(0, b"key", b"other".to_vec())
        .unwrap();
    network.settle();
    network.cut_off(3);
    network.bring_back(1);
    network.bring_back(0);
    network.settle();
}

fn is_caught(network: &mut Network, index: usize) -> bool {
    let excluded = network.replica(index).status().excluded;
    matches!(&excluded[..], [(culprit, Exclusion::DoubleVote(_))] if *culprit == member(3))
}

/// A member that one replica did not talk to any more, for what it alone had seen, was caught voting twice. The replica
/// took it for excluded already, went on counting its votes, and looked at the same two votes for ever.
#[test]
fn who_was_given_up_before_is_caught_voting_twice_all_the_same() {
    let mut network = Network::meshed(4);
    network.settle();
    network.replica(0).receive(0, member(3), &[0xff; 9]);
    network.settle();
    vote_twice(&mut network);
    for index in 0..3 {
        assert!(is_caught(&mut network, index), "{index}");
        assert!(network.replica(index).get(b"key").is_some(), "{index}");
    }
}

/// A replica that started again had forgotten who had voted twice. Until a neighbour told it, it counted the culprit's
/// votes and took it for a neighbour.
#[test]
fn who_voted_twice_is_known_after_a_restart_without_anybody_else() {
    let mut network = Network::meshed(4);
    vote_twice(&mut network);
    network.cut_off(0);
    network.restart(0);
    assert!(is_caught(&mut network, 0));
    network.replica(0).connected(0, member(3));
    let outputs = network.replica(0).poll(0);
    assert!(outputs.contains(&Output::Disconnect(member(3))));
    let shown = |output: &Output| matches!(output, Output::Evidence(it) if it.culprit == member(3));
    assert!(outputs.iter().any(shown), "the application hears of it");
}

/// Evidence went only to those who were neighbours when it was found. Who came later went on counting the culprit's votes.
#[test]
fn who_comes_later_is_told_who_voted_twice() {
    let mut network = Network::meshed(4);
    vote_twice(&mut network);
    network.restart_without_memory(0);
    network.settle();
    assert!(is_caught(&mut network, 0));
}

/// A member that sent garbage to one replica alone no longer counted there, and still did elsewhere. The two found
/// different winners, round after round.
#[test]
fn what_one_replica_alone_saw_changes_nothing_in_how_votes_count() {
    let mut values = [b"one".to_vec(), b"two".to_vec()];
    values.sort_by_key(|value| beaufort::value_digest(Some(value)));
    let [loser, winner] = values;
    let mut network = Network::meshed(4);
    network.settle();
    network.replica(0).receive(0, member(3), &[0xff; 9]);
    network.settle();
    // Two votes for each value; the last member is gone once it has voted, so that all others must vote alike.
    network.cut_off(0);
    network.cut_off(2);
    for (index, value) in [(0, &loser), (1, &loser), (2, &winner), (3, &winner)] {
        let set = network.replica(index).set(0, b"key", value.clone());
        assert!(set.is_ok());
    }
    network.settle();
    network.cut_off(3);
    network.bring_back(0);
    network.bring_back(2);
    network.settle();
    for index in 0..3 {
        let entry = network.replica(index).get(b"key").cloned();
        let entry = entry.unwrap_or_else(|| panic!("{index} has decided nothing"));
        assert_eq!((entry.view, entry.value), (1, Some(winner.clone())));
    }
}

/// A replica that had voted for another's proposal forgot that when it crashed: only its own proposals were kept. It then
/// voted for another value, and passed for Byzantine.
#[test]
fn a_vote_for_anothers_proposal_outlives_a_crash() {
    let mut network = Network::meshed(4);
    network.cut_off(2);
    network.cut_off(3);
    network
        .replica(0)
        .set(0, b"key", b"first".to_vec())
        .unwrap();
    network.settle();
    network.cut_off(0);
    network.restart(1);
    network
        .replica(1)
        .set(0, b"key", b"second".to_vec())
        .unwrap();
    for index in [0, 2, 3] {
        network.bring_back(index);
    }
    network.settle();
    let entry = network.replica(3).get(b"key").unwrap();
    assert_eq!(
        (entry.view, entry.value.as_deref()),
        (2, Some(&b"second"[..]))
    );
    let excluded = (0..4).flat_map(|index| network.replica(index).status().excluded);
    assert_eq!(excluded.count(), 0);
}

#[test]
fn a_neighbour_that_sends_no_message_is_excluded() {
    let mut network = Network::meshed(4);
    network.settle();
    network.replica(0).receive(0, member(3), &[0xff; 9]);
    let outputs = network.replica(0).poll(0);
    assert!(outputs.contains(&Output::Disconnect(member(3))));
    assert_eq!(
        network.replica(0).status().excluded,
        [(member(3), Exclusion::Malformed)]
    );
}
