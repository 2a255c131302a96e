//! Who signs a command's requests, and what their bodies are.

use super::{Failure, target::Target};
use crate::keys;
use bytes::Bytes;
use plenary_client::Client;
use plenary_types::{Method, Request, http::UnknownMethod};
use std::{
    io::{self, Read as _},
    path::PathBuf,
};

/// Who signs.
#[derive(clap::Args)]
pub(crate) struct Signer {
    /// The client's key file [default: client.key of the network's directory]
    #[arg(
        long,
        env = "PLENARY_CLIENT_KEY",
        value_name = "FILE",
        conflicts_with = "unsigned"
    )]
    key: Option<PathBuf>,
    /// Do not sign
    #[arg(long)]
    unsigned: bool,
}

/// Why a request is not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestFailure {
    /// There is no key to sign it with.
    #[error(
        "no key to sign with; give --key FILE (`keys new --out FILE` makes one), or --unsigned where the network takes that"
    )]
    NoKey,
    /// The target is no path.
    #[error("`{0}` is no path: it starts with /, such as /session/start; the host is --url's")]
    Target(String),
    /// Standard input cannot be read.
    #[error("cannot read the body from standard input: {0}")]
    Input(io::Error),
}

impl Signer {
    /// A client of the network that signs so.
    pub(crate) fn client(&self, network: &Target) -> Result<Client, Failure> {
        let client = network.client()?;
        if self.unsigned {
            return Ok(client);
        }
        let path = self.key.clone().or_else(|| network.client_key());
        let key = keys::load(&path.ok_or(RequestFailure::NoKey)?)?;
        Ok(client.with_key(key))
    }
}

/// A request of a command line; the body `-` is read from standard input.
pub(crate) fn request(
    method: Method,
    target: String,
    body: Option<&str>,
    content_type: String,
) -> Result<Request, RequestFailure> {
    if !target.starts_with('/') {
        return Err(RequestFailure::Target(target));
    }
    let body = match body {
        Some("-") => {
            let mut body = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut body);
            read.map_err(RequestFailure::Input)?;
            Bytes::from(body)
        }
        body => Bytes::copy_from_slice(body.unwrap_or_default().as_bytes()),
    };
    Ok(Request {
        method,
        target,
        content_type: match body.is_empty() {
            true => String::new(),
            false => content_type,
        },
        body,
    })
}

/// A method in any case.
pub(crate) fn method(text: &str) -> Result<Method, UnknownMethod> {
    text.to_ascii_uppercase().parse()
}
