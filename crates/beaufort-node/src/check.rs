//! Checks a certificate with the members' keys alone, without a network: that they decided a value for a key.

use crate::members::{self, ListError};
use beaufort::{Certificate, CertificateError, bls::Bls, value_digest};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What to check.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The certificate: the bytes that a page has in `certificate.bytes`, or these in hexadecimal
    certificate: PathBuf,
    /// The members' public keys, one a line, in whatever order
    #[arg(long, value_name = "FILE")]
    members: PathBuf,
    /// The key that was decided on
    #[arg(long)]
    key: String,
    /// The value, byte for byte; without it, that the key was deleted is checked
    #[arg(long, value_name = "FILE")]
    value: Option<PathBuf>,
}

/// Why a certificate does not show what it was to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no list of members.
    #[error(transparent)]
    Members(#[from] ListError),
    /// The file holds something else.
    #[error(
        "{} is no certificate; give the bytes of `certificate.bytes` as they are or in hexadecimal",
        .0.display()
    )]
    NoCertificate(PathBuf),
    /// It does not hold for these members and this key.
    #[error("{source}; compare the key and the list of members with those of the network")]
    Proof {
        /// Why not.
        source: CertificateError,
    },
    /// It holds, for something else than the value.
    #[error(
        "the certificate is for another value than {}; the file must have the value's bytes and no others, such as a \
         line's end",
        .0.display()
    )]
    OtherValue(PathBuf),
    /// It holds, for a value, and none was given.
    #[error("the certificate is for a value and not for a deletion; give the value with --value")]
    NoDeletion,
}

/// Checks it; returns what it shows, in a line.
pub(crate) fn run(args: &Args) -> Result<String, CheckError> {
    let members = members::read(&args.members)?;
    let certificate = decode(&read(&args.certificate)?)
        .ok_or_else(|| CheckError::NoCertificate(args.certificate.clone()))?;
    certificate
        .verify(&Bls, &members, args.key.as_bytes())
        .map_err(|source| CheckError::Proof { source })?;
    let value = args.value.as_deref().map(read).transpose()?;
    if certificate.value != value_digest(value.as_deref()) {
        return Err(match &args.value {
            Some(path) => CheckError::OtherValue(path.clone()),
            None => CheckError::NoDeletion,
        });
    }
    Ok(format!(
        "{} of {} members decided this in view {}, round {}",
        certificate.signers.distinct(),
        members.len(),
        certificate.view,
        certificate.round,
    ))
}

fn read(path: &Path) -> Result<Vec<u8>, CheckError> {
    std::fs::read(path).map_err(|source| CheckError::Read {
        path: path.to_owned(),
        source,
    })
}

/// A certificate from its bytes, or from these in hexadecimal. None consists of hexadecimal digits alone: it begins
/// with its view and ends with a signature.
fn decode(content: &[u8]) -> Option<Certificate> {
    let bytes = hex::decode(content.trim_ascii()).unwrap_or_else(|_| content.to_vec());
    match postcard::take_from_bytes(&bytes) {
        Ok((certificate, [])) => Some(certificate),
        _ => None,
    }
}
