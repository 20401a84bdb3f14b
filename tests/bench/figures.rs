//! Percentiles, and the table that they go into.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Rows of what was measured, and ledgers below.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(String, String)>,
    notes: Vec<String>,
}

impl Table {
    /// Adds a row, and shows it at once: the whole takes minutes.
    pub(crate) fn row(&mut self, measure: &str, value: impl Into<String>) {
        let value = value.into();
        println!("- {measure}: {value}");
        self.rows.push((measure.to_owned(), value));
    }

    /// Adds a row of percentiles.
    pub(crate) fn percentiles(&mut self, measure: &str, mut times: Vec<Duration>) {
        times.sort();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
            times.get(rank).copied().unwrap_or_default().as_secs_f64() * 1000.0
        };
        self.row(
            &format!("{measure} ({} times)", times.len()),
            format!(
                "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
                at(50),
                at(99),
                at(100)
            ),
        );
    }

    /// Adds a ledger: a row with the sum, and what it is made of below the table.
    pub(crate) fn ledger(&mut self, measure: &str, counts: &BTreeMap<String, usize>) {
        let sum: usize = counts.values().sum();
        self.row(measure, sum.to_string());
        let parts: Vec<_> = counts
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        self.note(format!(
            "{measure}: {}.",
            if parts.is_empty() {
                "none".to_owned()
            } else {
                parts.join(", ")
            }
        ));
    }

    /// Adds a line below the table.
    pub(crate) fn note(&mut self, text: String) {
        println!("  {text}");
        self.notes.push(text);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| measure | Serin |\n|---|---|")?;
        for (measure, value) in &self.rows {
            writeln!(f, "| {measure} | {value} |")?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "\n- {note}"))?;
        writeln!(f)
    }
}
