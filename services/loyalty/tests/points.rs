//! What shops and customers rely on, whatever anybody sets: points are neither made nor lost, and nobody's points
//! pass on without their signature.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use loyalty::{
    holder::{Holder, HolderKey},
    lot::{self, Lot, LotKey, MAX_HOLDERS, MAX_POINTS, Refusal},
    rules::Rules,
    street::{Shop, Street},
};
use proptest::{prelude::*, test_runner::RngSeed};

const SHOPS: usize = 3;
const PEOPLE: usize = 7;

fn key(person: usize) -> HolderKey {
    HolderKey::from_seed([person as u8 + 1; 32])
}

/// A street whose shops are the first of the people.
fn street(name: &str) -> Street {
    let shop = |index| Shop {
        name: format!("Shop {index}"),
        key: format!("{index:0288x}"),
        till: key(index).holder(),
    };
    let shops = (0..SHOPS).map(shop).collect();
    Street {
        name: name.to_owned(),
        signaling: vec![],
        ice_servers: vec![],
        shops,
    }
}

/// What somebody tries to set.
#[derive(Clone, Debug)]
enum Attempt {
    /// A shop awards a new lot.
    Award { shop: usize, to: usize, points: u32 },
    /// Somebody gives points of a lot.
    Give {
        lot: usize,
        from: usize,
        to: usize,
        points: u32,
    },
    /// Somebody sets a value again that a lot had.
    Replay { value: usize },
    /// Somebody signs with their own key that another gives points.
    Forge {
        lot: usize,
        victim: usize,
        thief: usize,
        points: u32,
    },
    /// Somebody sets other shares than a signed change makes.
    Skew {
        lot: usize,
        from: usize,
        to: usize,
        points: u32,
        place: usize,
        by: u32,
    },
    /// Somebody flips a bit of a signed value.
    Flip {
        lot: usize,
        from: usize,
        to: usize,
        bit: usize,
    },
    /// Somebody deletes a lot.
    Delete { lot: usize },
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let (any_lot, who, points) = (0..6_usize, 0..PEOPLE, 0..60_u32);
    let change = || (any_lot.clone(), who.clone(), who.clone(), points.clone());
    prop_oneof![
        3 => (who.clone(), who.clone(), points.clone())
            .prop_map(|(shop, to, points)| Attempt::Award { shop, to, points }),
        9 => change().prop_map(|(lot, from, to, points)| Attempt::Give { lot, from, to, points }),
        2 => (0..40_usize).prop_map(|value| Attempt::Replay { value }),
        2 => change().prop_map(|(lot, victim, thief, points)| Attempt::Forge { lot, victim, thief, points }),
        2 => (change(), 0..PEOPLE, 1..60_u32).prop_map(|((lot, from, to, points), place, by)| {
            Attempt::Skew { lot, from, to, points, place, by }
        }),
        2 => (change(), 0..8_000_usize).prop_map(|((lot, from, to, _), bit)| Attempt::Flip { lot, from, to, bit }),
        1 => any_lot.clone().prop_map(|lot| Attempt::Delete { lot }),
    ]
}

/// The store, in which the rules are the only guard.
struct World {
    rules: Rules,
    lots: BTreeMap<String, Vec<u8>>,
    /// Every value that was ever accepted, with its key.
    past: Vec<(String, Vec<u8>)>,
    awarded: u8,
}

impl World {
    fn new() -> Self {
        let rules = Rules::new(&street("Lime Street"));
        Self {
            rules,
            lots: BTreeMap::new(),
            past: Vec::new(),
            awarded: 0,
        }
    }

    /// The key and value of the lot with this number, if there are any lots.
    fn lot(&self, number: usize) -> Option<(LotKey, Lot)> {
        let (key, value) = self.lots.iter().nth(number % self.lots.len().max(1))?;
        Some((key.parse().unwrap(), Lot::decode(value).unwrap()))
    }

