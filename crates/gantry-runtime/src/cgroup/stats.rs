//! Resource usage of a cgroup, in the form that `runc events` prints.
//!
//! Whatever cannot be read, because a controller is missing or a file is new, counts as zero, as with runc.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::cgroup::Cgroup;

/// All of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Stats {
    cpu: Cpu,
    memory: Memory,
    pids: Pids,
    blkio: BlockIo,
    hugetlb: BTreeMap<String, Counter>,
}

#[derive(Debug, Default, Serialize)]
struct Cpu {
    usage: CpuUsage,
    throttling: Throttling,
}

/// In nanoseconds.
#[derive(Debug, Default, Serialize)]
struct CpuUsage {
    total: u64,
    percpu: Vec<u64>,
    kernel: u64,
    user: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    periods: u64,
    throttled_periods: u64,
    throttled_time: u64,
}

#[derive(Debug, Default, Serialize)]
struct Memory {
    cache: u64,
    usage: Counter,
    swap: Counter,
    kernel: Counter,
    #[serde(rename = "kernelTCP")]
    kernel_tcp: Counter,
    raw: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Serialize)]
struct Counter {
    limit: u64,
    usage: u64,
    max: u64,
    failcnt: u64,
}

#[derive(Debug, Default, Serialize)]
struct Pids {
    current: u64,
    /// Zero for no limit.
    limit: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct BlockIo {
    io_service_bytes_recursive: Vec<BlockIoEntry>,
    io_serviced_recursive: Vec<BlockIoEntry>,
    io_queue_recursive: Vec<BlockIoEntry>,
    io_service_time_recursive: Vec<BlockIoEntry>,
    io_wait_time_recursive: Vec<BlockIoEntry>,
    io_merged_recursive: Vec<BlockIoEntry>,
    io_time_recursive: Vec<BlockIoEntry>,
    sectors_recursive: Vec<BlockIoEntry>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct BlockIoEntry {
    major: u64,
    minor: u64,
    op: String,
    value: u64,
}

/// Nanoseconds in a tick of the user-visible clock, of which there are 100 a second on every architecture in use.
const TICK_NANOSECONDS: u64 = 10_000_000;

impl Cgroup {
    /// Reads the usage now.
    pub(crate) fn stats(&self) -> Stats {
        match self.any_dir() {
            Some(dir) if self.is_v2() => version_2(&dir),
            _ => self.version_1(),
        }
    }

    fn version_1(&self) -> Stats {
        let mut stats = Stats::default();
        if let Some(dir) = self.controller("cpuacct") {
            let ticks = keyed(&dir, "cpuacct.stat");
            let of = |name: &str| ticks.get(name).copied().unwrap_or(0).saturating_mul(TICK_NANOSECONDS);
            stats.cpu.usage = CpuUsage {
                total: number(&dir, "cpuacct.usage"),
                percpu: text(&dir, "cpuacct.usage_percpu").split_whitespace().map(parse).collect(),
                kernel: of("system"),
                user: of("user"),
            };
        }
        if let Some(dir) = self.controller("cpu") {
            stats.cpu.throttling = throttling(&keyed(&dir, "cpu.stat"), "throttled_time", 1);
        }
        if let Some(dir) = self.controller("memory") {
            let raw = keyed(&dir, "memory.stat");
            let counter = |prefix: &str| Counter {
                limit: number(&dir, &format!("{prefix}.limit_in_bytes")),
                usage: number(&dir, &format!("{prefix}.usage_in_bytes")),
                max: number(&dir, &format!("{prefix}.max_usage_in_bytes")),
                failcnt: number(&dir, &format!("{prefix}.failcnt")),
            };
            stats.memory = Memory {
                cache: raw.get("cache").copied().unwrap_or(0),
                usage: counter("memory"),
                swap: counter("memory.memsw"),
                kernel: counter("memory.kmem"),
                kernel_tcp: counter("memory.kmem.tcp"),
                raw,
            };
        }
        if let Some(dir) = self.controller("pids") {
            stats.pids = pids(&dir);
        }
        if let Some(dir) = self.controller("blkio") {
            // Without an I/O scheduler that counts, only the throttle files do.
            let read = |names: [&str; 2]| {
                let found = names.iter().map(|name| block_io(&text(&dir, name))).find(|e| !e.is_empty());
                found.unwrap_or_default()
            };
            stats.blkio = BlockIo {
                io_service_bytes_recursive: read([
                    "blkio.bfq.io_service_bytes_recursive",
                    "blkio.throttle.io_service_bytes_recursive",
                ]),
                io_serviced_recursive: read([
                    "blkio.bfq.io_serviced_recursive",
                    "blkio.throttle.io_serviced_recursive",
                ]),
                io_queue_recursive: read(["blkio.bfq.io_queued_recursive", "blkio.io_queued_recursive"]),
                io_service_time_recursive: read([
                    "blkio.bfq.io_service_time_recursive",
                    "blkio.io_service_time_recursive",
                ]),
                io_wait_time_recursive: read([
                    "blkio.bfq.io_wait_time_recursive",
                    "blkio.io_wait_time_recursive",
                ]),
                io_merged_recursive: read(["blkio.bfq.io_merged_recursive", "blkio.io_merged_recursive"]),
                io_time_recursive: read(["blkio.bfq.time_recursive", "blkio.time_recursive"]),
                sectors_recursive: read(["blkio.bfq.sectors_recursive", "blkio.sectors_recursive"]),
            };
        }
        if let Some(dir) = self.controller("hugetlb") {
            for size in huge_page_sizes(&dir, ".usage_in_bytes") {
                let counter = Counter {
                    limit: 0,
                    usage: number(&dir, &format!("hugetlb.{size}.usage_in_bytes")),
                    max: number(&dir, &format!("hugetlb.{size}.max_usage_in_bytes")),
                    failcnt: number(&dir, &format!("hugetlb.{size}.failcnt")),
                };
                stats.hugetlb.insert(size, counter);
            }
        }
        stats
    }
}

fn version_2(dir: &Path) -> Stats {
    let cpu = keyed(dir, "cpu.stat");
    let microseconds = |name: &str| cpu.get(name).copied().unwrap_or(0).saturating_mul(1000);
    let raw = keyed(dir, "memory.stat");
    let memory_events = keyed(dir, "memory.events");
    let usage = Counter {
        limit: number(dir, "memory.max"),
        usage: number(dir, "memory.current"),
        max: number(dir, "memory.peak"),
        failcnt: memory_events.get("max").copied().unwrap_or(0),
    };
    // As in version 1, swap counts memory and swap together.
    let swap = Counter {
        limit: number(dir, "memory.swap.max").saturating_add(usage.limit),
        usage: number(dir, "memory.swap.current") + usage.usage,
        max: 0,
        failcnt: 0,
    };
    let io = text(dir, "io.stat");
    let mut stats = Stats {
        cpu: Cpu {
            usage: CpuUsage {
                total: microseconds("usage_usec"),
                percpu: Vec::new(),
                kernel: microseconds("system_usec"),
                user: microseconds("user_usec"),
            },
            throttling: throttling(&cpu, "throttled_usec", 1000),
        },
        memory: Memory {
            cache: raw.get("file").copied().unwrap_or(0),
            usage,
            swap,
            raw,
            ..Memory::default()
        },
        pids: pids(dir),
        blkio: BlockIo {
            io_service_bytes_recursive: io_stat(
                &io,
                &[("rbytes", "Read"), ("wbytes", "Write"), ("dbytes", "Discard")],
            ),
            io_serviced_recursive: io_stat(&io, &[("rios", "Read"), ("wios", "Write"), ("dios", "Discard")]),
            ..BlockIo::default()
        },
        hugetlb: BTreeMap::new(),
    };
    for size in huge_page_sizes(dir, ".current") {
        let events = keyed(dir, &format!("hugetlb.{size}.events"));
        let counter = Counter {
            usage: number(dir, &format!("hugetlb.{size}.current")),
            failcnt: events.get("max").copied().unwrap_or(0),
            ..Counter::default()
        };
        stats.hugetlb.insert(size, counter);
    }
    stats
}

fn pids(dir: &Path) -> Pids {
    let limit = text(dir, "pids.max");
    Pids { current: number(dir, "pids.current"), limit: limit.trim().parse().unwrap_or(0) }
}

fn throttling(cpu: &BTreeMap<String, u64>, time: &str, factor: u64) -> Throttling {
    let of = |name: &str| cpu.get(name).copied().unwrap_or(0);
    Throttling {
        periods: of("nr_periods"),
        throttled_periods: of("nr_throttled"),
        throttled_time: of(time).saturating_mul(factor),
    }
}

fn text(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap_or_default()
}

/// A file with one number; `max` stands for the largest.
fn number(dir: &Path, name: &str) -> u64 {
    parse(text(dir, name).trim())
}

fn parse(text: &str) -> u64 {
    if text == "max" { u64::MAX } else { text.parse().unwrap_or(0) }
}

/// A file of lines `name number`.
fn keyed(dir: &Path, name: &str) -> BTreeMap<String, u64> {
    let pairs = |line: &str| line.split_once(' ').map(|(key, value)| (key.to_owned(), parse(value.trim())));
    text(dir, name).lines().filter_map(pairs).collect()
}

/// Lines `8:0 Read 4096` or, without an operation, `8:0 17`.
fn block_io(text: &str) -> Vec<BlockIoEntry> {
    let entry = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (device, op, value) = match fields[..] {
            [device, op, value] => (device, op, value),
            [device, value] => (device, "", value),
            _ => return None,
        };
        let (major, minor) = device.split_once(':')?;
        Some(BlockIoEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            op: op.to_owned(),
            value: value.parse().ok()?,
        })
    };
    text.lines().filter_map(entry).collect()
}

