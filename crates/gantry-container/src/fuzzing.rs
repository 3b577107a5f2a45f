//! What fuzz targets do with this crate's private parsers. Each function takes anything and panics where a promise is broken.

use crate::cgroup;
use std::path::Path;

/// What the kernel says about cgroups and their mounts.
pub fn cgroups(mountinfo: &str, membership: &str) {
    cgroup::fuzzing::folders(mountinfo, membership);
}

/// What stands in the files of a cgroup.
pub fn stats(folder: &Path) {
    cgroup::fuzzing::stats(folder);
}
