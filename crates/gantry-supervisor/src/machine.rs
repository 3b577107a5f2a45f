//! What the machine has, for the answer to `State`.

use std::sync::OnceLock;

/// Processors and memory, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Number of processors: lines `cpuN` of `/proc/stat`.
    pub cpus: u32,
    /// `MemTotal` of `/proc/meminfo` in MiB.
    pub memory_mib: u64,
}

/// This machine.
#[must_use]
pub fn machine() -> Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    *MACHINE.get_or_init(|| {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Machine { cpus: cpus(&read("/proc/stat")), memory_mib: memory_mib(&read("/proc/meminfo")) }
    })
}

fn cpus(stat: &str) -> u32 {
    let is_cpu = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    stat.lines().filter(is_cpu).count().try_into().unwrap_or(u32::MAX)
}

fn memory_mib(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_the_kernel_prints() {
        assert_eq!(cpus("cpu  1 2\ncpu0 1\ncpu1 2\nintr 5\n"), 2);
        assert_eq!(memory_mib("MemFree: 1 kB\nMemTotal:       2048000 kB\n"), 2000);
        assert!(machine().cpus > 0 && machine().memory_mib > 0);
    }
}