/// Lines `8:0 rbytes=1 wbytes=2 ...` of version 2.
fn io_stat(text: &str, wanted: &[(&str, &str)]) -> Vec<BlockIoEntry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let Some((major, minor)) = fields.next().and_then(|device| device.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            if let Some((_, op)) = wanted.iter().find(|(name, _)| *name == key) {
                entries.push(BlockIoEntry { major, minor, op: (*op).to_owned(), value: parse(value) });
            }
        }
    }
    entries
}

/// The page sizes, such as `2MB`, for which a directory has files.
fn huge_page_sizes(dir: &Path, suffix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let size = |name: &str| {
        let size = name.strip_prefix("hugetlb.")?.strip_suffix(suffix)?;
        (!size.contains('.')).then(|| size.to_owned())
    };
    let mut sizes: Vec<String> =
        entries.filter_map(|entry| size(entry.ok()?.file_name().to_str()?)).collect();
    sizes.sort();
    sizes
}

/// See [`crate::fuzzing`].
#[cfg(feature = "fuzzing")]
pub(super) fn fuzzing(lines: &str) {
    assert!(block_io(lines).len() <= lines.lines().count());
    let wanted = [("rbytes", "Read"), ("wbytes", "Write")];
    assert!(io_stat(lines, &wanted).len() <= lines.matches("bytes=").count());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_io_lines_of_both_versions() {
        let entry = |op: &str, value| BlockIoEntry { major: 8, minor: 0, op: op.to_owned(), value };
        assert_eq!(block_io("8:0 Read 5\n8:0 Write 6\nTotal 11\n"), [entry("Read", 5), entry("Write", 6)]);
        assert_eq!(
            io_stat("8:0 rbytes=5 wbytes=6 rios=1\n", &[("rbytes", "Read"), ("wbytes", "Write")]),
            [entry("Read", 5), entry("Write", 6)]
        );
    }
}
