//! What fuzz targets do with this crate's private parsers. Each function takes anything and panics where a promise is broken.

use crate::{cgroup, contract, logging, runtime};

/// What comes by the `control` FIFO, in reads of any size.
pub fn control(bytes: &[u8]) {
    contract::fuzzing::control(bytes);
}

/// What a process writes to a stream that is logged: no byte is lost, doubled or changed.
pub fn output(bytes: &[u8], limit: usize) {
    logging::fuzzing::output(bytes, limit);
}

/// What the kernel says of a cgroup.
pub fn cgroup(mountinfo: &str, membership: &str, figures: &[u8]) {
    cgroup::fuzzing(mountinfo, membership, figures);
}

/// What a runtime prints as a container's state.
pub fn runtime_state(text: &str) {
    runtime::fuzzing(text);
}
