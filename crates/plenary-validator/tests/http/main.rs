//! Real validators over TCP and HTTP: direct mode, the node API, and what bad input gets.

#![allow(clippy::unwrap_used)]

mod api;
mod blocks;
mod direct;
mod drafts;
mod network;
mod refusals;
mod sessions;

use plenary_validator::testing::bank;
