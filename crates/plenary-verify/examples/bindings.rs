//! Makes a JavaScript module of a compiled one: `bindings MODULE.wasm DIRECTORY`.
//!
//! The same as the `wasm-bindgen` program does, at the version in Cargo.lock and with nothing to
//! install.

use std::{env, error::Error, path::PathBuf};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(module), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bindings MODULE.wasm DIRECTORY".into());
    };
    Bindgen::new()
        .input_path(module)
        .web(true)?
        .generate(&directory)?;
    Ok(())
}
