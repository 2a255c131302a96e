//! Key files: the 32-byte Ed25519 seed in hexadecimal on one line, readable by its owner alone.

use crate::files::{self, Access, FileError};
use plenary_types::PrivateKey;
use std::path::{Path, PathBuf};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Others than the owner can read it.
    #[error(
        "{} can be read by others (mode {mode:o}): a private key is its owner's alone; run `chmod 600 {0}` and consider a new key", path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds something else.
    #[error(
        "{} is not a key file: expected 64 hexadecimal characters on one line; `keys new --out FILE` makes one", path.display()
    )]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for a new key: {0}")]
    Random(getrandom::Error),
}

/// Draws a new key.
pub(crate) fn generate() -> Result<PrivateKey, KeyError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(KeyError::Random)?;
    Ok(PrivateKey::from_seed(seed))
}

/// Writes a key to a file that must not exist yet.
pub(crate) fn save(path: &Path, key: &PrivateKey) -> Result<(), KeyError> {
    let content = format!("{}\n", hex::encode(key.to_seed()));
    Ok(files::write_new(path, &content, Access::Owner)?)
}

/// Reads a key file.
pub(crate) fn load(path: &Path) -> Result<PrivateKey, KeyError> {
    let content = files::read(path)?;
    #[cfg(unix)]
    {
        let metadata = std::fs::metadata(path).map_err(files::on("read", path))?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            let path = path.to_owned();
            return Err(KeyError::Open { path, mode });
        }
    }
    let mut seed = [0; 32];
    hex::decode_to_slice(content.trim(), &mut seed).map_err(|_| KeyError::Form {
        path: path.to_owned(),
    })?;
    Ok(PrivateKey::from_seed(seed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_saved_key_is_read_back_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.key");
        let key = generate().unwrap();
        save(&path, &key).unwrap();
        assert_eq!(load(&path).unwrap().public_key(), key.public_key());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_key_is_never_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.key");
        let key = generate().unwrap();
        save(&path, &key).unwrap();
        save(&path, &generate().unwrap()).unwrap_err();
        assert_eq!(load(&path).unwrap().public_key(), key.public_key());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_remedy() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.key");
        save(&path, &generate().unwrap()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(error.contains("mode 640"), "{error}");
        assert!(
            error.contains(&format!("chmod 600 {}", path.display())),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_key_is_said_to_be_none() {
        let directory = tempfile::tempdir().unwrap();
        for content in ["", "not hexadecimal", "abcd", &"ab".repeat(33)] {
            let path = directory.path().join("node.key");
            let _ = std::fs::remove_file(&path);
            files::write_new(&path, content, Access::Owner).unwrap();
            assert!(
                matches!(load(&path), Err(KeyError::Form { .. })),
                "{content}"
            );
        }
    }
}
