//! Runs a benchmark under Callgrind and reads what it has counted.
//!
//! The format is that of the Callgrind manual: costs belong to the function (`fn=`) and the source
//! file (`fl=`, or `fi=` and `fe=` within inlined code) that were named last; the cost after a
//! `calls=` line is that of the function that was called. A name follows its number where it comes
//! first.

use crate::{benchmarks::Benchmark, count::MARK, name};
use anyhow::{Context as _, bail, ensure};
use std::{
    collections::{BTreeMap, HashMap},
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

/// The functions of the system's allocator that give memory.
const ALLOCATORS: [&str; 5] = [
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
];

/// What was counted of one benchmark, all calls together.
#[derive(Debug, Default, PartialEq)]
pub struct Counted {
    /// How many calls.
    pub calls: u64,
    /// The instructions of all.
    pub instructions: u64,
    /// How often memory was asked for.
    pub allocations: u64,
    /// Instructions by source file and function.
    pub own: BTreeMap<(String, String), u64>,
    /// Instructions by function, with what it calls; recursion counts twice.
    pub inclusive: BTreeMap<String, u64>,
}

impl Counted {
    /// The instructions of one call.
    pub fn each(&self) -> u64 {
        self.instructions / self.calls.max(1)
    }
}

/// Counts a benchmark.
///
/// # Errors
///
/// Where there is no Valgrind, or the benchmark fails.
pub fn count(benchmark: Benchmark) -> anyhow::Result<Counted> {
    let directory = tempfile::tempdir().context("cannot make a directory for the counts")?;
    let out = directory.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--demangle=no"])
        .args(["--dump-instr=yes", "--compress-pos=no"])
        .arg(format!("--toggle-collect=*{MARK}*"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe().context("cannot find this program's file")?)
        .args(["run", &name(benchmark)])
        .stdin(Stdio::null())
        .output()
        .context("cannot run valgrind; install it (Debian: apt-get install valgrind)")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!(
            "`{}` ended with {}:\n{errors}",
            name(benchmark),
            output.status
        );
    }
    let calls = String::from_utf8_lossy(&output.stdout).trim().parse();
    let mut counted = read(&out)?;
    counted.calls = calls.context("the benchmark did not say how many calls it counts")?;
    ensure!(
        counted.calls > 0 && counted.instructions > 0,
        "`{}` counted nothing: no function has `{MARK}` in its symbol",
        name(benchmark)
    );
    Ok(counted)
}

fn read(path: &Path) -> anyhow::Result<Counted> {
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("valgrind left no counts in {}", path.display()))?;
    Ok(parse(&text))
}

/// Names by their numbers.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    /// The name in `(number) name`, which is left out where it was there before.
    fn take(&mut self, text: &str) -> String {
        let Some((number, name)) = text.split_once(')') else {
            return text.to_owned();
        };
        match name.trim() {
            "" => self.0.get(number).cloned().unwrap_or_default(),
            name => {
                self.0.insert(number.to_owned(), name.to_owned());
                name.to_owned()
            }
        }
    }
}

/// What a cost is of: where in the program, and how much.
struct Cost<'a> {
    address: &'a str,
    instructions: u64,
}

impl<'a> Cost<'a> {
    /// A line of costs: address, source line, instructions. Nothing for other lines.
    fn of(line: &'a str) -> Option<Self> {
        let mut parts = line.split(' ');
        let address = parts.next().filter(|address| address.starts_with("0x"))?;
        let instructions = parts.nth(1)?.parse().ok()?;
        Some(Self {
            address,
            instructions,
        })
    }
}

fn parse(text: &str) -> Counted {
    let (mut files, mut functions) = (Names::default(), Names::default());
    let (mut file, mut function) = (String::new(), String::new());
    let mut counted = Counted::default();
    // How often each address of an allocator's functions was run.
    let mut allocators: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
    let mut of_a_call = false;
    for line in text.lines() {
        if let Some(cost) = Cost::of(line) {
            *counted.inclusive.entry(function.clone()).or_default() += cost.instructions;
            if std::mem::take(&mut of_a_call) {
                continue;
            }
            counted.instructions += cost.instructions;
            let place = (file.clone(), function.clone());
            *counted.own.entry(place).or_default() += cost.instructions;
            if ALLOCATORS.contains(&function.as_str()) {
                let address = u64::from_str_radix(&cost.address[2..], 16).unwrap_or(u64::MAX);
                let runs = allocators.entry(function.clone()).or_default();
                *runs.entry(address).or_default() += cost.instructions;
            }
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        match key {
            "fl" | "fi" | "fe" => file = files.take(value),
            "cfi" | "cfl" => drop(files.take(value)),
            "fn" => function = functions.take(value),
            "cfn" => drop(functions.take(value)),
            "calls" => of_a_call = true,
            _ => {}
        }
    }
    // A function's first instruction runs once a call. The calls that Callgrind notes are of the
    // whole process.
    let first = allocators.values().filter_map(|runs| runs.values().next());
    counted.allocations = first.sum();
    counted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// One function calls another twice, and asks for memory three times.
    const OUT: &str = "\
version: 1
positions: instr line
events: Ir
fl=(1) src/a.rs
fn=(1) outer
0x10 16 10
fi=(2) src/inlined.rs
0x14 19 5
fe=(1)
cfi=(2)
cfn=(2) inner
calls=2 0x20 7
0x18 16 40
cob=(3) libc
cfi=(3) ???
cfn=(3) malloc
calls=900 0x30 0
0x1c 15 20

fl=(2)
fn=(2)
0x20 7 40

fl=(3)
fn=(3)
0x34 0 17
0x30 0 3

totals: 75
";

    #[test]
    fn costs_belong_to_who_spends_them_and_calls_to_who_makes_them() {
        let counted = parse(OUT);
        assert_eq!(counted.instructions, 75);
        assert_eq!(counted.allocations, 3);
        let own = |file: &str, function: &str| counted.own[&(file.into(), function.into())];
        assert_eq!(own("src/a.rs", "outer"), 10);
        assert_eq!(own("src/inlined.rs", "outer"), 5);
        assert_eq!(own("src/inlined.rs", "inner"), 40);
        assert_eq!(counted.inclusive["outer"], 75);
        assert_eq!(counted.inclusive["inner"], 40);
    }
}
