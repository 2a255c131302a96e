//! TOML whose errors say where they are: file, line, key, and for a key that is not known the one
//! that was probably meant.

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use toml_edit::{Document, Item};

/// What is wrong in a TOML file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}", place = place(path, *line, key))]
pub(crate) struct Located {
    /// The file.
    pub(crate) path: PathBuf,
    /// The line, from 1, where it is known.
    pub(crate) line: Option<usize>,
    /// The key, such as `p2p.peers[1].key`; empty where the text is no TOML at all.
    pub(crate) key: String,
    /// What is wrong and what to do.
    pub(crate) problem: String,
}

fn place(path: &Path, line: Option<usize>, key: &str) -> String {
    let mut place = path.display().to_string();
    if let Some(line) = line {
        place.push_str(&format!(":{line}"));
    }
    if !key.is_empty() {
        place.push_str(&format!(": {key}"));
    }
    place
}

/// Reads a value from TOML.
///
/// # Errors
///
/// The first thing that is wrong, located.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Located> {
    let located = |error: &toml::de::Error, key: String| Located {
        path: path.to_owned(),
        line: error.span().map(|span| line_at(text, span.start)),
        problem: advise(error.message()),
        key,
    };
    let source = toml::Deserializer::parse(text).map_err(|error| located(&error, String::new()))?;
    serde_path_to_error::deserialize(source).map_err(|error| {
        let key = match error.path().to_string() {
            key if key == "." => String::new(),
            key => key,
        };
        located(error.inner(), key)
    })
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}

/// Adds to serde's message about an unknown key the known one nearest to it.
fn advise(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    match names.next() {
        Some(unknown) if message.starts_with("unknown field") => {
            let near = |known: &str| strsim::damerau_levenshtein(unknown, known);
            match names.min_by_key(|known| near(known)) {
                Some(known) if near(known) <= 1 + known.len() / 3 => {
                    format!("unknown key `{unknown}`; did you mean `{known}`?")
                }
                _ => message.replacen("field", "key", 1),
            }
        }
        _ => message.to_owned(),
    }
}

/// The line, from 1, of a key such as `p2p.peers[1].key`, or of the nearest table above it.
pub(crate) fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = Document::parse(text).ok()?;
    let mut item = document.as_item();
    let mut line = None;
    for segment in key.split(['.', '[']) {
        let next = match segment.strip_suffix(']') {
            Some(index) => index
                .parse::<usize>()
                .ok()
                .and_then(|index| item.get(index)),
            None => item.get(segment),
        };
        item = match next {
            Some(next) => next,
            None => return line,
        };
        line = start(item).map(|offset| line_at(text, offset)).or(line);
    }
    line
}

fn start(item: &Item) -> Option<usize> {
    match item {
        // The tables of an array are located by their own headers.
        Item::ArrayOfTables(tables) => tables.get(0)?.span().map(|span| span.start),
        other => other.span().map(|span| span.start),
    }
}
