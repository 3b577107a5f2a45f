//! Named points at which a test makes a program of ours die, fail or wait. Built in with the feature `failpoints` alone;
//! without it each call is an empty function, and a release has neither the names nor the variable.
//!
//! [`VARIABLE`] names a folder. A file in it with the name of a point arms that point, and says what happens there:
//!
//! ```text
//! kill            the process ends at once, with no chance to clean up
//! error ENOSPC    the operation that is about to happen fails so
//! delay 100       it takes so many milliseconds longer
//! ```
//!
//! Whoever comes to an armed point renames the file to `NAME.hit`: so a point fires once, in one process, and its test sees
//! that it was reached. With `always` at the end the file stays where it is. Points can be armed at any time, for programs
//! that run already. Where a file `@trace` is in the folder, each point that is passed is noted there, a line each.
//!
//! The variable reaches shims and runtimes by inheritance, forked or executed; a container's environment is its own. A
//! program calls [`arm`] when it begins, and again in a fork that has closed its descriptors: the folder is held open, since
//! it cannot be reached by its path any more once a runtime has entered a container.
//!
//! docs/failpoints.md says how to use and how to add points; [`points`] lists them.

#[cfg(feature = "failpoints")]
mod armed;
mod points;

pub use points::{Kind, Point, points};

use crate::ProcessId;
use std::path::Path;

/// The variable that names the folder.
pub const VARIABLE: &str = "GANTRY_FAILPOINTS";

/// The file in which points that were passed are noted, if it is there.
pub const TRACE: &str = "@trace";

/// What the file of a point is called once it has fired.
pub const HIT: &str = ".hit";

/// The result of an operation that may be made to fail.
pub type Result = rustix::io::Result<()>;

/// Reads the variable and opens its folder. `process` is what the names of this process's points begin with where code is
/// shared: `daemon`, `shim` or `runtime`.
#[inline(always)]
pub fn arm(process: &'static str) {
    #[cfg(feature = "failpoints")]
    armed::arm(process);
    #[cfg(not(feature = "failpoints"))]
    let _ = process;
}

/// A point between two steps.
#[inline(always)]
pub fn at(name: &str) {
    #[cfg(feature = "failpoints")]
    let _ = armed::pass(name);
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

/// A point of a process's life, which init and execs have alike: `daemon::init::NAME` or `daemon::exec::NAME`.
#[inline(always)]
pub fn of(process: &ProcessId, name: &str) {
    #[cfg(feature = "failpoints")]
    let _ = armed::pass(&format!("daemon::{}::{name}", if process.is_init() { "init" } else { "exec" }));
    #[cfg(not(feature = "failpoints"))]
    let _ = (process, name);
}

/// A point before an operation that can fail.
///
/// # Errors
/// What the test wants it to fail with.
#[inline(always)]
pub fn io(name: &str) -> Result {
    #[cfg(feature = "failpoints")]
    return armed::pass(name);
    #[cfg(not(feature = "failpoints"))]
    {
        let _ = name;
        Ok(())
    }
}

/// A point of writing the record at `path`: `PROCESS::record::FILE::STEP`.
///
/// # Errors
/// As [`io`].
#[inline(always)]
pub fn record(path: &Path, step: &str) -> Result {
    #[cfg(feature = "failpoints")]
    return armed::pass_record(path, step);
    #[cfg(not(feature = "failpoints"))]
    {
        let _ = (path, step);
        Ok(())
    }
}
