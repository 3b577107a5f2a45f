//! The shim is protected from kills for want of memory as the daemon is (`OOMScoreAdjust=` of its unit, or
//! `--oom-score-adj`): were it killed, its container would be too. The container itself is not, unless its bundle says so;
//! and then its shim is more so.

use rustix::process::Pid;
use std::fs;

const SCORE: &str = "/proc/self/oom_score_adj";

/// Never.
const LOWEST: i32 = -1000;

/// While this is there, children are made without the protection.
pub(crate) struct Unprotected {
    /// What to go back to, if anything was changed.
    score: Option<String>,
}

/// Sees to it that the shim is never killed before the process that it stands beside, as that would kill both: a step
/// further away from it, however far away the process is (`proc_pid_oom_score_adj(5)`).
pub(crate) fn outlive(process: Pid) {
    let read = |path: &str| fs::read_to_string(path).ok()?.trim_end().parse::<i32>().ok();
    let (theirs, ours) = (read(&format!("/proc/{process}/oom_score_adj")), read(SCORE));
    if let Some(score) = theirs.zip(ours).and_then(|(theirs, ours)| below(theirs, ours)) {
        // Without the right to (CAP_SYS_RESOURCE) the shim goes on like any other process.
        let _ = fs::write(SCORE, score.to_string());
    }
}

/// The score that one with `ours` needs to be spared before one with `theirs`; nothing if it is well already.
fn below(theirs: i32, ours: i32) -> Option<i32> {
    (ours >= theirs).then(|| (theirs - 1).max(LOWEST))
}

impl Unprotected {
    /// Gives the protection up for a moment. Where that cannot be done, children have it too, which is no harm to anybody
    /// until memory is short.
    pub(crate) fn begin() -> Self {
        let score = fs::read_to_string(SCORE).ok().filter(|score| score.starts_with('-'));
        Self { score: score.filter(|_| fs::write(SCORE, "0").is_ok()) }
    }
}

impl Drop for Unprotected {
    fn drop(&mut self) {
        if let Some(score) = &self.score {
            // Without the right to (CAP_SYS_RESOURCE) the shim goes on like any other process.
            let _ = fs::write(SCORE, score.trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn of_a_child() -> String {
        let output = Command::new("cat").arg(SCORE).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    #[test]
    fn a_shim_is_spared_before_its_container() {
        let cases = [
            (0, 0, Some(-1)),
            (0, -500, None),
            (-500, 0, Some(-501)),
            (-1000, 0, Some(-1000)),
            (300, 0, None),
        ];
        for (theirs, ours, expected) in cases {
            assert_eq!(below(theirs, ours), expected, "{theirs} {ours}");
        }
    }

    #[test]
    fn a_child_is_not_protected_and_the_shim_is_again() {
        let before = fs::read_to_string(SCORE).unwrap();
        if fs::write(SCORE, "-100").is_err() {
            // Not root.
            return;
        }
        let unprotected = Unprotected::begin();
        assert_eq!(of_a_child(), "0");
        drop(unprotected);
        assert_eq!(of_a_child(), "-100");
        fs::write(SCORE, "100").unwrap();
        // What makes a kill likelier is handed on.
        drop(Unprotected::begin());
        assert_eq!(of_a_child(), "100");
        fs::write(SCORE, before.trim_end()).unwrap();
    }
}
