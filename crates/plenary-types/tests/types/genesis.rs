//! The genesis file: one meaning, one hash, and errors that say where to look.

use crate::samples::genesis_with_everything;
use plenary_types::{
    Genesis, GenesisError, GenesisFile, decode, encode,
    testing::{Network, client},
};

fn toml() -> String {
    genesis_with_everything().to_toml().unwrap()
}

#[test]
fn a_genesis_survives_toml_json_and_its_encoding() {
    for genesis in [genesis_with_everything(), Network::new(7).genesis] {
        let toml = genesis.to_toml().unwrap();
        assert_eq!(Genesis::from_toml(&toml).unwrap(), genesis, "{toml}");
        let json = serde_json::to_string(&genesis).unwrap();
        assert_eq!(serde_json::from_str::<Genesis>(&json).unwrap(), genesis);
        assert_eq!(decode::<Genesis>(encode(&genesis)).unwrap(), genesis);
        assert_eq!(Genesis::from_toml(&toml).unwrap().hash(), genesis.hash());
    }
}

#[test]
fn comments_order_and_spacing_of_the_file_do_not_change_the_hash() {
    let genesis = genesis_with_everything();
    let file = GenesisFile::from(genesis.clone());
    let member = |member: &plenary_types::genesis::Member| {
        format!("{{ key = '{}', name = '{}' }}", member.key, member.name)
    };
    let reversed: Vec<String> = file.validators.iter().rev().map(member).collect();
    let text = format!(
        "# Written by hand.\nclients='optional'\nvalidators = [\n  {},\n]\n\
         time = {}\nsession_nodes = [{}]   # one\nnetwork = \"test-network\"\n\
         [config]\na.deep = true\nb = [1, -2.5, 'x\"y']\n\
         [service]\nversion = '1.0.0'\nname = 'test'\n",
        reversed.join(",\n  "),
        file.time.0,
        member(&file.session_nodes[0]),
    );
    let read = Genesis::from_toml(&text).unwrap();
    assert_eq!(read.hash(), genesis.hash());
    assert_eq!(read, genesis);
}

#[test]
fn every_value_of_the_file_is_in_the_hash() {
    let genesis = genesis_with_everything();
    let changes: [fn(&mut GenesisFile); 10] = [
        |file| file.network.push('x'),
        |file| file.time.0 += 1,
        |file| file.clients = Default::default(),
        |file| file.service.name.push('x'),
        |file| file.service.version.push('x'),
        |file| file.validators[0].name.push('x'),
        |file| file.validators[0].key = client(99).public_key(),
        |file| file.session_nodes.clear(),
        |file| file.session_nodes[0].name.push('x'),
        |file| file.config["a"]["deep"] = false.into(),
    ];
    let mut hashes = vec![genesis.hash()];
    for change in changes {
        let mut file = GenesisFile::from(genesis.clone());
        change(&mut file);
        let hash = Genesis::try_from(file).unwrap().hash();
        assert!(!hashes.contains(&hash));
        hashes.push(hash);
    }
}

#[test]
fn a_mistake_in_the_file_is_shown_with_its_line_and_name() {
    for (from, to, words) in [
        (
            "network =",
            "netwrok =",
            ["line 1", "unknown field `netwrok`"],
        ),
        (
            "time = ",
            "time = 'noon' # ",
            ["line 2", "invalid type: string"],
        ),
        (
            "clients = \"optional\"",
            "clients = \"none\"",
            ["line 3", "unknown variant `none`"],
        ),
        (
            "version = \"1.0.0\"",
            "",
            ["[service]", "missing field `version`"],
        ),
        (
            "name = \"validator-0\"",
            "nme = \"validator-0\"",
            ["line 10", "unknown field `nme`"],
        ),
        ("[service]", "[service", ["line 5", "unclosed"]),
    ] {
        let text = toml().replacen(from, to, 1);
        assert_ne!(text, toml(), "{from}");
        let error = Genesis::from_toml(&text).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word} in:\n{error}");
        }
    }
}

#[test]
fn a_key_that_is_no_key_is_shown() {
    let real = genesis_with_everything().validators[0].key.to_string();
    let error = Genesis::from_toml(&toml().replacen(&real, "abc", 1)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("expected 64 hexadecimal characters, got `abc`"),
        "{text}"
    );

    // Hexadecimal, but no point of the curve.
    let no_point = format!("02{}", "0".repeat(62));
    let error = Genesis::from_toml(&toml().replacen(&real, &no_point, 1)).unwrap_err();
    assert!(
        matches!(&error, GenesisError::Key(name) if name == "validator-0"),
        "{error}"
    );
}

#[test]
fn a_genesis_that_makes_no_network_is_refused() {
    let refused = |change: &dyn Fn(&mut GenesisFile)| {
        let mut file = GenesisFile::from(genesis_with_everything());
        change(&mut file);
        let json = serde_json::to_string(&file).unwrap();
        assert!(serde_json::from_str::<Genesis>(&json).is_err());
        Genesis::try_from(file).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&|file| drop(file.validators.pop())),
        "3 validators: a network needs 4 to 256"
    );
    let twice = refused(&|file| file.session_nodes[0].key = file.validators[1].key);
    assert!(twice.ends_with("is there twice"), "{twice}");
    for name in ["", "a\nb", &"x".repeat(65)] {
        let text = refused(&|file| file.network = name.into());
        assert!(text.contains("must have 1 to 64 bytes"), "{text}");
        refused(&|file| file.service.name = name.into());
        refused(&|file| file.service.version = name.into());
        refused(&|file| file.validators[2].name = name.into());
        refused(&|file| file.session_nodes[0].name = name.into());
    }
    let large = refused(&|file| file.config = "x".repeat(2 << 20).into());
    assert!(large.starts_with("config has 2097154 bytes"), "{large}");
}

#[test]
fn an_encoding_with_members_out_of_order_or_config_in_another_form_is_refused() {
    let genesis = genesis_with_everything();
    let bytes = encode(&genesis);
    let find = |needle: &[u8]| {
        let at = bytes
            .windows(needle.len())
            .position(|window| window == needle);
        at.unwrap()
    };
    let member = |index: usize| {
        let start = find(format!("validator-{index}").as_bytes()) - 1;
        start..start + 1 + "validator-0".len() + 32
    };
    let mut swapped = bytes.to_vec();
    swapped[member(0)].copy_from_slice(&bytes[member(1)]);
    swapped[member(1)].copy_from_slice(&bytes[member(0)]);
    assert!(decode::<Genesis>(swapped.into()).is_err());

    let config = find(br#"{"a":{"deep":true},"b":[1,-2.5,"x\"y"]}"#);
    let mut reordered = bytes.to_vec();
    let other = br#"{"b":[1,-2.5,"x\"y"],"a":{"deep":true}}"#;
    reordered[config..].copy_from_slice(other);
    assert!(decode::<Genesis>(reordered.into()).is_err());
}

#[test]
fn members_are_found_by_their_keys() {
    let network = Network::new(16);
    for (index, key) in network.validators.iter().enumerate() {
        let (found, member) = network.genesis.validator(&key.public_key()).unwrap();
        assert_eq!(found as usize, index);
        assert_eq!(member.name, format!("validator-{index}"));
        assert!(network.genesis.is_originator(&key.public_key()));
    }
    assert_eq!(network.genesis.validator(&client(1).public_key()), None);
    assert!(!network.genesis.is_originator(&client(1).public_key()));
    assert_eq!(
        (network.genesis.faults(), network.genesis.quorum()),
        (5, 11)
    );
}
