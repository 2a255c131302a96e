//! Every problem that a client can get is explained in `docs/problems.md`.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn sources(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The codes in a source: what stands in quotes behind a status, or behind a named constructor.
fn codes(source: &str) -> BTreeSet<String> {
    let source: String = source.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut codes = BTreeSet::new();
    for (at, _) in source.match_indices('"') {
        let before = source[..at].trim_end().trim_end_matches('(').trim_end();
        let behind_status = before.strip_suffix(',').is_some_and(|before| {
            let status = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap();
            status.len() == 3 && (status.starts_with('4') || status.starts_with('5'))
        });
        let constructed = [
            "Problem::bad_request",
            "Problem::conflict",
            "Problem::unprocessable",
        ];
        let code = source[at + 1..].split('"').next().unwrap();
        let named = constructed.iter().any(|name| before.ends_with(name));
        let plain = code
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '-' || c.is_ascii_digit());
        if (behind_status || named) && plain && code.contains('-') {
            codes.insert(code.to_owned());
        }
    }
    codes
}

#[test]
fn every_problem_code_has_a_section_that_says_what_to_do() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/problems.md")).unwrap();
    let mut files = Vec::new();
    for krate in ["plenary-service", "plenary-validator", "plenary-session"] {
        sources(&root.join("crates").join(krate).join("src"), &mut files);
    }
    let mut found = BTreeSet::new();
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        // Tests and examples have codes of their own.
        let shown: String = source
            .split("#[cfg(test)]")
            .next()
            .unwrap()
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        found.extend(codes(&shown));
    }
    assert!(
        found.len() > 30,
        "the sources were not understood: {found:?}"
    );
    let missing: Vec<_> = found
        .iter()
        .filter(|code| !page.contains(&format!("### {code}\n")))
        .collect();
    assert!(
        missing.is_empty(),
        "codes without a section in docs/problems.md: {missing:?}"
    );
}
