//! Files that commands read and write, with errors that name the file.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Something could not be done with a file or a directory.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub(crate) struct FileError {
    /// What was tried: `read`, `write`, `create` ...
    pub(crate) action: &'static str,
    /// On which file.
    pub(crate) path: PathBuf,
    /// What the system said.
    pub(crate) source: io::Error,
}

/// Who may read a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// As the system's defaults say.
    Usual,
    /// Its owner alone: private keys.
    Owner,
}

/// Names `action` and `path` in an error of the system.
pub(crate) fn on<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> FileError + use<'a> {
    move |source| FileError {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(on("read", path))
}

/// Creates a directory and those above it, where they are missing.
pub(crate) fn create_directory(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(on("create", path))
}

/// Writes a file that must not exist yet, and syncs it.
pub(crate) fn write_new(path: &Path, content: &str, access: Access) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if access == Access::Owner {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = access;
    let mut file = options.open(path).map_err(on("create", path))?;
    file.write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(on("write", path))
}

/// Replaces the content of a file, whole or not at all.
pub(crate) fn replace(path: &Path, content: &str) -> Result<(), FileError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(directory).map_err(on("write", path))?;
    new.write_all(content.as_bytes())
        .and_then(|()| new.as_file().sync_all())
        .map_err(on("write", path))?;
    new.persist(path)
        .map_err(|error| on("write", path)(error.error))?;
    Ok(())
}
