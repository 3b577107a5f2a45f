//! Waiting for facts that nobody announces: a process that goes, a text on a screen.

use std::env;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// The first pause between two looks; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How long to wait for what takes at most `limit` on an idle machine: that, times the whole number in
/// `GANTRY_TEST_PATIENCE`, which a machine that is many times slower sets (scripts/guest.sh).
///
/// # Panics
/// When the variable is no number above zero.
#[must_use]
pub fn patient(limit: Duration) -> Duration {
    static FACTOR: OnceLock<u32> = OnceLock::new();
    limit
        * *FACTOR.get_or_init(|| match env::var("GANTRY_TEST_PATIENCE") {
            Ok(text) => text.parse().ok().filter(|factor| *factor > 0).unwrap_or_else(|| {
                panic!("GANTRY_TEST_PATIENCE is \"{text}\", not a whole number above zero")
            }),
            Err(_) => 1,
        })
}

/// Looks until `condition` holds.
///
/// # Panics
/// When it does not hold within `timeout`; `what` says what was waited for.
pub fn wait_until(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, timeout, || condition().then_some(()));
}

/// Looks until `look` finds something, and returns it.
///
/// # Panics
/// When there is nothing within `timeout`; `what` says what was waited for.
pub fn wait_for<T>(what: &str, timeout: Duration, look: impl FnMut() -> Option<T>) -> T {
    try_wait_for(timeout, look).unwrap_or_else(|| panic!("waited {timeout:?} in vain for: {what}"))
}

/// As [`wait_for`], without a panic.
pub(crate) fn try_wait_for<T>(timeout: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patient(timeout);
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_again_until_it_holds() {
        let mut looks = 0;
        wait_until("the third look", Duration::from_secs(5), || {
            looks += 1;
            looks == 3
        });
        assert_eq!(looks, 3);
    }

    #[test]
    #[should_panic(expected = "in vain for: a wonder")]
    fn says_what_did_not_come() {
        wait_until("a wonder", Duration::from_millis(5), || false);
    }
}
