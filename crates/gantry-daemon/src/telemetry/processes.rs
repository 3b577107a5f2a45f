//! What the kernel says about the daemon and its shims: proc(5).

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest name of a process that the kernel keeps.
const NAME_BYTES: usize = 15;

/// The daemon itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    pub pss_bytes: u64,
    pub resident_bytes: u64,
    pub open_fds: usize,
    pub max_fds: u64,
    pub threads: u64,
    pub cpu_seconds: f64,
}

/// Shims, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shims {
    pub bytes: u64,
    pub measured: usize,
}

/// What the daemon uses.
pub(super) fn own() -> Own {
    let status = read("/proc/self/status");
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Own {
        pss_bytes: kilobytes(&read("/proc/self/smaps_rollup"), "Pss:"),
        resident_bytes: kilobytes(&status, "VmRSS:"),
        open_fds: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        max_fds: limit.unwrap_or(u64::MAX),
        threads: value(&status, "Threads:"),
        cpu_seconds: Duration::try_from(time).unwrap_or_default().as_secs_f64(),
    }
}

/// Looks at the shims of these processes, as many as it can within `limit`. A shim is the parent of its process and
/// has the shim's name; a process whose shim has died has another parent.
pub(super) fn shims(pids: impl Iterator<Item = i32>, name: &str, limit: Duration) -> Shims {
    let end = Instant::now() + limit;
    let mut seen = HashSet::new();
    let mut shims = Shims::default();
    for pid in pids {
        let parent = value(&read(format!("/proc/{pid}/status")), "PPid:");
        if !seen.insert(parent) || read(format!("/proc/{parent}/comm")).trim_end() != name {
            continue;
        }
        shims.bytes += kilobytes(&read(format!("/proc/{parent}/smaps_rollup")), "Pss:");
        shims.measured += 1;
        if Instant::now() >= end {
            break;
        }
    }
    shims
}

/// What the kernel calls a process of this program.
pub(super) fn name_of(program: &Path) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let end = (0..=NAME_BYTES.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    name[..end.unwrap_or(0)].to_owned()
}

/// What cannot be read, because the process has just ended, is empty.
fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn kilobytes(text: &str, name: &str) -> u64 {
    value(text, name) * 1024
}

fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_prints() {
        assert_eq!(kilobytes("Rss: 7 kB\nPss:   512 kB\nPss_Anon: 1 kB\n", "Pss:"), 512 * 1024);
        let own = own();
        assert!(own.pss_bytes > 0 && own.resident_bytes > 0 && own.open_fds > 2 && own.threads > 0);
    }

    #[test]
    fn a_shim_is_the_parent_with_the_right_name() {
        let child = std::process::Command::new("sleep").arg("60").spawn();
        let mut child = child.unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let me = read("/proc/self/comm");
        let found = shims([pid, pid].into_iter(), me.trim_end(), Duration::from_secs(1));
        let strange = shims([pid].into_iter(), "gantry-shim", Duration::from_secs(1));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.measured, 1);
        assert!(found.bytes > 0);
        assert_eq!(strange, Shims::default());
    }

    #[test]
    fn names_are_cut_as_the_kernel_cuts_them() {
        assert_eq!(name_of(Path::new("/usr/bin/docker-containerd-shim")), "docker-containe");
        assert_eq!(name_of(Path::new("shim")), "shim");
    }
}
