//! Lists of members: their public keys in hexadecimal as `keygen` prints them, one a line. Empty lines and what
//! follows a `#` do not count.

use beaufort::{
    Members, MembersError,
    bls::{Bls, KeyError, PublicKey},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Why there is no list of members.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// The file cannot be read.
    #[error(
        "cannot read the members' keys from {}: {source}; give a text file with one public key a line",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is no public key.
    #[error(
        "{}, line {line}: {source}; each line is a public key as `beaufort keygen` prints it",
        path.display()
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The keys make no network.
    #[error("{}: {source}", path.display())]
    Members {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: MembersError,
    },
}

/// Reads a list of members.
pub(crate) fn read(path: &Path) -> Result<Members<Bls>, ListError> {
    let text = std::fs::read_to_string(path).map_err(|source| ListError::Read {
        path: path.to_owned(),
        source,
    })?;
    let (lines, keys): (Vec<_>, Vec<_>) = (1..)
        .zip(text.lines())
        .map(|(line, text)| (line, text.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, key)| !key.is_empty())
        .unzip();
    let keys = PublicKey::parse_all(&keys).map_err(|(place, source)| ListError::Key {
        path: path.to_owned(),
        line: lines[place],
        source,
    })?;
    Members::new(keys).map_err(|source| ListError::Members {
        path: path.to_owned(),
        source,
    })
}
