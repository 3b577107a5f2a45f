//! The cgroups of one test: one name below each mounted hierarchy, v1, v2 or both (cgroups(7)).

use crate::mounts;
use crate::wait::try_wait_for;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the kernel may take to let go of a cgroup whose last process has just ended.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(5);

/// All folders of the cgroup `name` and of the ones below it, in every hierarchy, parents first.
pub(crate) fn folders(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for mount in mounts::all() {
        if mount.kind == "cgroup" || mount.kind == "cgroup2" {
            // A runtime in a container of its own makes its cgroups below the one that it is in.
            find(&mount.point, name, &mut found);
        }
    }
    found
}

fn find(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
    for child in children(folder) {
        if child.file_name().is_some_and(|file_name| file_name == name) {
            collect(child, found);
        } else {
            find(&child, name, found);
        }
    }
}

fn collect(folder: PathBuf, found: &mut Vec<PathBuf>) {
    let below = children(&folder);
    found.push(folder);
    for child in below {
        collect(child, found);
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    // One that has just been removed has no children.
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect()
}

/// Lets frozen processes run, so that they can be killed.
pub(crate) fn thaw(folders: &[PathBuf]) {
    for folder in folders {
        for (file, value) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            let file = folder.join(file);
            if file.exists() {
                let _ = fs::write(file, value);
            }
        }
    }
}

/// Removes the cgroups, children first. Their processes must have been killed.
pub(crate) fn remove(folders: &[PathBuf]) {
    for folder in folders.iter().rev() {
        let gone = try_wait_for(EMPTY_TIMEOUT, || match fs::remove_dir(folder) {
            Ok(()) => Some(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(()),
            Err(_) => None,
        });
        if gone.is_none() {
            eprintln!("testkit: cannot remove the cgroup {}", folder.display());
        }
    }
}
