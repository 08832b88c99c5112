//! Figures: medians with their intervals, one a line, and whether they meet their bars.

use std::fmt;

/// A median with its 95 % interval: the order statistics between which the true median lies in 95 of 100 runs,
/// whatever the distribution is. With fewer than six samples it is their range.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Median {
    /// The median.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Median {
    /// Of these samples; NaN if there are none.
    pub fn of(samples: &[f64]) -> Median {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        if count == 0 {
            return Median::exactly(f64::NAN);
        }
        let out = outside(count);
        Median {
            value: (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0,
            low: sorted[out],
            high: sorted[count - 1 - out],
        }
    }

    /// A figure that does not scatter.
    pub fn exactly(value: f64) -> Median {
        Median {
            value,
            low: value,
            high: value,
        }
    }
}

/// How many samples lie outside of the interval at each end: the most for which both tails of the binomial
/// distribution are at most 2.5 %.
fn outside(count: usize) -> usize {
    let mut chance = 0.5_f64.powi(count as i32);
    let mut tail = chance;
    let mut out = 0;
    while tail <= 0.025 && out + 1 < count.div_ceil(2) {
        chance *= (count - out) as f64 / (out + 1) as f64;
        if tail + chance > 0.025 {
            break;
        }
        out += 1;
        tail += chance;
    }
    // `tail` is the chance that at most `out` samples lie on one side.
    out
}

impl fmt::Display for Median {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.value.abs() {
            0.0 => 0,
            size if size < 10.0 => 3,
            size if size < 1000.0 => 1,
            _ => 0,
        };
        write!(f, "{:.digits$}", self.value)?;
        if self.low < self.high {
            write!(f, " ({:.digits$} … {:.digits$})", self.low, self.high)?;
        }
        Ok(())
    }
}

/// The figures of a command. Prints as it goes and remembers whether a bar was missed.
#[derive(Debug, Default)]
pub struct Figures {
    missed: Vec<String>,
}

impl Figures {
    /// None yet.
    pub fn new() -> Figures {
        Figures::default()
    }

    /// A figure without a bar.
    pub fn tell(&mut self, name: &str, value: Median, unit: &str) {
        println!("{name}: {value} {unit}");
    }

    /// A figure that may not be above its bar; met if the lower end of the interval is not.
    pub fn at_most(&mut self, name: &str, value: Median, unit: &str, bar: f64) {
        self.judge(name, value, unit, &format!("≤ {bar}"), value.low <= bar);
    }

    /// A figure that may not be below its bar; met if the upper end of the interval is not.
    pub fn at_least(&mut self, name: &str, value: Median, unit: &str, bar: f64) {
        self.judge(name, value, unit, &format!("≥ {bar}"), value.high >= bar);
    }

    /// A count that must be exactly this.
    pub fn exactly(&mut self, name: &str, value: u64, expected: u64) {
        let met = value == expected;
        let verdict = if met { "met" } else { "NOT MET" };
        println!("{name}: {value} [= {expected}: {verdict}]");
        self.remember(name, met);
    }

    /// A condition.
    pub fn holds(&mut self, name: &str, holds: bool) {
        println!("{name}: {}", if holds { "yes" } else { "NO" });
        self.remember(name, holds);
    }

    fn judge(&mut self, name: &str, value: Median, unit: &str, bar: &str, met: bool) {
        let verdict = if met { "met" } else { "NOT MET" };
        println!("{name}: {value} {unit} [{bar}: {verdict}]");
        self.remember(name, met);
    }

    fn remember(&mut self, name: &str, met: bool) {
        if !met {
            self.missed.push(name.to_owned());
        }
    }

    /// Whether every bar was met; names those that were not.
    pub fn all_met(&self) -> bool {
        for name in &self.missed {
            println!("missed: {name}");
        }
        self.missed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Median, outside};

    #[test]
    fn the_interval_is_that_of_the_binomial_distribution() {
        // Tables of the sign test give the ranks: 1 of 6, 2 of 9 to 11, 3 of 12 to 14, 6 of 20.
        for (count, rank) in [(6, 1), (9, 2), (11, 2), (12, 3), (14, 3), (20, 6)] {
            assert_eq!(outside(count) + 1, rank, "of {count}");
        }
    }

    #[test]
    fn few_samples_give_their_range() {
        for count in 1..6 {
            assert_eq!(outside(count), 0, "of {count}");
        }
        let median = Median::of(&[3.0, 1.0]);
        assert_eq!((median.value, median.low, median.high), (2.0, 1.0, 3.0));
        assert!(Median::of(&[]).value.is_nan());
    }
}
