//! From a container's figures to the wire's.

use crate::types;
use gantry_container::cgroup::Stats;
use gantry_container::cgroup::stats::{BlkioEntry, MemoryData};
use gantry_supervisor::Timestamp;

/// Every message inside is always there, also when it is all zeros: dockerd reads them without looking.
pub(crate) fn response((timestamp, stats): (Timestamp, Stats)) -> types::StatsResponse {
    let (seconds, nanos) = timestamp.to_parts();
    types::StatsResponse {
        network_stats: Vec::new(),
        cgroup_stats: Some(types::CgroupStats {
            cpu_stats: Some(cpu(&stats)),
            memory_stats: Some(types::MemoryStats {
                cache: stats.memory.cache,
                usage: Some(memory(&stats.memory.usage)),
                swap_usage: Some(memory(&stats.memory.swap)),
                kernel_usage: Some(memory(&stats.memory.kernel)),
                stats: stats.memory.raw.into_iter().collect(),
            }),
            blkio_stats: Some(types::BlkioStats {
                io_service_bytes_recursive: blkio(stats.blkio.service_bytes),
                io_serviced_recursive: blkio(stats.blkio.serviced),
                io_queued_recursive: blkio(stats.blkio.queued),
                io_service_time_recursive: blkio(stats.blkio.service_time),
                io_wait_time_recursive: blkio(stats.blkio.wait_time),
                io_merged_recursive: blkio(stats.blkio.merged),
                io_time_recursive: blkio(stats.blkio.time),
                sectors_recursive: blkio(stats.blkio.sectors),
            }),
            hugetlb_stats: stats.hugetlb.into_iter().map(|(size, data)| (size, hugetlb(&data))).collect(),
            pids_stats: Some(types::PidsStats { current: stats.pids.0, limit: stats.pids.1 }),
        }),
        timestamp: Some(prost_types::Timestamp { seconds, nanos }),
    }
}

fn cpu(stats: &Stats) -> types::CpuStats {
    let cpu = &stats.cpu;
    types::CpuStats {
        cpu_usage: Some(types::CpuUsage {
            total_usage: cpu.total,
            percpu_usage: cpu.per_cpu.clone(),
            usage_in_kernelmode: cpu.kernel,
            usage_in_usermode: cpu.user,
        }),
        throttling_data: Some(types::ThrottlingData {
            periods: cpu.periods,
            throttled_periods: cpu.throttled_periods,
            throttled_time: cpu.throttled_time,
        }),
        system_usage: cpu.system,
    }
}

fn memory(data: &MemoryData) -> types::MemoryData {
    types::MemoryData {
        usage: data.usage,
        max_usage: data.max_usage,
        failcnt: data.failcnt,
        limit: data.limit,
    }
}

fn hugetlb(data: &MemoryData) -> types::HugetlbStats {
    types::HugetlbStats {
        usage: data.usage,
        max_usage: data.max_usage,
        failcnt: data.failcnt,
        limit: data.limit,
    }
}

fn blkio(entries: Vec<BlkioEntry>) -> Vec<types::BlkioStatsEntry> {
    let entry = |BlkioEntry { major, minor, op, value }| types::BlkioStatsEntry { major, minor, op, value };
    entries.into_iter().map(entry).collect()
}
