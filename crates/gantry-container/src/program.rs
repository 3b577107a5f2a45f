//! Which file a program's name or path leads to.

use std::fs::{self, Metadata};
use std::path::PathBuf;

/// The file that is executed for `program`, and what it is now: a path as it stands, a name as `PATH` finds it. Nothing where
/// there is no file.
pub(crate) fn find(program: &str) -> Option<(PathBuf, Metadata)> {
    let at = |path: PathBuf| {
        let file = fs::metadata(&path).ok().filter(Metadata::is_file)?;
        Some((path, file))
    };
    if program.contains('/') {
        return at(PathBuf::from(program));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find_map(|folder| at(folder.join(program)))
}
