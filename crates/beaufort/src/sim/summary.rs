//! What many measured values come to.

use serde::Serialize;

/// A distribution in a few numbers, in the unit of its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// How many values.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// The least.
    pub min: f64,
    /// What one in a hundred is below.
    pub p1: f64,
    /// What a quarter is below.
    pub p25: f64,
    /// The median.
    pub p50: f64,
    /// What a quarter is above.
    pub p75: f64,
    /// What one in ten is above.
    pub p90: f64,
    /// What one in a hundred is above.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

impl Summary {
    /// Sums up values; of none, all is zero.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |part: f64| {
            // The least value that at least this part of all is not above.
            let rank = (part * values.len() as f64).ceil() as usize;
            values
                .get(rank.saturating_sub(1))
                .copied()
                .unwrap_or_default()
        };
        Self {
            count: values.len(),
            mean: values.iter().sum::<f64>() / values.len().max(1) as f64,
            min: at(0.0),
            p1: at(0.01),
            p25: at(0.25),
            p50: at(0.5),
            p75: at(0.75),
            p90: at(0.9),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let summary = Summary::of((1..=200).rev().map(f64::from));
        let Summary {
            p25,
            p50,
            p99,
            max,
            mean,
            ..
        } = summary;
        assert_eq!(
            (p25, p50, p99, max, mean),
            (50.0, 100.0, 198.0, 200.0, 100.5)
        );
        assert_eq!(Summary::of([3.0]).p99, 3.0);
        assert_eq!(Summary::of([]), Summary::default());
    }
}
