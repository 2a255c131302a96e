//! The program itself.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_beaufort"))
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_signaling_server_and_it_has_done_its_job() {
    for signal in ["INT", "TERM"] {
        let mut server = program()
            .args(["signal", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("ws://127.0.0.1:"), "{line}");
        let kill = format!("kill -{signal} {}", server.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
        assert!(server.wait().unwrap().success());
    }
}

#[test]
fn a_new_key_is_its_owners_alone_and_is_never_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("member.key");
    let keygen = || {
        program()
            .arg("keygen")
            .arg("--out")
            .arg(&path)
            .output()
            .unwrap()
    };
    let made = keygen();
    assert!(made.status.success());
    assert_eq!(String::from_utf8(made.stdout).unwrap().trim().len(), 288);
    let secret = std::fs::read_to_string(&path).unwrap();
    assert_eq!(secret.trim().len(), 64);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let again = keygen();
    assert_eq!(again.status.code(), Some(1));
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(said.contains("never written over"), "{said}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), secret);
}

#[test]
fn the_evaluation_writes_its_figures_and_table() {
    let directory = tempfile::tempdir().unwrap();
    let done = program()
        .args("sim --members 4 --scenarios optimistic --runs 1 --seconds 2 --out".split(' '))
        .arg(directory.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{:?}", done.stderr);
    let table = std::fs::read_to_string(directory.path().join("table.md")).unwrap();
    assert!(table.contains("| optimistic | 4 |"), "{table}");
    for name in ["latency.svg", "network.svg", "latencies.csv", "runs.csv"] {
        assert!(directory.path().join(name).exists(), "{name}");
    }
}