    /// What an attempt would set, where it can be made at all.
    fn value(&mut self, attempt: &Attempt) -> Option<(String, Option<Vec<u8>>)> {
        let street = *self.rules.street();
        let give = |number, from, to, points| {
            let (key_, old) = self.lot(number)?;
            let new = lot::sign(
                &street,
                &key_,
                Some(&old),
                &key(from),
                key(to).holder(),
                points,
            )
            .ok()?;
            Some((key_.to_string(), new))
        };
        match *attempt {
            Attempt::Award { shop, to, points } => {
                self.awarded += 1;
                let lot_key = LotKey {
                    issuer: key(shop).holder(),
                    random: [self.awarded; 16],
                };
                let new = lot::sign(
                    &street,
                    &lot_key,
                    None,
                    &key(shop),
                    key(to).holder(),
                    points,
                )
                .ok()?;
                Some((lot_key.to_string(), Some(new.encode())))
            }
            Attempt::Give {
                lot,
                from,
                to,
                points,
            } => give(lot, from, to, points).map(|(key, new)| (key, Some(new.encode()))),
            Attempt::Replay { value } => {
                let (key, value) = self.past.get(value % self.past.len().max(1))?;
                Some((key.clone(), Some(value.clone())))
            }
            Attempt::Forge {
                lot,
                victim,
                thief,
                points,
            } => {
                let (lot_key, old) = self.lot(lot)?;
                let change = lot::Change {
                    from: key(victim).holder(),
                    to: key(thief).holder(),
                    points,
                };
                let signature =
                    key(thief).sign(&lot::message(&street, &lot_key, Some(&old), &change));
                let new = Lot::after(&lot_key, Some(&old), change, signature).ok()?;
                Some((lot_key.to_string(), Some(new.encode())))
            }
            Attempt::Skew {
                lot,
                from,
                to,
                points,
                place,
                by,
            } => {
                let (key, mut new) = give(lot, from, to, points)?;
                let place = place % new.shares.len();
                new.shares[place].points += by;
                Some((key, Some(new.encode())))
            }
            Attempt::Flip { lot, from, to, bit } => {
                let (key, new) = give(lot, from, to, 1)?;
                let mut bytes = new.encode();
                let bit = bit % (8 * bytes.len());
                bytes[bit / 8] ^= 1 << (bit % 8);
                Some((key, Some(bytes)))
            }
            Attempt::Delete { lot } => Some((self.lot(lot)?.0.to_string(), None)),
        }
    }
}

/// Whether the rules must accept what an attempt sets.
fn is_honest(attempt: &Attempt) -> bool {
    match attempt {
        Attempt::Award { shop, .. } => *shop < SHOPS,
        Attempt::Give { .. } => true,
        // Who forges a signature for itself only signs.
        Attempt::Forge { victim, thief, .. } => victim == thief,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, rng_seed: RngSeed::Fixed(5), ..ProptestConfig::default() })]

    #[test]
    fn points_are_neither_made_nor_lost_nor_taken(attempts in prop::collection::vec(attempt(), 1..60)) {
        let mut world = World::new();
        for attempt in &attempts {
            let Some((key, new)) = world.value(attempt) else { continue };
            let old = world.lots.get(&key).map(Vec::as_slice);
            let checked = world.rules.check(key.as_bytes(), old, new.as_deref());
            prop_assert_eq!(checked.is_ok(), is_honest(attempt), "{:?}: {:?}", attempt, checked);
            let (Ok(()), Some(new)) = (checked, new) else { continue };

            let after = Lot::decode(&new).unwrap();
            if let Some(before) = old.map(|old| Lot::decode(old).unwrap()) {
                prop_assert_eq!(after.total(), before.total());
                for share in &before.shares {
                    let lost = after.held_by(&share.holder) < share.points;
                    prop_assert!(!lost || after.change.from == share.holder, "{:?}", attempt);
                }
            } else {
                prop_assert_eq!(after.total(), u64::from(after.change.points));
            }
            prop_assert!(after.shares.iter().all(|share| share.points > 0));
            prop_assert!(after.shares.windows(2).all(|pair| pair[0].holder < pair[1].holder));
            world.past.push((key.clone(), new.clone()));
            world.lots.insert(key, new);
        }
    }

    #[test]
    fn nothing_that_anybody_sets_stops_a_replica(key in "lot/.*|.*", old: Option<Vec<u8>>, new: Option<Vec<u8>>) {
        let rules = Rules::new(&street("Lime Street"));
        prop_assert!(!rules.allows(key.as_bytes(), old.as_deref(), new.as_deref()));
    }
}

