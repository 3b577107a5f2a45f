//! What a container has used, read from its cgroup files (kernel documentation: cgroup-v1/ and cgroup-v2.rst).
//!
//! 0.2 asked its runtime, one process a question, and only runc could answer. The figures are the ones that runc
//! reports, v2 mapped to v1's names as runc maps them. A file that is not there (a controller that is off, a
//! kernel without swap accounting) leaves zeros.

use super::Cgroups;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Nanoseconds of one clock tick of `/proc/stat` and `cpuacct.stat`: `USER_HZ` is 100 on every Linux platform.
const TICK_NANOS: u64 = 10_000_000;

/// Everything about one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Block devices.
    pub blkio: BlkioStats,
    /// Huge pages by their size, such as `2MB`.
    pub hugetlb: BTreeMap<String, MemoryData>,
    /// Processes that there are, and may be (0: no limit).
    pub pids: (u64, u64),
}

/// Processor time in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// All of it.
    pub total: u64,
    /// On each processor; empty on v2.
    pub per_cpu: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// Outside of it.
    pub user: u64,
    /// Enforcement periods that have passed.
    pub periods: u64,
    /// Those in which the quota ran out.
    pub throttled_periods: u64,
    /// For how long in all, in nanoseconds.
    pub throttled_time: u64,
    /// What the whole machine has spent.
    pub system: u64,
}

/// One memory counter in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryData {
    /// Now.
    pub usage: u64,
    /// The most there ever was.
    pub max_usage: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
    /// The limit; `u64::MAX` for none on v2, what the kernel says on v1.
    pub limit: u64,
}

/// Memory in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Page cache.
    pub cache: u64,
    /// All of it.
    pub usage: MemoryData,
    /// With swap.
    pub swap: MemoryData,
    /// The kernel's own for this container.
    pub kernel: MemoryData,
    /// `memory.stat` as it stands.
    pub raw: BTreeMap<String, u64>,
}

/// One figure of one block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlkioEntry {
    /// The device.
    pub major: u64,
    /// The device.
    pub minor: u64,
    /// `Read`, `Write`, ...; empty where there is only one.
    pub op: String,
    /// The figure.
    pub value: u64,
}

/// Block devices, by what is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlkioStats {
    /// Bytes.
    pub service_bytes: Vec<BlkioEntry>,
    /// Requests.
    pub serviced: Vec<BlkioEntry>,
    /// Requests that wait.
    pub queued: Vec<BlkioEntry>,
    /// Nanoseconds.
    pub service_time: Vec<BlkioEntry>,
    /// Nanoseconds.
    pub wait_time: Vec<BlkioEntry>,
    /// Requests.
    pub merged: Vec<BlkioEntry>,
    /// Milliseconds.
    pub time: Vec<BlkioEntry>,
    /// Sectors.
    pub sectors: Vec<BlkioEntry>,
}

impl Cgroups {
    /// What the container of `init` has used; `None` when it has no cgroup.
    #[must_use]
    pub fn stats(&self, init: i32) -> Option<Stats> {
        let of_init = fs::read_to_string(format!("/proc/{init}/cgroup")).ok()?;
        let controllers = ["cpu", "cpuacct", "memory", "pids", "blkio", "hugetlb"];
        let folders = controllers.map(|controller| self.folder_in(&of_init, controller).map(Files));
        if folders.iter().all(Option::is_none) {
            return None;
        }
        let [cpu, cpuacct, memory, pids, blkio, hugetlb] = folders;
        let mut stats = Stats::default();
        stats.cpu.system = system_cpu();
        if let Some(files) = cpuacct.or_else(|| cpu.clone()) {
            files.cpu_usage(&mut stats.cpu);
        }
        if let Some(files) = cpu {
            files.cpu_throttling(&mut stats.cpu);
        }
        if let Some(files) = memory {
            files.memory(&mut stats.memory);
        }
        if let Some(files) = pids {
            stats.pids = (files.number("pids.current"), files.limit("pids.max").unwrap_or(0));
        }
        if let Some(files) = blkio {
            files.blkio(&mut stats.blkio);
        }
        if let Some(files) = hugetlb {
            stats.hugetlb = files.hugetlb();
        }
        Some(stats)
    }
}

