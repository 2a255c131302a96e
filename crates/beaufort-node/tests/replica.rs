//! `beaufort replica`: programs that form a network among themselves, over WebRTC.
#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_beaufort");

/// Ends with the test, however that ends.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Waits for a line.
    fn line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let stdout = self.0.stdout.as_mut().unwrap();
        let mut lines = BufReader::new(stdout).lines().map(Result::unwrap);
        lines.find(|line| wanted(line)).unwrap()
    }

    /// Asks it to stop, as Ctrl-C does; returns whether it had done its job.
    fn stop(mut self) -> bool {
        let kill = format!("kill -INT {}", self.0.id());
        Command::new("sh").args(["-c", &kill]).status().unwrap();
        self.0.wait().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn replica(directory: &Path, signaling: &str, member: usize) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .current_dir(directory)
        .args(["replica", "--members", "members", "--address", "127.0.0.1"])
        .args([
            "--key-file",
            &format!("key{member}"),
            "--data",
            &format!("data{member}"),
        ])
        .args(["--signaling", signaling]);
    command
}

fn set(directory: &Path, signaling: &str, what: &str) -> Output {
    replica(directory, signaling, 0)
        .args(["--set", what])
        .output()
        .unwrap()
}

#[test]
fn programs_decide_together_and_go_on_from_what_they_kept() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut members = String::new();
    for member in 0..4 {
        let mut keygen = Command::new(PROGRAM);
        keygen
            .current_dir(directory)
            .args(["keygen", "--out", &format!("key{member}")]);
        members += &String::from_utf8(keygen.output().unwrap().stdout).unwrap();
    }
    fs::write(directory.join("members"), members).unwrap();
    let mut signaling =
        Running::start(Command::new(PROGRAM).args(["signal", "--listen", "127.0.0.1:0"]));
    let url = signaling.line(|line| line.starts_with("ws://"));

    let mut others: Vec<_> = (1..4)
        .map(|member| Running::start(&mut replica(directory, &url, member)))
        .collect();
    let done = set(directory, &url, "price=12");
    assert!(done.status.success(), "{:?}", done.stderr);
    for other in &mut others {
        other.line(|line| line == "view 1: price = 12");
    }
    assert!(others.into_iter().all(Running::stop));

    // All have stopped. The next view follows on the one that they kept.
    let mut others: Vec<_> = (1..4)
        .map(|member| Running::start(&mut replica(directory, &url, member)))
        .collect();
    let done = set(directory, &url, "price=13");
    assert!(done.status.success(), "{:?}", done.stderr);
    for other in &mut others {
        other.line(|line| line == "view 2: price = 13");
    }
    assert!(others.into_iter().all(Running::stop));
}

#[test]
fn what_is_missing_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let done = set(directory.path(), "ws://127.0.0.1:1/", "a=b");
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(
        said.contains("cannot read the members' keys from members"),
        "{said}"
    );
}
