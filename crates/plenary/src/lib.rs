//! (under construction)
mod config;
mod files;
mod keys;
mod located;
mod network;
mod ports;
