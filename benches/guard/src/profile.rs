//! Where the instructions of a benchmark go: by purpose, by function with all that it calls, and by
//! function alone.
//!
//! The purpose is that of the crate whose source a line is in, which holds for inlined code as well;
//! the standard library's lines count for whoever has them inlined.

use crate::{
    benchmarks::Benchmark,
    callgrind::{Counted, count},
    name,
};
use clap::ValueEnum as _;
use std::{cmp::Reverse, collections::BTreeMap};

/// How many functions are shown.
const SHOWN: usize = 16;
/// The share of all below which nothing is shown, in percent.
const LEAST: f64 = 0.5;

/// How many characters of a function's name are shown.
const LONGEST: usize = 110;

/// What crates are for: the first whose name a crate's begins with.
const PURPOSES: [(&str, &[&str]); 11] = [
    ("allocation", &["__rustc"]),
    (
        "signatures",
        &["curve25519", "ed25519", "zeroize", "subtle", "chacha20"],
    ),
    (
        "hashing",
        &[
            "sha2",
            "digest",
            "block_buffer",
            "crypto_common",
            "hybrid_array",
        ],
    ),
    (
        "database, log, state tree",
        &["redb", "jmt", "borsh", "crc32c", "plenary_store"],
    ),
    (
        "encoding, text",
        &[
            "commonware_codec",
            "indexmap",
            "bytes",
            "hex",
            "base64",
            "sfv",
            "http",
            "itoa",
        ],
    ),
    ("JSON", &["serde", "ryu", "zmij"]),
    (
        "handlers, executor, routes",
        &["plenary_service", "supply_chain", "matchit"],
    ),
    ("values and rules (plenary-types)", &["plenary_types"]),
    ("layer 2 (plenary-session)", &["plenary_session"]),
    ("layer 1 (plenary-validator)", &["plenary_validator"]),
    ("standard library", &["core", "alloc", "std", "hashbrown"]),
];

/// Functions of the system's library that give and take memory.
const ALLOCATION: [&str; 8] = [
    "malloc",
    "calloc",
    "realloc",
    "free",
    "_int_",
    "unlink_chunk",
    "sysmalloc",
    "systrim",
];

/// Prints the profile of every benchmark.
///
/// # Errors
///
/// Where one cannot be counted.
pub fn print() -> anyhow::Result<()> {
    for benchmark in Benchmark::value_variants() {
        let counted = count(*benchmark)?;
        println!("## {}\n", name(*benchmark));
        if let Some(what) = benchmark
            .to_possible_value()
            .and_then(|value| value.get_help().cloned())
        {
            println!("{what}.\n");
        }
        println!(
            "{} instructions, {} allocations a call.\n",
            counted.each(),
            counted.allocations / counted.calls.max(1)
        );
        let total = counted.instructions;
        section("purpose", total, purposes(&counted));
        section(
            "function, with what it calls",
            total,
            own_inclusive(&counted),
        );
        section("function alone", total, exclusive(&counted));
    }
    Ok(())
}

fn section(what: &str, total: u64, costs: BTreeMap<String, u64>) {
    let mut costs: Vec<_> = costs.into_iter().collect();
    costs.sort_by_key(|(_, cost)| Reverse(*cost));
    println!("| share | {what} |\n|---:|---|");
    for (what, cost) in costs.into_iter().take(SHOWN) {
        let share = 100.0 * cost as f64 / total.max(1) as f64;
        if share >= LEAST {
            println!("| {share:.1} % | {} |", what.replace('|', "\\|"));
        }
    }
    println!();
}

fn purposes(counted: &Counted) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for ((file, function), cost) in &counted.own {
        *sums.entry(purpose(file, function)).or_default() += cost;
    }
    sums
}

/// The project's own functions, with what they call.
fn own_inclusive(counted: &Counted) -> BTreeMap<String, u64> {
    let own = ["plenary_", "supply_chain"];
    let functions = counted.inclusive.iter();
    let functions = functions.map(|(function, cost)| (readable(function), *cost));
    let mut sums = BTreeMap::new();
    for (function, cost) in functions {
        let of = crate_of_function(&function);
        if own.iter().any(|own| of.starts_with(own)) && of != "plenary_guard" {
            // Of one generic function's several forms, one may call another.
            let sum = sums.entry(function).or_default();
            *sum = cost.max(*sum);
        }
    }
    sums
}

fn exclusive(counted: &Counted) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for ((_, function), cost) in &counted.own {
        *sums.entry(readable(function)).or_default() += cost;
    }
    sums
}

fn readable(function: &str) -> String {
    // Recursion has a number of its own behind a quote.
    let name = function.split('\'').next().unwrap_or(function);
    let name = format!("{:#}", rustc_demangle::demangle(name));
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

fn purpose(file: &str, function: &str) -> String {
    if ALLOCATION.iter().any(|name| function.starts_with(name)) {
        return "allocation".to_owned();
    }
    if function.contains("memcpy") || function.contains("memmove") || function.contains("memset") {
        return "copying memory".to_owned();
    }
    if function.contains("memcmp") || function.contains("bcmp") {
        return "comparing memory".to_owned();
    }
    let readable = readable(function);
    let of = crate_of_file(file).unwrap_or_else(|| crate_of_function(&readable));
    // Ed25519 hashes with SHA-512, all else with SHA-256.
    if of == "sha2" && readable.contains("512") {
        return "signatures".to_owned();
    }
    let known = PURPOSES
        .iter()
        .find(|(_, crates)| crates.iter().any(|name| of.starts_with(name)));
    known.map_or_else(
        || format!("other: {of}"),
        |(purpose, _)| (*purpose).to_owned(),
    )
}

/// The crate that a source file is of; none for the standard library's and for unknown ones.
fn crate_of_file(file: &str) -> Option<String> {
    if file.contains("/rustc/") {
        return None;
    }
    let (before, _) = file.rsplit_once("/src/")?;
    let directory = before.rsplit('/').next()?;
    // A registry's directory has the version behind the name.
    let name = match directory.rsplit_once('-') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => name,
        _ => directory,
    };
    Some(name.replace('-', "_"))
}

/// The crate that a readable symbol begins with: `<alloc::vec::Vec<T> as …>` is of `alloc`.
fn crate_of_function(function: &str) -> String {
    let name = function.trim_start_matches(['<', '&', '*', '[', '(']);
    let name = name.trim_start_matches("mut ").trim_start_matches("dyn ");
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    name[..end.unwrap_or(name.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inlined_code_counts_for_the_crate_whose_source_it_is() {
        let registry = "/home/x/.cargo/registry/src/index-1/curve25519-dalek-4.1.3/src/field.rs";
        assert_eq!(
            purpose(registry, "plenary_types::keys::verify"),
            "signatures"
        );
        let own = "crates/plenary-session/src/step.rs";
        assert_eq!(
            purpose(own, "core::ops::call_once"),
            "layer 2 (plenary-session)"
        );
    }

    #[test]
    fn the_standard_library_counts_for_who_has_it_inlined() {
        let std = "/rustc/abc/library/core/src/slice/mod.rs";
        let function = "<plenary_types::http::Request as commonware_codec::Write>::write";
        assert_eq!(purpose(std, function), "values and rules (plenary-types)");
        assert_eq!(purpose("???", "_int_malloc"), "allocation");
    }
}
