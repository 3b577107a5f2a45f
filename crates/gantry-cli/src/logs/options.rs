//! How the output of a container in the background is to be kept.

use std::path::Path;

use gantry_record::container_log::LogTarget;

use crate::quantity::Bytes;

/// Less would be nothing but rotations.
const MIN_FILE_BYTES: i64 = 4 << 10;

#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct LogArgs {
    /// With -d: begin a new file of the log before one gets larger
    #[arg(long, value_name = "SIZE", default_value = "10m", requires = "detach", value_parser = parse_size)]
    pub(crate) log_max_size: u64,

    /// With -d: keep so many files of the log, up to 100
    #[arg(long, value_name = "NUMBER", default_value = "3", requires = "detach",
          value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) log_max_files: u8,
}

fn parse_size(text: &str) -> Result<u64, String> {
    let size = text.parse::<Bytes>().map_err(|error| error.to_string())?.get();
    match u64::try_from(size) {
        Ok(bytes) if size >= MIN_FILE_BYTES => Ok(bytes),
        _ => Err("a file of the log has at least 4k".to_owned()),
    }
}

// === impl LogArgs ===

impl LogArgs {
    /// What the shim takes as the path of a stream.
    pub(crate) fn target(self, path: &Path) -> String {
        let Self { log_max_size, log_max_files } = self;
        LogTarget { path: path.to_owned(), max_bytes: Some(log_max_size), max_files: log_max_files }
            .to_string()
    }
}
