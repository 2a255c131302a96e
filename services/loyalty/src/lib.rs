//! Loyalty points that the shops of a street keep together, without a company in between.
//!
//! Every shop's tablet is a replica of one BeauForT network. Points exist in *lots*: a shop awards one to a customer,
//! and whoever holds points of it can pass them on, by signing the change. To redeem points is to pass them to a shop.
//! No shop can spend a customer's points, make points in another shop's name, or let the same points be spent twice,
//! as long as fewer than a third of the shops cheat together.
//!
//! This library is the rules and what the pages need of them, for native programs and WebAssembly alike. From the
//! inside out: [`holder`] is who has points, [`lot`] what a lot is and becomes, [`street`] who the shops are,
//! [`rules`] what may be written, [`slip`] what wallets and tablets hand each other. `pages/` is what people see;
//! the program `loyalty` serves it.

pub mod holder;
pub mod lot;
pub mod rules;
pub mod slip;
pub mod street;
#[cfg(target_arch = "wasm32")]
mod web;
