//! The client against validators that are honest, slow, silent, broken or liars.

#![allow(clippy::unwrap_used)]

mod events;
mod fake;
mod requests;
mod resources;
