//! Latency matrices: sites, the one-way delay between each two, and who is where.
//!
//! A TOML file: `sites` names them; `one_way_ms` has, under a site's name, the delay from it to
//! others in whole milliseconds (the simulated network counts in them), and holds for the way back
//! where that is not given; `same_site_ms` is the delay between two nodes of one site, 0 where it is
//! not given; `validators` names each validator's site, and where it is not given they are placed
//! round robin. Three matrices come with the program.

use crate::{
    files::{self, FileError},
    located::{self, Located},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

/// The longest delay that is taken: more than any way on Earth takes.
const MAX_MS: u64 = 10_000;
/// Most sites: each has a session node.
const MAX_SITES: usize = 32;

/// The matrices that come with the program, by name.
pub(super) const PRESETS: [(&str, &str); 3] = [
    ("region", include_str!("matrices/region.toml")),
    ("continent", include_str!("matrices/continent.toml")),
    ("globe", include_str!("matrices/globe.toml")),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sites: Vec<String>,
    one_way_ms: BTreeMap<String, BTreeMap<String, u64>>,
    #[serde(default)]
    same_site_ms: u64,
    #[serde(default)]
    validators: Vec<String>,
}

/// Why there is no matrix.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MatrixError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It says something that cannot be.
    #[error(transparent)]
    Located(#[from] Located),
}

/// Sites, and the delays between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Matrix {
    /// The preset's name, or the file's.
    pub(crate) name: String,
    /// The sites' names.
    pub(crate) sites: Vec<String>,
    /// One-way milliseconds from a site to a site.
    one_way_ms: Vec<Vec<u64>>,
    /// The validators' sites, as the file places them; empty where it does not.
    validators: Vec<usize>,
}

impl Matrix {
    /// The matrix of a preset's name.
    pub(super) fn preset(name: &str) -> Option<Result<Self, MatrixError>> {
        let (name, text) = PRESETS.iter().find(|(preset, _)| *preset == name)?;
        Some(Self::parse(name, Path::new(name), text))
    }

    /// Reads a matrix from a file.
    pub(super) fn load(path: &Path) -> Result<Self, MatrixError> {
        let name = path.file_stem().unwrap_or(path.as_os_str());
        Self::parse(&name.to_string_lossy(), path, &files::read(path)?)
    }

    /// Reads a matrix from the text of a file.
    pub(super) fn parse(name: &str, path: &Path, text: &str) -> Result<Self, MatrixError> {
        let file: File = located::parse(path, text)?;
        let place = |key: String, problem: String| Located {
            path: PathBuf::from(path),
            line: located::line_of(text, &key),
            key,
            problem,
        };
        file.matrix(name)
            .map_err(|(key, problem)| place(key, problem).into())
    }

    /// How long a message takes from one site to another.
    pub(super) fn delay(&self, from: usize, to: usize) -> Duration {
        Duration::from_millis(self.one_way_ms[from][to])
    }

    /// The sites of `count` validators, in the order of their keys.
    pub(super) fn place(&self, count: usize) -> Vec<usize> {
        let round_robin = 0..self.sites.len();
        let places = match self.validators.is_empty() {
            true => round_robin.cycle().take(count).collect(),
            false => self.validators.clone(),
        };
        debug_assert_eq!(places.len(), count, "checked with the arguments");
        places
    }

    /// How many validators the file places, where it does.
    pub(super) fn placed(&self) -> Option<usize> {
        (!self.validators.is_empty()).then_some(self.validators.len())
    }
}

/// A key and what is wrong with it.
type Problem = (String, String);

impl File {
    fn matrix(self, name: &str) -> Result<Matrix, Problem> {
        self.check_sites()?;
        self.check_delay("same_site_ms", self.same_site_ms)?;
        let mut one_way_ms = vec![vec![None; self.sites.len()]; self.sites.len()];
        for (from, others) in &self.one_way_ms {
            let key = format!("one_way_ms.{from}");
            let row = self.site(&key, from)?;
            for (to, delay) in others {
                let key = format!("{key}.{to}");
                let column = self.site(&key, to)?;
                if row == column {
                    let problem = "the delay within a site is `same_site_ms`, for all sites";
                    return Err((key, problem.into()));
                }
                self.check_delay(&key, *delay)?;
                one_way_ms[row][column] = Some(*delay);
            }
        }
        let delay = |from: usize, to: usize| match from == to {
            true => Ok(self.same_site_ms),
            false => one_way_ms[from][to]
                .or(one_way_ms[to][from])
                .ok_or_else(|| {
                    let (from, to) = (&self.sites[from], &self.sites[to]);
                    let problem = format!("no delay between `{from}` and `{to}`; add {from}.{to}");
                    ("one_way_ms".to_owned(), problem)
                }),
        };
        let sites = 0..self.sites.len();
        let row = |from| sites.clone().map(|to| delay(from, to)).collect();
        let one_way_ms = sites.clone().map(row).collect::<Result<_, _>>()?;
        let validators = self.validators.iter().enumerate();
        let validators = validators
            .map(|(index, site)| self.site(&format!("validators[{index}]"), site))
            .collect::<Result<_, _>>()?;
        Ok(Matrix {
            name: name.to_owned(),
            one_way_ms,
            validators,
            sites: self.sites,
        })
    }

