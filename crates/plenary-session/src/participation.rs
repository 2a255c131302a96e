//! How many session nodes a step needs before it is answered.

use std::{fmt, str::FromStr};

/// The participation in simulation consensus that a session node asks for. The originator counts;
/// whoever is not needed delays nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Participation {
    /// The originator alone. The others get every step all the same.
    #[default]
    Own,
    /// Any so many, the originator included.
    Any(usize),
    /// More than half.
    Majority,
    /// All.
    All,
}

/// A text is no participation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("participation must be \"own\", \"majority\", \"all\" or a number of nodes, not {0:?}")]
pub struct ParticipationError(String);

impl Participation {
    /// How many others must agree where there are `others` of them.
    pub fn needed(self, others: usize) -> usize {
        match self {
            Self::Own => 0,
            Self::Any(nodes) => nodes.saturating_sub(1),
            Self::Majority => others.div_ceil(2),
            Self::All => others,
        }
    }
}

impl FromStr for Participation {
    type Err = ParticipationError;
    fn from_str(text: &str) -> Result<Self, ParticipationError> {
        match (text, text.parse::<usize>()) {
            ("own", _) => Ok(Self::Own),
            ("majority", _) => Ok(Self::Majority),
            ("all", _) => Ok(Self::All),
            (_, Ok(nodes)) if nodes > 0 => Ok(Self::Any(nodes)),
            _ => Err(ParticipationError(text.chars().take(32).collect())),
        }
    }
}

impl fmt::Display for Participation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("own"),
            Self::Any(nodes) => write!(f, "{nodes}"),
            Self::Majority => f.write_str("majority"),
            Self::All => f.write_str("all"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_majority_is_more_than_half_of_all_nodes() {
        for nodes in 1..20 {
            let needed = 1 + Participation::Majority.needed(nodes - 1);
            assert!(2 * needed > nodes && 2 * (needed - 1) <= nodes, "{nodes}");
        }
    }

    #[test]
    fn a_participation_reads_as_it_is_written() {
        use Participation::*;
        for participation in [Own, Any(2), Majority, All] {
            assert_eq!(participation.to_string().parse(), Ok(participation));
        }
        for text in ["", "0", "-1", "most"] {
            assert!(text.parse::<Participation>().is_err(), "{text}");
        }
    }
}
