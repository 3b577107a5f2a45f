//! See [`crate::fuzzing`].

use super::{Cgroups, stats};
use std::path::Path;

pub(crate) fn folders(mountinfo: &str, membership: &str) {
    let cgroups = Cgroups::parse(mountinfo);
    for controller in ["memory", "freezer", "cpuacct", ""] {
        if let Some(folder) = cgroups.folder_in(membership, controller) {
            assert!(cgroups.hierarchies.iter().any(|hierarchy| folder.starts_with(&hierarchy.mount)));
        }
    }
}

pub(crate) fn stats(folder: &Path) {
    let stats = stats::all_of(folder);
    let memory = &stats.memory;
    assert!(
        memory.usage.usage <= memory.swap.usage
            || memory.swap.usage == 0
            || folder.join("memory.memsw.usage_in_bytes").exists()
    );
}
