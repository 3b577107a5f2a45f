//! Reading the output of a container that runs in the background.
//!
//! The shim writes it to one file as records, a time and a stream each, and begins a new file when that is large
//! ([`gantry_record::container_log`]). [`files`] finds the lines across such rotations, [`printer`] makes of them what was
//! written, [`watch`] tells when there is more; [`plain`] is for shims that know no records, [`options`] for who starts.

pub(crate) mod files;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(crate) mod options;
pub(crate) mod plain;
pub(crate) mod printer;
pub(crate) mod watch;
