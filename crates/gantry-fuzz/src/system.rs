//! What the kernel says. It is no enemy, but names in it are others' to choose: of processes, of mounts, of cgroups.

use crate::{in_folder, two_texts};
use gantry_record::proc::ProcStat;
use std::path::Path;

/// The files of a cgroup of each version that are read.
const V1: &[&str] = &[
    "cpuacct.usage",
    "cpuacct.usage_percpu",
    "cpuacct.stat",
    "cpu.stat",
    "memory.stat",
    "memory.usage_in_bytes",
    "memory.limit_in_bytes",
    "blkio.throttle.io_serviced_recursive",
    "blkio.io_serviced_recursive",
    "hugetlb.2MB.usage_in_bytes",
];
const V2: &[&str] = &[
    "cpu.stat",
    "memory.stat",
    "memory.current",
    "memory.events",
    "memory.max",
    "memory.swap.current",
    "io.stat",
    "hugetlb.2MB.current",
];

pub(crate) fn system(bytes: &[u8]) {
    let (first, second) = two_texts(bytes);
    gantry_container::fuzzing::cgroups(&first, &second);
    gantry_shim::fuzzing::cgroup(&first, &second, bytes);
    gantry_runtime::fuzzing::cgroups(&first);
    if let Ok(text) = std::str::from_utf8(bytes) {
        // Two readers of one file agree on who a process is.
        let of_runtime = gantry_runtime::fuzzing::start_time(text);
        if let (Some(stat), Some(start_time)) = (ProcStat::parse(bytes), of_runtime)
            && !has_odd_blanks(text)
        {
            assert_eq!(stat.start_time, start_time);
        }
    }
    in_folder(|folder| {
        let content = folder.join("content");
        std::fs::write(&content, bytes).unwrap();
        for (version, names) in [("v1", V1), ("v2", V2)] {
            let version = folder.join(version);
            link_all(&version, names, &content);
            gantry_container::fuzzing::stats(&version);
        }
    });
}

/// The kernel puts one blank between fields.
fn has_odd_blanks(stat: &str) -> bool {
    let fields = stat.rsplit_once(')').map_or(stat, |(_, fields)| fields);
    fields.trim_start_matches(' ').contains("  ")
        || !fields.starts_with(' ')
        || fields.contains(['\t', '\n', '\r', '\x0c'])
}

/// Once for each folder: all names lead to one file.
fn link_all(folder: &Path, names: &[&str], content: &Path) {
    if !folder.exists() {
        std::fs::create_dir(folder).unwrap();
        for name in names {
            std::os::unix::fs::symlink(content, folder.join(name)).unwrap();
        }
    }
}
