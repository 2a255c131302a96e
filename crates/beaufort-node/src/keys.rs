//! Key files: a member's private key in hexadecimal on one line, readable by its owner alone.

use beaufort::bls::SecretKey;
use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The file cannot be written.
    #[error("cannot create {}: {source}; a key file is never written over", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error(
        "cannot read the private key from {}: {source}; `beaufort keygen` makes such a file",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is no private key; `beaufort keygen` makes such a file", .0.display())]
    NoKey(PathBuf),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for a new key: {0}")]
    Random(getrandom::Error),
}

/// Draws a key, writes it to a file that must not exist yet, and returns its public key in
/// hexadecimal.
pub(crate) fn create(path: &Path) -> Result<String, KeyError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(KeyError::Random)?;
    let secret = SecretKey::from_seed(&seed);
    let content = format!("{}\n", hex::encode(secret.expose_bytes()));
    write(path, &content).map_err(|source| KeyError::Write {
        path: path.to_owned(),
        source,
    })?;
    Ok(secret.public().to_string())
}

/// Reads a private key from its file.
pub(crate) fn read(path: &Path) -> Result<SecretKey, KeyError> {
    let text = std::fs::read_to_string(path).map_err(|source| KeyError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim(), &mut bytes)
        .ok()
        .and_then(|()| SecretKey::from_exposed_bytes(&bytes).ok())
        .ok_or_else(|| KeyError::NoKey(path.to_owned()))
}

fn write(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}