/// A lot of Ada's, awarded by the first shop.
fn ada_has(points: u32) -> (Rules, LotKey, Lot, HolderKey) {
    let rules = Rules::new(&street("Lime Street"));
    let ada = key(5);
    let lot_key = LotKey {
        issuer: key(0).holder(),
        random: [7; 16],
    };
    let lot = lot::sign(
        rules.street(),
        &lot_key,
        None,
        &key(0),
        ada.holder(),
        points,
    )
    .unwrap();
    (rules, lot_key, lot, ada)
}

#[test]
fn points_that_were_spent_cannot_be_spent_at_another_shop() {
    let (rules, key_, lot, ada) = ada_has(30);
    let spend = |shop| {
        lot::sign(
            rules.street(),
            &key_,
            Some(&lot),
            &ada,
            key(shop).holder(),
            30,
        )
        .unwrap()
    };
    let (here, there) = (spend(0).encode(), spend(1).encode());
    let name = key_.to_string();
    assert_eq!(
        rules.check(name.as_bytes(), Some(&lot.encode()), Some(&here)),
        Ok(())
    );
    assert_eq!(
        rules.check(name.as_bytes(), Some(&lot.encode()), Some(&there)),
        Ok(())
    );
    let refused = Refusal::Short {
        held: 0,
        wanted: 30,
    };
    assert_eq!(
        rules.check(name.as_bytes(), Some(&here), Some(&there)),
        Err(refused)
    );
}

#[test]
fn points_that_come_back_are_not_spent_by_the_old_signature() {
    let (rules, key_, lot, ada) = ada_has(30);
    let pass = |old: &Lot, from: &HolderKey, to: Holder| {
        lot::sign(rules.street(), &key_, Some(old), from, to, 30).unwrap()
    };
    let spent = pass(&lot, &ada, key(1).holder());
    let back = pass(&spent, &key(1), ada.holder());
    let name = key_.to_string();
    assert!(rules.allows(name.as_bytes(), Some(&spent.encode()), Some(&back.encode())));
    assert!(!rules.allows(name.as_bytes(), Some(&back.encode()), Some(&spent.encode())));
    let again = Lot { step: 4, ..spent };
    let refused = rules.check(name.as_bytes(), Some(&back.encode()), Some(&again.encode()));
    assert_eq!(refused, Err(Refusal::Signature));
}

#[test]
fn what_is_signed_in_one_street_does_not_count_in_another() {
    let (_, key_, lot, _) = ada_has(30);
    let mut other = street("Elm Street");
    other.shops.pop();
    let refused = Rules::new(&other).check(key_.to_string().as_bytes(), None, Some(&lot.encode()));
    assert_eq!(refused, Err(Refusal::Signature));
}

#[test]
fn a_lot_has_bounds() {
    let (rules, key_, lot, ada) = ada_has(MAX_POINTS);
    let mut shared = lot;
    for person in 10..9 + MAX_HOLDERS {
        shared = lot::sign(
            rules.street(),
            &key_,
            Some(&shared),
            &ada,
            key(person).holder(),
            1,
        )
        .unwrap();
    }
    let one_more = lot::sign(
        rules.street(),
        &key_,
        Some(&shared),
        &ada,
        key(200).holder(),
        1,
    );
    assert_eq!(one_more, Err(Refusal::Holders));
    let everything = shared.held_by(&ada.holder());
    assert!(
        lot::sign(
            rules.street(),
            &key_,
            Some(&shared),
            &ada,
            key(200).holder(),
            everything
        )
        .is_ok()
    );

    let new = LotKey {
        random: [8; 16],
        ..key_
    };
    for points in [0, MAX_POINTS + 1, u32::MAX] {
        let award = lot::sign(rules.street(), &new, None, &key(0), ada.holder(), points);
        assert_eq!(award, Err(Refusal::Points(points)));
    }
}
