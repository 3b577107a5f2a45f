//! Stand-ins for programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Makes a program of a shell script. One of that name that still runs keeps its old file.
pub(crate) fn install(folder: &Path, name: &str, script: &str) -> PathBuf {
    let program = folder.join(name);
    let _ = fs::remove_file(&program);
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}
