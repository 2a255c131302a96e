//! The client against validators and session nodes that are honest, slow, silent, broken or liars.

#![allow(clippy::unwrap_used)]

mod events;
mod fake;
mod requests;
mod resources;
mod session_node;
mod sessions;
