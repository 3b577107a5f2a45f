//! Limits of the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Raises the number of files that may be open to what the system allows: each running process of a container
/// takes a few.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        warn!(%error, current = ?limit.current, "the limit of open files cannot be raised");
    }
}

/// Says how much the kernel prefers the daemon when memory is short.
pub(crate) fn set_oom_score(score: i16) {
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", score.to_string()) {
        warn!(%error, score, "the kernel does not take --oom-score-adj");
    }
}