/// The first seven numbers of the line `cpu` of `/proc/stat`, in nanoseconds.
fn system_cpu() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks = line.split_whitespace().take(7).filter_map(|number| number.parse::<u64>().ok());
    ticks.sum::<u64>().saturating_mul(TICK_NANOS)
}

/// The files of one cgroup folder.
#[derive(Clone, Debug)]
struct Files(PathBuf);

impl Files {
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }

    fn has(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).trim().parse().unwrap_or(0)
    }

    /// A number, or `None` for `max` and for a file that is not there.
    fn limit(&self, name: &str) -> Option<u64> {
        self.text(name).trim().parse().ok()
    }

    /// A file of `key value` lines.
    fn map(&self, name: &str) -> BTreeMap<String, u64> {
        let text = self.text(name);
        let pair = |line: &str| {
            let (key, value) = line.split_once(' ')?;
            Some((key.to_owned(), value.trim().parse().ok()?))
        };
        text.lines().filter_map(pair).collect()
    }

    fn cpu_usage(&self, cpu: &mut CpuStats) {
        if self.has("cpuacct.usage") {
            cpu.total = self.number("cpuacct.usage");
            let per_cpu = self.text("cpuacct.usage_percpu");
            cpu.per_cpu = per_cpu.split_whitespace().filter_map(|n| n.parse().ok()).collect();
            let split = self.map("cpuacct.stat");
            let ticks = |key| split.get(key).copied().unwrap_or(0).saturating_mul(TICK_NANOS);
            (cpu.user, cpu.kernel) = (ticks("user"), ticks("system"));
        } else {
            let stat = self.map("cpu.stat");
            let micros = |key| stat.get(key).copied().unwrap_or(0).saturating_mul(1000);
            cpu.total = micros("usage_usec");
            (cpu.user, cpu.kernel) = (micros("user_usec"), micros("system_usec"));
        }
    }

    fn cpu_throttling(&self, cpu: &mut CpuStats) {
        let stat = self.map("cpu.stat");
        let value = |key: &str| stat.get(key).copied().unwrap_or(0);
        cpu.periods = value("nr_periods");
        cpu.throttled_periods = value("nr_throttled");
        // Nanoseconds on v1, microseconds on v2.
        cpu.throttled_time = value("throttled_time").max(value("throttled_usec").saturating_mul(1000));
    }

    fn memory(&self, memory: &mut MemoryStats) {
        memory.raw = self.map("memory.stat");
        let raw = |key: &str| memory.raw.get(key).copied().unwrap_or(0);
        if self.has("memory.usage_in_bytes") {
            memory.cache = raw("cache");
            memory.usage = self.v1_memory_data("memory");
            memory.swap = self.v1_memory_data("memory.memsw");
            memory.kernel = self.v1_memory_data("memory.kmem");
            return;
        }
        memory.cache = raw("file");
        memory.kernel.usage = raw("kernel_stack").saturating_add(raw("slab"));
        let events = self.map("memory.events");
        memory.usage = MemoryData {
            usage: self.number("memory.current"),
            max_usage: self.number("memory.peak"),
            failcnt: events.get("max").copied().unwrap_or(0),
            limit: self.limit("memory.max").unwrap_or(u64::MAX),
        };
        if self.has("memory.swap.current") {
            // v1 counts memory and swap together.
            let usage = self.number("memory.swap.current").saturating_add(memory.usage.usage);
            let limit =
                self.limit("memory.swap.max").map_or(u64::MAX, |l| l.saturating_add(memory.usage.limit));
            memory.swap = MemoryData { usage, limit, ..MemoryData::default() };
        }
    }

    fn v1_memory_data(&self, prefix: &str) -> MemoryData {
        MemoryData {
            usage: self.number(&format!("{prefix}.usage_in_bytes")),
            max_usage: self.number(&format!("{prefix}.max_usage_in_bytes")),
            failcnt: self.number(&format!("{prefix}.failcnt")),
            limit: self.number(&format!("{prefix}.limit_in_bytes")),
        }
    }

    fn blkio(&self, blkio: &mut BlkioStats) {
        if self.has("io.stat") {
            self.io_stat(blkio);
            return;
        }
        // The scheduler's own figures where it keeps any, else what throttling counts.
        let filled = |name: &str| !v1_entries(&self.text(name)).is_empty();
        let prefix =
            ["blkio", "blkio.bfq"].into_iter().find(|p| filled(&format!("{p}.io_serviced_recursive")));
        let Some(prefix) = prefix else {
            blkio.service_bytes = v1_entries(&self.text("blkio.throttle.io_service_bytes_recursive"));
            blkio.serviced = v1_entries(&self.text("blkio.throttle.io_serviced_recursive"));
            return;
        };
        let read = |name: &str| v1_entries(&self.text(&format!("{prefix}.{name}_recursive")));
        blkio.service_bytes = read("io_service_bytes");
        blkio.serviced = read("io_serviced");
        blkio.queued = read("io_queued");
        blkio.service_time = read("io_service_time");
        blkio.wait_time = read("io_wait_time");
        blkio.merged = read("io_merged");
        blkio.time = read("time");
        blkio.sectors = read("sectors");
    }

    /// v2: `major:minor rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6` a line.
    fn io_stat(&self, blkio: &mut BlkioStats) {
        for line in self.text("io.stat").lines() {
            let mut words = line.split_whitespace();
            let Some((major, minor)) = words.next().and_then(device) else { continue };
            for (key, value) in words.filter_map(|word| word.split_once('=')) {
                let (op, list) = match key {
                    "rbytes" => ("Read", &mut blkio.service_bytes),
                    "wbytes" => ("Write", &mut blkio.service_bytes),
                    "rios" => ("Read", &mut blkio.serviced),
                    "wios" => ("Write", &mut blkio.serviced),
                    _ => continue,
                };
                let value = value.parse().unwrap_or(0);
                list.push(BlkioEntry { major, minor, op: op.to_owned(), value });
            }
        }
    }

    fn hugetlb(&self) -> BTreeMap<String, MemoryData> {
        let mut sizes = BTreeMap::new();
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_prefix("hugetlb.")) else { continue };
            if let Some(size) = name.strip_suffix(".usage_in_bytes").filter(|size| !size.contains('.')) {
                let data = self.v1_memory_data(&format!("hugetlb.{size}"));
                let failcnt = self.number(&format!("hugetlb.{size}.failcnt"));
                sizes.insert(size.to_owned(), MemoryData { failcnt, ..data });
            } else if let Some(size) = name.strip_suffix(".current").filter(|size| !size.contains('.')) {
                let usage = self.number(&format!("hugetlb.{size}.current"));
                let limit = self.limit(&format!("hugetlb.{size}.max")).unwrap_or(u64::MAX);
                let failcnt = self.map(&format!("hugetlb.{size}.events")).get("max").copied().unwrap_or(0);
                sizes.insert(size.to_owned(), MemoryData { usage, limit, failcnt, max_usage: 0 });
            }
        }
        sizes
    }
}

fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// v1: `major:minor Op value` or `major:minor value` a line, and a total that belongs to no device.
fn v1_entries(text: &str) -> Vec<BlkioEntry> {
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (major, minor) = device(words.first()?)?;
        let (op, value) = match words[1..] {
            [op, value] => (op, value),
            [value] => ("", value),
            _ => return None,
        };
        Some(BlkioEntry { major, minor, op: op.to_owned(), value: value.parse().ok()? })
    };
    text.lines().filter_map(entry).collect()
}

/// Reads all there is in `folder`, see [`crate::fuzzing`].
#[cfg(feature = "fuzzing")]
pub(super) fn all_of(folder: &Path) -> Stats {
    let files = Files(folder.to_owned());
    let mut stats = Stats { hugetlb: files.hugetlb(), ..Stats::default() };
    files.cpu_usage(&mut stats.cpu);
    files.cpu_throttling(&mut stats.cpu);
    files.memory(&mut stats.memory);
    files.blkio(&mut stats.blkio);
    stats
}

/// Whether the memory cgroup in `folder` is v2's.
pub(super) fn is_v2_memory(folder: &Path) -> bool {
    folder.join("memory.events").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(contents: &[(&str, &str)]) -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in contents {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let files = Files(folder.path().to_owned());
        (folder, files)
    }

    #[test]
    fn v1_files_become_figures() {
        let (_folder, files) = files(&[
            ("cpuacct.usage", "5000\n"),
            ("cpuacct.usage_percpu", "2000 3000 \n"),
            ("cpuacct.stat", "user 2\nsystem 1\n"),
            ("cpu.stat", "nr_periods 4\nnr_throttled 3\nthrottled_time 77\n"),
            ("memory.stat", "cache 4096\nrss 8192\n"),
            ("memory.usage_in_bytes", "12288\n"),
            ("memory.limit_in_bytes", "65536\n"),
            ("memory.failcnt", "2\n"),
            ("blkio.throttle.io_service_bytes_recursive", "8:0 Read 10\n8:0 Total 10\nTotal 10\n"),
            ("hugetlb.2MB.usage_in_bytes", "2097152\n"),
            ("hugetlb.2MB.rsvd.usage_in_bytes", "1\n"),
        ]);
        let mut stats = Stats::default();
        files.cpu_usage(&mut stats.cpu);
        files.cpu_throttling(&mut stats.cpu);
        files.memory(&mut stats.memory);
        files.blkio(&mut stats.blkio);
        assert_eq!((stats.cpu.total, stats.cpu.per_cpu.len(), stats.cpu.user), (5000, 2, 20_000_000));
        assert_eq!((stats.cpu.throttled_periods, stats.cpu.throttled_time), (3, 77));
        assert_eq!(
            (stats.memory.cache, stats.memory.usage.limit, stats.memory.usage.failcnt),
            (4096, 65536, 2)
        );
        assert_eq!(stats.blkio.service_bytes.len(), 2);
        assert_eq!(files.hugetlb().keys().collect::<Vec<_>>(), ["2MB"]);
    }

    #[test]
    fn v2_files_become_the_same_figures() {
        let (_folder, files) = files(&[
            ("cpu.stat", "usage_usec 5\nuser_usec 2\nsystem_usec 3\nnr_throttled 1\nthrottled_usec 4\n"),
            ("memory.stat", "file 4096\nslab 1\nkernel_stack 2\n"),
            ("memory.current", "12288\n"),
            ("memory.max", "max\n"),
            ("memory.events", "low 0\nmax 6\noom_kill 1\n"),
            ("memory.swap.current", "100\n"),
            ("memory.swap.max", "max\n"),
            ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"),
        ]);
        let mut stats = Stats::default();
        files.cpu_usage(&mut stats.cpu);
        files.cpu_throttling(&mut stats.cpu);
        files.memory(&mut stats.memory);
        files.blkio(&mut stats.blkio);
        assert_eq!((stats.cpu.total, stats.cpu.user, stats.cpu.throttled_time), (5000, 2000, 4000));
        assert_eq!(
            (stats.memory.cache, stats.memory.usage.failcnt, stats.memory.usage.limit),
            (4096, 6, u64::MAX)
        );
        assert_eq!((stats.memory.swap.usage, stats.memory.kernel.usage), (12388, 3));
        assert_eq!((stats.blkio.service_bytes.len(), stats.blkio.serviced[1].value), (2, 4));
    }

    #[test]
    fn missing_files_are_zeros() {
        let (_folder, files) = files(&[]);
        let mut stats = Stats::default();
        files.cpu_usage(&mut stats.cpu);
        files.blkio(&mut stats.blkio);
        assert_eq!(stats, Stats::default());
    }
}
