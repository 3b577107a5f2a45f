//! Dying at a named step, so that tests can prove what the next daemon makes of it. Only in builds with the feature
//! `failpoints`; a release has neither the steps nor this.

use crate::error::Error;
use rustix::process::{Signal, getpid, kill_process};

/// Names the step, such as `init::created`.
const VARIABLE: &str = "GANTRY_KILL_AT";

/// Makes the process kill itself, with no chance to clean up, when it reaches the step that the environment names.
pub(crate) fn arm() -> Result<(), Error> {
    let Ok(step) = std::env::var(VARIABLE) else { return Ok(()) };
    let die = || {
        // SIGKILL to oneself does not return; if it did, going on would only make the test fail.
        let _ = kill_process(getpid(), Signal::KILL);
        loop {
            std::thread::park();
        }
    };
    fail::cfg_callback(step, die).map_err(Error::Failpoint)
}