    fn check_sites(&self) -> Result<(), Problem> {
        if !(1..=MAX_SITES).contains(&self.sites.len()) {
            let problem = format!("{} sites; give 1 to {MAX_SITES}", self.sites.len());
            return Err(("sites".into(), problem));
        }
        for (index, site) in self.sites.iter().enumerate() {
            if self.sites[..index].contains(site) {
                return Err((
                    format!("sites[{index}]"),
                    format!("`{site}` is there twice"),
                ));
            }
        }
        Ok(())
    }

    fn check_delay(&self, key: &str, delay: u64) -> Result<(), Problem> {
        if delay > MAX_MS {
            let problem = format!("a delay of {delay} ms; at most {MAX_MS} are taken");
            return Err((key.into(), problem));
        }
        Ok(())
    }

    fn site(&self, key: &str, name: &str) -> Result<usize, Problem> {
        let found = self.sites.iter().position(|site| site == name);
        found.ok_or_else(|| {
            let sites = self.sites.join(", ");
            (
                key.to_owned(),
                format!("`{name}` is no site; the sites are {sites}"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const THREE: &str = r#"
sites = ["a", "b", "c"]
same_site_ms = 2
validators = ["a", "a", "b", "c"]

[one_way_ms]
a = { b = 10, c = 20 }
b = { a = 11, c = 15 }
"#;

    fn parse(text: &str) -> Result<Matrix, MatrixError> {
        Matrix::parse("three", Path::new("three.toml"), text)
    }

    #[test]
    fn a_delay_holds_both_ways_unless_the_way_back_is_given() {
        let matrix = parse(THREE).unwrap();
        let delay = |from, to| matrix.delay(from, to).as_millis();
        assert_eq!((delay(0, 1), delay(1, 0)), (10, 11));
        assert_eq!((delay(1, 2), delay(2, 1)), (15, 15));
        assert_eq!(delay(2, 2), 2);
        assert_eq!(matrix.place(4), [0, 0, 1, 2]);
        let unplaced = parse(&THREE.replace("validators", "# validators")).unwrap();
        assert_eq!(unplaced.place(4), [0, 1, 2, 0]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let wrong = [
            (
                "c = 20",
                "d = 20",
                "three.toml:7: one_way_ms.a.d: `d` is no site",
            ),
            (
                "a = { b",
                "a = { a = 1, b",
                "three.toml:7: one_way_ms.a.a: the delay within",
            ),
            (
                ", c = 20",
                "",
                "three.toml:6: one_way_ms: no delay between `a` and `c`",
            ),
            (
                "10",
                "10001",
                "three.toml:7: one_way_ms.a.b: a delay of 10001 ms",
            ),
            ("10", "1.5", "three.toml:7: one_way_ms.a.b: invalid type"),
            (
                "= 2\n",
                "= -2\n",
                "three.toml:3: same_site_ms: invalid value",
            ),
            (
                "\"b\", \"c\"]\n\n",
                "\"x\"]\n\n",
                "three.toml:4: validators[2]: `x` is no site",
            ),
            (
                "\"a\", \"b\", \"c\"]\ns",
                "\"a\", \"b\", \"a\"]\ns",
                "three.toml:2: sites[2]: `a` is there twice",
            ),
            (
                "same_site_ms",
                "same_site",
                "three.toml:3: same_site: unknown key `same_site`; did you mean `same_site_ms`?",
            ),
            ("[one_way_ms]", "[one_way_ms", "three.toml:6"),
        ];
        for (part, instead, expected) in wrong {
            assert!(THREE.contains(part), "{part}");
            let error = parse(&THREE.replacen(part, instead, 1))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(expected), "{error}\nnot {expected}");
        }
    }

    /// A message that takes a way round would otherwise be faster than one sent directly, and no
    /// protocol could be as fast as the minimum.
    #[test]
    fn in_the_presets_no_way_round_is_shorter() {
        for (name, _) in PRESETS {
            let matrix = Matrix::preset(name).unwrap().unwrap();
            let sites = 0..matrix.sites.len();
            for (a, b, c) in sites.clone().flat_map(|a| {
                let sites = sites.clone();
                sites
                    .clone()
                    .flat_map(move |b| sites.clone().map(move |c| (a, b, c)))
            }) {
                let round = matrix.delay(a, b) + matrix.delay(b, c);
                assert!(matrix.delay(a, c) <= round, "{name}: {a} {b} {c}");
            }
        }
    }
}
