//! Session nodes one by one: what each may rely on, whatever the network between them does.

#![allow(clippy::unwrap_used)]

mod commits;
mod crashes;
mod disk;
mod encodings;
mod endings;
mod feeds;
mod given_up;
mod liars;
mod many;
mod participation;
mod refusals;
mod replication;
mod rivals;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod world;
