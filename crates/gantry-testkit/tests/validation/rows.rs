//! What a row of the table is.

use serde_json::Value;

/// A change to a configuration.
pub(crate) type Change = Box<dyn Fn(&mut Value) + Send + Sync>;

/// One property.
pub(crate) struct Row {
    /// The property of `config.json`, and what it is set to.
    pub(crate) property: String,
    pub(crate) value: String,
    /// What sets it.
    pub(crate) change: Change,
    /// What reads it: a piece of shell in the container, or for [`Kind::Host`] on the host after the container ended.
    pub(crate) probe: String,
    /// What the specification says that it reads, where that can be said in a word.
    pub(crate) wanted: Option<&'static str>,
}

/// How the rows of a batch are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By a shell in the container.
    Inside,
    /// By a shell on the host after the container ended; `$OUT` is a folder that hooks wrote to.
    Host,
    /// By whether the container runs at all; the probe is its script.
    Runs,
}

/// Rows that share a container.
pub(crate) struct Batch {
    pub(crate) section: &'static str,
    pub(crate) kind: Kind,
    /// What all its rows need.
    pub(crate) base: Change,
    pub(crate) rows: Vec<Row>,
}

impl Row {
    /// A row without knowledge of what is right, other than that runtimes agree.
    pub(crate) fn new(
        property: impl Into<String>,
        value: impl Into<String>,
        probe: impl Into<String>,
        change: impl Fn(&mut Value) + Send + Sync + 'static,
    ) -> Self {
        Self {
            property: property.into(),
            value: value.into(),
            change: Box::new(change),
            probe: probe.into(),
            wanted: None,
        }
    }

    /// Says what the specification wants.
    pub(crate) fn wants(mut self, wanted: &'static str) -> Self {
        self.wanted = Some(wanted);
        self
    }
}

impl Batch {
    /// Rows in one container, read inside.
    pub(crate) fn inside(section: &'static str, rows: Vec<Row>) -> Self {
        Self { section, kind: Kind::Inside, base: Box::new(|_| {}), rows }
    }

    /// Each row in a container of its own.
    pub(crate) fn apart(section: &'static str, kind: Kind, rows: Vec<Row>) -> Vec<Self> {
        rows.into_iter().map(|row| Self { section, kind, base: Box::new(|_| {}), rows: vec![row] }).collect()
    }

    /// Adds what all rows need.
    pub(crate) fn with(mut self, base: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.base = Box::new(base);
        self
    }
}
