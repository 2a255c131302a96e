//! `beaufort check`: what a certificate shows to somebody who has the members' keys and nothing else.
#![allow(clippy::unwrap_used, missing_docs)]

use beaufort::{
    Certificate, Members, Output, Replica, Settings,
    bls::{Bls, SecretKey},
};
use std::{
    fs,
    path::Path,
    process::{Command, Output as Done},
};

const KEY: &[u8] = b"price";

fn secrets() -> Vec<SecretKey> {
    (0..4).map(|n| SecretKey::from_seed(&[n; 32])).collect()
}

fn members() -> Members<Bls> {
    Members::new(secrets().iter().map(|key| key.public().clone()).collect()).unwrap()
}

/// What four members decide: of a value, and then of the key's deletion.
fn decided() -> [Certificate; 2] {
    let allow_all = |_: &[u8], _: Option<&[u8]>, _: Option<&[u8]>| true;
    let start = |secret| {
        let settings = Settings::default();
        Replica::new(
            Bls,
            members(),
            secret,
            settings,
            Box::new(allow_all),
            [7; 32],
            [],
        )
        .unwrap()
    };
    let mut replicas: Vec<_> = secrets().into_iter().map(start).collect();
    replicas.sort_by_key(Replica::id);
    for one in members().ids() {
        for other in members().ids().filter(|&other| other != one) {
            replicas[usize::from(one.0)].connected(0, other);
        }
    }
    let mut now = 0;
    let mut decide = |replicas: &mut [Replica<Bls>]| {
        loop {
            now += 10;
            assert!(
                now < 60_000,
                "four connected members decide nothing in a minute"
            );
            for id in members().ids() {
                for output in replicas[usize::from(id.0)].poll(now) {
                    match output {
                        Output::Send { to, bytes } => {
                            replicas[usize::from(to.0)].receive(now, id, &bytes);
                        }
                        Output::Settled { entry, .. } => return entry.certificate,
                        _ => {}
                    }
                }
            }
        }
    };
    replicas[0].set(0, KEY, b"12".to_vec()).unwrap();
    let value = decide(&mut replicas);
    replicas[0].delete(0, KEY).unwrap();
    [value, decide(&mut replicas)]
}

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = Self { directory };
        let [value, deletion] = decided().map(|it| postcard::to_stdvec(&it).unwrap());
        files.write("hex", format!("{}\n", hex::encode(&value)));
        files.write("bytes", value);
        files.write("deletion", deletion);
        files.write("value", "12");
        files.write("other", "12\n");
        // In another order than the network's, with what a person adds.
        let keys = members();
        let lines = keys
            .keys()
            .iter()
            .rev()
            .map(|key| format!("{key} # a shop\n\n"));
        files.write("members", lines.collect::<String>());
        let fewer = keys.keys()[1..].iter().map(|key| format!("{key}\n"));
        files.write("fewer", fewer.collect::<String>());
        files
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), content).unwrap();
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn check(&self, arguments: &str) -> Done {
        Command::new(env!("CARGO_BIN_EXE_beaufort"))
            .arg("check")
            .args(arguments.split_whitespace())
            .current_dir(self.path())
            .output()
            .unwrap()
    }
}

#[test]
fn a_certificate_holds_for_what_was_decided_in_either_form() {
    let files = Files::new();
    for arguments in [
        "bytes --members members --key price --value value",
        "hex --members members --key price --value value",
        "deletion --members members --key price",
    ] {
        let done = files.check(arguments);
        let said = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success(), "{arguments}: {:?}", done.stderr);
        assert!(said.contains("of 4 members decided this in view"), "{said}");
    }
}

#[test]
fn a_certificate_shows_nothing_else_and_the_program_says_what_is_wrong() {
    let files = Files::new();
    let [one, other] = [0, 1].map(|member| members().keys()[member].to_string());
    let proof_of_another = format!("{}{}", &one[..192], &other[192..]);
    files.write(
        "unproven",
        format!("# shops\n\n{other}\n{proof_of_another}\n"),
    );
    for (arguments, reason) in [
        (
            "bytes --members unproven --key price --value value",
            "unproven, line 4: the public key comes without a proof",
        ),
        (
            "bytes --members members --key prize --value value",
            "signature does not hold",
        ),
        (
            "bytes --members members --key price --value other",
            "another value than other",
        ),
        (
            "bytes --members members --key price",
            "give the value with --value",
        ),
        (
            "deletion --members members --key price --value value",
            "another value than value",
        ),
        (
            "bytes --members fewer --key price --value value",
            "this network has 3",
        ),
        (
            "value --members members --key price --value value",
            "is no certificate",
        ),
        (
            "bytes --members value --key price --value value",
            "value, line 1",
        ),
        (
            "none --members members --key price --value value",
            "cannot read none",
        ),
    ] {
        let done = files.check(arguments);
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{arguments}");
        assert!(said.contains(reason), "{arguments}: {said}");
    }
}

#[test]
fn no_change_of_a_byte_makes_another_certificate_or_ends_the_program() {
    let files = Files::new();
    let bytes = fs::read(files.path().join("bytes")).unwrap();
    for index in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[index] ^= 0x55;
        files.write("changed", changed);
        let done = files.check("changed --members members --key price --value value");
        assert_eq!(done.status.code(), Some(1), "byte {index}");
    }
}
