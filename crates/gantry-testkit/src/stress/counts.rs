//! What was done, how often, and what came of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tonic::Status;

/// How long after a fault operations may still fail because of it.
const AFTERMATH: Duration = Duration::from_secs(5);

/// Counters by name.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<BTreeMap<String, usize>>);

impl Tally {
    pub(super) fn add(&self, name: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.into()).or_default() += 1;
    }

    pub(super) fn sum(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    pub(super) fn all(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All counters of a run, and whether a fault is near.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) operations: Tally,
    pub(super) errors: Tally,
    pub(super) faults: Tally,
    active: AtomicUsize,
    last: Mutex<Option<Instant>>,
}

/// A fault that goes on.
pub(super) struct Disturbance<'a>(&'a Counts);

impl Counts {
    /// A fault begins, and ends with what is returned.
    pub(super) fn disturb(&self, name: &str) -> Disturbance<'_> {
        self.faults.add(name);
        self.active.fetch_add(1, Ordering::SeqCst);
        Disturbance(self)
    }

    /// Whether a fault went on at or shortly before `since`, or later.
    pub(super) fn disturbed_since(&self, since: Instant) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.active.load(Ordering::SeqCst) > 0 || last.is_some_and(|last| last + AFTERMATH >= since)
    }

    pub(super) fn error(&self, operation: &str, status: &Status) {
        self.errors.add(format!("{operation}: {}", kind(status)));
    }
}

impl Drop for Disturbance<'_> {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.0.active.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An error without what is its own: ids, paths and numbers.
fn kind(status: &Status) -> String {
    let words = status.message().split_whitespace().map(|word| {
        let own = word.contains('/') || word.chars().any(|c| c.is_ascii_digit());
        if own { "…" } else { word }
    });
    let text = words.take(16).collect::<Vec<_>>().join(" ");
    format!("{:?}: {text}", status.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_one_kind_are_counted_together() {
        let error = |id: &str| Status::not_found(format!("{id}: container not found in /tmp/{id}"));
        assert_eq!(kind(&error("c1-2")), kind(&error("c3-4")));
        assert_eq!(kind(&error("c1-2")), "NotFound: … container not found in …");
    }

    #[test]
    fn a_fault_excuses_for_a_while() {
        let counts = Counts::default();
        let before = Instant::now();
        assert!(!counts.disturbed_since(before));
        let fault = counts.disturb("x");
        assert!(counts.disturbed_since(Instant::now()));
        drop(fault);
        assert!(counts.disturbed_since(before));
        assert!(!counts.disturbed_since(Instant::now() + AFTERMATH * 2));
    }
}
