//! What one container uses: the few figures of the daemon's many that people ask for.

use gantry_api::types::{BlkioStats, CgroupStats, MemoryStats, StatsResponse};
use serde::Serialize;

use crate::quantity::{HumanBytes, HumanNanos};
use crate::when;

/// What the kernel says for "no limit" is near the largest number, and another one in each version.
const UNLIMITED_FROM: u64 = 1 << 62;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Usage {
    pub(super) id: String,
    /// RFC 3339.
    time: Option<String>,
    /// Of one processor, since the last look; null at the first one.
    cpu_percent: Option<f64>,
    cpu_nanos: u64,
    /// Without files that can be dropped.
    memory_bytes: u64,
    memory_limit_bytes: Option<u64>,
    memory_peak_bytes: Option<u64>,
    pids: u64,
    pids_limit: Option<u64>,
    read_bytes: u64,
    written_bytes: u64,
    /// As the daemon says it.
    stats: StatsResponse,
}

// === impl Usage ===

impl Usage {
    pub(super) fn new(id: String, before: Option<&StatsResponse>, stats: StatsResponse) -> Self {
        let cgroup = stats.cgroup_stats.clone().unwrap_or_default();
        let memory = cgroup.memory_stats.clone().unwrap_or_default();
        let counted = memory.usage.unwrap_or_default();
        let pids = cgroup.pids_stats.unwrap_or_default();
        let blkio = cgroup.blkio_stats.clone().unwrap_or_default();
        Self {
            id,
            time: stats.timestamp.and_then(when::from_wire).map(when::rfc3339),
            cpu_percent: before
                .and_then(|before| cpu_permille(before, &stats))
                .map(|part| f64::from(part) / 10.0),
            cpu_nanos: cpu_nanos(&stats),
            memory_bytes: counted.usage.saturating_sub(droppable(&memory)),
            memory_limit_bytes: (1..UNLIMITED_FROM).contains(&counted.limit).then_some(counted.limit),
            memory_peak_bytes: (counted.max_usage > 0).then_some(counted.max_usage),
            pids: pids.current,
            pids_limit: (pids.limit > 0).then_some(pids.limit),
            read_bytes: block_bytes(&blkio, "read"),
            written_bytes: block_bytes(&blkio, "write"),
            stats,
        }
    }

    pub(super) fn cells(&self) -> [String; 9] {
        let size =
            |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), |bytes| HumanBytes(bytes).to_string());
        [
            self.id.clone(),
            self.cpu_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1} %")),
            HumanNanos(self.cpu_nanos).to_string(),
            size(Some(self.memory_bytes)),
            size(self.memory_limit_bytes),
            size(self.memory_peak_bytes),
            match self.pids_limit {
                Some(limit) => format!("{} of {limit}", self.pids),
                None => self.pids.to_string(),
            },
            size(Some(self.read_bytes)),
            size(Some(self.written_bytes)),
        ]
    }
}

fn cpu_nanos(stats: &StatsResponse) -> u64 {
    let cpu = stats.cgroup_stats.as_ref().and_then(|stats: &CgroupStats| stats.cpu_stats.as_ref());
    cpu.and_then(|cpu| cpu.cpu_usage.as_ref()).map_or(0, |usage| usage.total_usage)
}

/// Processor time between two looks, as thousandths of the time between them.
fn cpu_permille(before: &StatsResponse, now: &StatsResponse) -> Option<u32> {
    let nanos = |stats: &StatsResponse| Some(when::from_wire(stats.timestamp?)?.unix_timestamp_nanos());
    let passed = u128::try_from(nanos(now)? - nanos(before)?).ok().filter(|passed| *passed > 0)?;
    let used = cpu_nanos(now).checked_sub(cpu_nanos(before))?;
    u32::try_from((u128::from(used) * 1_000 + passed / 2) / passed).ok()
}

/// Files that nobody uses, which the kernel drops before it says that memory is short. The names are those of cgroup
/// v1, where only the total counts what is below, and v2.
fn droppable(memory: &MemoryStats) -> u64 {
    let file = ["total_inactive_file", "inactive_file"].iter().find_map(|name| memory.stats.get(*name));
    file.copied().unwrap_or(0)
}

fn block_bytes(blkio: &BlkioStats, operation: &str) -> u64 {
    let entries = blkio.io_service_bytes_recursive.iter();
    entries.filter(|entry| entry.op.eq_ignore_ascii_case(operation)).map(|entry| entry.value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_api::types::{CpuStats, CpuUsage, MemoryData, PidsStats};
    use prost_types::Timestamp;

    fn sample(seconds: i64, cpu: u64) -> StatsResponse {
        let usage =
            MemoryData { usage: 3 << 20, max_usage: 4 << 20, limit: i64::MAX.cast_unsigned(), failcnt: 0 };
        let memory = MemoryStats {
            usage: Some(usage),
            stats: [("inactive_file".into(), 1 << 20)].into(),
            ..Default::default()
        };
        let cpu = CpuUsage { total_usage: cpu, ..CpuUsage::default() };
        StatsResponse {
            cgroup_stats: Some(CgroupStats {
                cpu_stats: Some(CpuStats { cpu_usage: Some(cpu), ..CpuStats::default() }),
                memory_stats: Some(memory),
                pids_stats: Some(PidsStats { current: 3, limit: 10 }),
                ..CgroupStats::default()
            }),
            timestamp: Some(Timestamp { seconds, nanos: 0 }),
            ..StatsResponse::default()
        }
    }

    #[test]
    fn the_figures_that_people_ask_for() {
        let (before, now) = (sample(10, 1_000_000_000), sample(12, 4_000_000_000));
        let cells = Usage::new("web".into(), Some(&before), now).cells();
        let expected = ["web", "150.0 %", "4.00 s", "2.0 MiB", "-", "4.0 MiB", "3 of 10", "0 B", "0 B"];
        assert_eq!(cells, expected);
    }

    #[test]
    fn the_first_look_has_no_share() {
        let now = sample(12, 4);
        assert_eq!(Usage::new("web".into(), None, now.clone()).cells()[1], "-");
        assert_eq!(cpu_permille(&now, &now), None);
        let empty = Usage::new("web".into(), None, StatsResponse::default());
        assert_eq!(empty.cells()[1..], ["-", "0.00 s", "0 B", "-", "-", "0", "0 B", "0 B"]);
    }
}
