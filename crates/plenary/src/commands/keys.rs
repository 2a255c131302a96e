//! `keys`: make and show keys.

use super::Failure;
use crate::{keys, output::Output};
use plenary_types::PrivateKey;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Make and show keys.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Make a new key
    New {
        /// The file to write it to; must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show the public half of a key
    Show {
        /// The key file
        file: PathBuf,
    },
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::New { out } => {
            let key = keys::generate()?;
            keys::save(&out, &key)?;
            output.note(format_args!(
                "wrote a new private key to {}; its public half is",
                out.display()
            ));
            show(&out, &key, output);
        }
        Command::Show { file } => show(&file, &keys::load(&file)?, output),
    }
    Ok(())
}

fn show(file: &Path, key: &PrivateKey, output: Output) {
    let public = key.public_key();
    let value = json!({ "file": file, "public_key": public });
    output.show(&value, || public.to_string());
}
