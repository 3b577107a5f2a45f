//! What came of it, as a table: record, damage, outcome, how often.

use std::collections::BTreeMap;
use std::fmt;

#[derive(Default)]
pub(super) struct Table(BTreeMap<(String, String, &'static str), usize>);

impl Table {
    pub(super) fn count(&mut self, record: &str, damage: String, outcome: &'static str) {
        *self.0.entry((record.to_owned(), damage, outcome)).or_default() += 1;
    }

    pub(super) fn outcomes(&self, outcome: &str) -> usize {
        self.0.iter().filter(|((_, _, what), _)| *what == outcome).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22} {:<24} {:<10} count", "record", "damage", "outcome")?;
        for ((record, damage, outcome), count) in &self.0 {
            writeln!(f, "{record:<22} {damage:<24} {outcome:<10} {count}")?;
        }
        write!(f, "{} damages", self.0.values().sum::<usize>())
    }
}
