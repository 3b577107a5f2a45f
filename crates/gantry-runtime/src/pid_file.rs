//! The file that tells a supervisor the process id: decimal digits, no newline, whole or not there at all.

use gantry_record::failpoint;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use rustix::process::Pid;

use crate::error::{Result, file};

/// Writes the pid to a temporary neighbour and renames it, so that a reader never sees half of it.
pub(crate) fn write(path: &Path, pid: Pid) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}"));
    failpoint::io("runtime::pid-file::create").map_err(|e| file("create pid file", &temporary)(e.into()))?;
    let mut out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&temporary)
        .map_err(file("create pid file", &temporary))?;
    out.write_all(pid.as_raw_nonzero().to_string().as_bytes()).map_err(file("write pid file", &temporary))?;
    failpoint::io("runtime::pid-file::rename").map_err(|e| file("rename pid file to", path)(e.into()))?;
    fs::rename(&temporary, path).map_err(file("rename pid file to", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_number_and_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        write(&path, Pid::from_raw(4711).unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "4711");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
