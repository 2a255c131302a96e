//! What people copy by hand or file: codes, the street's file, slips.

#![allow(clippy::unwrap_used)]

use loyalty::{
    holder::{Holder, HolderKey},
    lot::{self, Lot, LotKey},
    rules::Rules,
    slip::{MAX_LOTS, Proof, Slip, SlipError},
    street::{Street, StreetError},
};
use serde_json::{Value, json};

fn key(person: u8) -> HolderKey {
    HolderKey::from_seed([person; 32])
}

fn file(shops: u8) -> Value {
    let shop = |index: u8| {
        json!({
            "name": format!("Shop {index}"),
            "key": format!("{index:0288x}"),
            "till": key(index).holder().to_string(),
        })
    };
    json!({ "name": "Lime Street", "signaling": [], "shops": (1..=shops).map(shop).collect::<Vec<_>>() })
}

#[test]
fn a_code_is_read_back_and_no_mistyped_one_is_taken_for_another() {
    let holder = key(1).holder();
    let code = holder.to_string();
    assert_eq!(code.parse(), Ok(holder));
    assert_eq!(code.len(), 48);
    for place in 0..code.len() {
        let mut mistyped = code.clone().into_bytes();
        mistyped[place] = if mistyped[place] == b'x' { b'y' } else { b'x' };
        assert!(
            String::from_utf8(mistyped)
                .unwrap()
                .parse::<Holder>()
                .is_err(),
            "at {place}"
        );
        assert!(code[..place].parse::<Holder>().is_err());
    }
}

#[test]
fn a_till_is_always_the_same_for_one_secret_and_another_for_another() {
    assert_eq!(
        HolderKey::till(&[1; 32]).holder(),
        HolderKey::till(&[1; 32]).holder()
    );
    assert_ne!(
        HolderKey::till(&[1; 32]).holder(),
        HolderKey::till(&[2; 32]).holder()
    );
    assert_ne!(
        HolderKey::till(&[1; 32]).holder(),
        HolderKey::from_seed([1; 32]).holder()
    );
}

#[test]
fn a_street_is_the_same_in_whatever_order_its_shops_are_listed() {
    let street = Street::parse(&file(4).to_string()).unwrap();
    let mut turned = file(4);
    turned["shops"].as_array_mut().unwrap().reverse();
    turned["name"] = json!("Another name");
    assert_eq!(
        Street::parse(&turned.to_string()).unwrap().digest(),
        street.digest()
    );
    assert_ne!(
        Street::parse(&file(5).to_string()).unwrap().digest(),
        street.digest()
    );
    assert_eq!(street.shop(&key(2).holder()).unwrap().name, "Shop 2");
}

#[test]
fn a_file_that_describes_no_street_says_why() {
    let refused = |change: fn(&mut Value)| {
        let mut file = file(4);
        change(&mut file);
        Street::parse(&file.to_string()).unwrap_err()
    };
    assert!(matches!(
        refused(|file| file["shops"] = json!([])),
        StreetError::Shops(0)
    ));
    assert!(matches!(
        refused(|file| file["name"] = json!("")),
        StreetError::Name(_)
    ));
    assert!(matches!(
        refused(|file| file["shops"][1]["key"] = json!("12")),
        StreetError::Key(_)
    ));
    assert!(matches!(
        refused(|file| file["shops"][1]["till"] = json!("abc")),
        StreetError::Json(_)
    ));
    assert!(matches!(
        refused(|file| file["shops"][1]["name"] = json!("Shop 1")),
        StreetError::Twice(_)
    ));
    assert!(matches!(
        refused(|file| file["sops"] = json!([])),
        StreetError::Json(_)
    ));
    assert!(matches!(Street::parse("hello"), Err(StreetError::Json(_))));
}

/// Lots of the first shop's that somebody has, with these points.
fn lots(rules: &Rules, holder: Holder, points: &[u32]) -> Vec<Proof> {
    let lot = |(number, points): (usize, &u32)| {
        let lot_key = LotKey {
            issuer: key(1).holder(),
            random: [number as u8; 16],
        };
        let lot = lot::sign(rules.street(), &lot_key, None, &key(1), holder, *points).unwrap();
        Proof {
            key: lot_key.to_string(),
            value: lot.encode(),
            certificate: vec![number as u8],
        }
    };
    points.iter().enumerate().map(lot).collect()
}

#[test]
fn a_request_that_a_wallet_signs_gives_exactly_the_points_asked_for() {
    let rules = Rules::new(&Street::parse(&file(4).to_string()).unwrap());
    let (ada, shop) = (key(77), key(2).holder());
    let lots = lots(&rules, ada.holder(), &[5, 20, 10]);
    let request = Slip::request(ada.holder(), shop, 27, lots.clone()).unwrap();
    assert_eq!(request.lots(), 2);
    let request = Slip::parse(&format!(" {}\n", request.text())).unwrap();
    let signed = Slip::parse(&request.sign(rules.street(), &ada).unwrap().text()).unwrap();
    let Slip::Signed(values) = signed else {
        panic!("{signed:?}")
    };
    let mut given = 0;
    for (key, value) in &values {
        let old = lots.iter().find(|proof| proof.key == *key).unwrap();
        assert_eq!(
            rules.check(key.as_bytes(), Some(&old.value), Some(value)),
            Ok(())
        );
        given += Lot::decode(value).unwrap().held_by(&shop);
    }
    assert_eq!(given, 27);
    assert_eq!(
        request.sign(rules.street(), &key(78)),
        Err(SlipError::Other)
    );
}

#[test]
fn a_request_says_what_is_missing() {
    let rules = Rules::new(&Street::parse(&file(4).to_string()).unwrap());
    let (ada, shop) = (key(77).holder(), key(2).holder());
    let few = lots(&rules, ada, &[5, 20]);
    let short = SlipError::Short {
        held: 25,
        wanted: 26,
    };
    assert_eq!(Slip::request(ada, shop, 26, few), Err(short));
    let many = lots(&rules, ada, &[1; MAX_LOTS + 1]);
    let scattered = SlipError::Scattered(MAX_LOTS as u64);
    assert_eq!(
        Slip::request(ada, shop, MAX_LOTS as u32 + 1, many),
        Err(scattered)
    );
}

#[test]
fn no_text_is_taken_for_a_slip_that_is_none() {
    let rules = Rules::new(&Street::parse(&file(4).to_string()).unwrap());
    let text = Slip::Receipt(lots(&rules, key(77).holder(), &[5])).text();
    for end in 0..text.len() {
        assert!(
            Slip::parse(&text[..end]).is_err(),
            "the first {end} characters"
        );
    }
    for text in [
        "",
        "hello",
        "????",
        &"A".repeat(100_000),
        &key(1).holder().to_string(),
    ] {
        assert!(Slip::parse(text).is_err(), "{text}");
    }
}
