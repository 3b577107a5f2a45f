//! When the steps of one start happened, for whoever wants to see where its time goes.

use gantry_record::ready::{Times, now};

/// The steps so far. Times are nanoseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// What was done, and when it was done; each step began at the end of the one before.
    pub steps: Vec<(&'static str, u64)>,
    /// What the shim says of itself and of the runtime.
    pub shim: Option<Times>,
}

impl Trace {
    /// Notes that a step is done.
    pub fn done(&mut self, step: &'static str) {
        self.steps.push((step, now()));
    }
}
