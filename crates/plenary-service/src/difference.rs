//! How two runs of one handler differ: the first thing that shows it.

use crate::{context::Writes, executor::Execution};
use plenary_types::{Operation, Problem, Read, Response, StateKey};
use std::fmt;

/// How many bytes of a response are shown on either side of a difference.
const EXCERPT_BYTES: usize = 24;

/// The first difference between two runs of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// One run answered and the other refused, or both refused differently.
    Answer {
        /// The first run's answer, in a line.
        first: String,
        /// The second run's.
        second: String,
    },
    /// Status or content type of the response.
    Head {
        /// The first run's.
        first: String,
        /// The second run's.
        second: String,
    },
    /// The body of the response.
    Body {
        /// The first byte that differs, from 0.
        at: usize,
        /// What the first run has there.
        first: String,
        /// What the second run has there.
        second: String,
    },
    /// Another key was read.
    Read {
        /// Which read, from 0.
        at: usize,
        /// The first run's, if it read so often.
        first: Option<StateKey>,
        /// The second run's.
        second: Option<StateKey>,
    },
    /// What was written under a key, or whether anything was.
    Write {
        /// The key.
        key: StateKey,
    },
    /// The steps that were spent.
    Steps {
        /// The first run's.
        first: u64,
        /// The second run's.
        second: u64,
    },
}

impl Difference {
    pub(crate) fn between(first: &Execution, second: &Execution) -> Option<Self> {
        let answers = match (&first.answer, &second.answer) {
            (Ok(first), Ok(second)) => Self::between_responses(first, second),
            (first, second) => (first != second).then(|| Self::Answer {
                first: describe(first),
                second: describe(second),
            }),
        };
        answers
            .or_else(|| Self::between_writes(&first.writes, &second.writes))
            .or_else(|| Self::between_reads(&first.reads, &second.reads))
            .or_else(|| {
                let (first, second) = (first.steps, second.steps);
                (first != second).then_some(Self::Steps { first, second })
            })
    }

    /// How two nodes' runs of one operation differ in what a transaction records of them.
    pub(crate) fn between_operations(first: &Operation, second: &Operation) -> Option<Self> {
        Self::between_responses(&first.response, &second.response)
            .or_else(|| Self::between_reads(&first.reads, &second.reads))
    }

    /// One run answered where the other refused.
    pub fn refusal(first: &Response, second: Problem) -> Self {
        Self::Answer {
            first: format!("answered {}", first.status),
            second: describe(&Err(second)),
        }
    }

    /// How two responses differ.
    pub fn between_responses(first: &Response, second: &Response) -> Option<Self> {
        let head = |response: &Response| format!("{} {}", response.status, response.content_type);
        if head(first) != head(second) {
            let (first, second) = (head(first), head(second));
            return Some(Self::Head { first, second });
        }
        let (a, b) = (&first.body, &second.body);
        let common = a.iter().zip(b.iter()).take_while(|(a, b)| a == b).count();
        (a != b).then(|| Self::Body {
            at: common,
            first: excerpt(a, common),
            second: excerpt(b, common),
        })
    }

    fn between_reads(first: &[Read], second: &[Read]) -> Option<Self> {
        let most = first.len().max(second.len());
        let at = (0..most).find(|at| first.get(*at) != second.get(*at))?;
        Some(Self::Read {
            at,
            first: first.get(at).map(read_key),
            second: second.get(at).map(read_key),
        })
    }

    pub(crate) fn between_writes(first: &Writes, second: &Writes) -> Option<Self> {
        let keys = first.keys().chain(second.keys());
        let key = keys
            .filter(|key| first.get(*key) != second.get(*key))
            .min()?;
        Some(Self::Write { key: key.clone() })
    }
}

fn read_key(read: &Read) -> StateKey {
    match read {
        Read::Key { key, .. } | Read::Range { from: key, .. } => key.clone(),
    }
}

fn describe(answer: &Result<Response, Problem>) -> String {
    match answer {
        Ok(response) => format!("answered {}", response.status),
        Err(problem) => format!("refused {problem}"),
    }
}

fn excerpt(body: &[u8], at: usize) -> String {
    let from = at.saturating_sub(EXCERPT_BYTES);
    let to = (at + EXCERPT_BYTES).min(body.len());
    String::from_utf8_lossy(body.get(from..to).unwrap_or_default()).into_owned()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { first, second } => {
                write!(f, "it {first} in the first run and {second} in the second")
            }
            Self::Head { first, second } => {
                write!(f, "its responses are `{first}` and `{second}`")
            }
            Self::Body { at, first, second } => write!(
                f,
                "its responses differ first at byte {at}: `{first}` and `{second}`"
            ),
            Self::Read { at, first, second } => {
                write!(f, "its read {at} is of ")?;
                name(f, first)?;
                f.write_str(" and of ")?;
                name(f, second)
            }
            Self::Write { key } => write!(f, "its runs write differently under {key}"),
            Self::Steps { first, second } => {
                write!(f, "it spends {first} steps and {second} steps")
            }
        }
    }
}

fn name(f: &mut fmt::Formatter<'_>, key: &Option<StateKey>) -> fmt::Result {
    match key {
        Some(key) => write!(f, "{key}"),
        None => f.write_str("nothing"),
    }
}
