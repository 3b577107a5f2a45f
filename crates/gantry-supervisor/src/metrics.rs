//! What is counted and timed, for whoever watches the daemon. Plain atomics: counting never waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each of [`Histogram::BOUNDS`], and one for what took longer.
    buckets: [AtomicU64; Histogram::BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

/// A look at a histogram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// For each of [`Histogram::BOUNDS`], how many took that long or less; the last one is all.
    pub cumulative: [u64; Histogram::BOUNDS.len() + 1],
    /// How long all of them took together.
    pub sum: Duration,
}

/// The daemon's figures.
#[derive(Debug, Default)]
pub struct Metrics {
    /// From a request for a container until its init ran.
    pub start: Histogram,
    /// Requests for a container that failed after its folder was made.
    pub start_failures: Counter,
    /// From a request for another process until it ran.
    pub exec: Histogram,
    /// Requests for another process that failed after its folder was made.
    pub exec_failures: Counter,
    /// From the first SIGTERM or SIGKILL to an init until its exit was told.
    pub stop: Histogram,
    /// From the end of an init's shim until the exit was told.
    pub exit: Histogram,
    /// Processes whose exit was told.
    pub exits: Counter,
    /// Containers in which the kernel killed for want of memory.
    pub oom_kills: Counter,
    /// Starts that have a worker.
    pub starting: Gauge,
    /// Starts that wait for one.
    pub waiting: Gauge,
    /// Told at each start and exit.
    pub changed: Notify,
}

// === impl Counter ===

impl Counter {
    /// Counts one.
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Gauge ===

impl Gauge {
    /// One more, until the guard goes.
    pub fn enter(&self) -> Entered<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(self)
    }

    /// How many there are.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One that a [`Gauge`] counts.
#[derive(Debug)]
pub struct Entered<'a>(&'a Gauge);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Histogram ===

impl Histogram {
    /// Upper bounds of the buckets, in microseconds.
    pub const BOUNDS: [u64; 14] = [
        1_000, 2_000, 3_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
        10_000_000, 30_000_000,
    ];

    /// Counts something that took so long.
    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = Self::BOUNDS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn get(&self) -> Distribution {
        let mut total = 0;
        let cumulative = std::array::from_fn(|bucket| {
            total += self.buckets[bucket].load(Ordering::Relaxed);
            total
        });
        Distribution { cumulative, sum: Duration::from_micros(self.sum_micros.load(Ordering::Relaxed)) }
    }
}

impl Distribution {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.cumulative[Histogram::BOUNDS.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_that_holds_it_and_in_all_after() {
        let histogram = Histogram::default();
        for micros in [1_000, 1_001, 60_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let seen = histogram.get();
        assert_eq!(seen.cumulative[..2], [1, 2]);
        assert_eq!(seen.cumulative[Histogram::BOUNDS.len() - 1..], [2, 3]);
        assert_eq!((seen.count(), seen.sum), (3, Duration::from_micros(60_002_001)));
    }

    #[test]
    fn a_gauge_falls_when_the_guard_goes() {
        let gauge = Gauge::default();
        let guard = gauge.enter();
        assert_eq!(gauge.get(), 1);
        drop(guard);
        assert_eq!(gauge.get(), 0);
    }
}
