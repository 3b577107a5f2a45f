//! Taking away what a runtime has left that was killed before it wrote anything down: cgroups in each hierarchy, also
//! in named ones that no controller belongs to.

use super::{Cgroups, MAX_DEPTH};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::path::{Component, Path};
use std::time::{Duration, Instant};
use tracing::debug;

/// How long all of them are waited for, and how often it is tried: what the killed runtime had begun to make of itself ends
/// when it notices, the kernel lets go of a cgroup a moment later, and of those of version 1 it does not say when.
const LIMIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

impl Cgroups {
    /// Removes the cgroup `path`, as `linux.cgroupsPath` of a bundle names it, and what is below it, wherever it is: some
    /// runtimes take it from the hierarchy's root, others from the cgroup that they are in. One in which a process still
    /// runs stays, as the kernel wants it.
    pub async fn remove_left(&self, path: &Path) {
        // Never the root, and nothing outside of it.
        let Ok(below) = path.strip_prefix("/") else { return };
        if below.as_os_str().is_empty()
            || !below.components().all(|part| matches!(part, Component::Normal(_)))
        {
            return;
        }
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let end = Instant::now() + LIMIT;
        for hierarchy in &self.hierarchies {
            let own = hierarchy.folder_of(&own);
            for parent in [Some(hierarchy.mount.clone()), own].into_iter().flatten() {
                remove_patiently(&parent.join(below), end).await;
            }
        }
    }
}

async fn remove_patiently(folder: &Path, end: Instant) {
    loop {
        match remove(folder, MAX_DEPTH) {
            Err(error)
                if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) && Instant::now() < end =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            Ok(()) => {
                debug!(cgroup = %folder.display(), "removed what a runtime had left");
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            // Most often another container's, which shares it.
            Err(error) => {
                debug!(cgroup = %folder.display(), %error, "a cgroup cannot be removed");
                return;
            }
        }
    }
}

/// Removes a cgroup with those below it: folders only, for its files are the kernel's.
fn remove(folder: &Path, depth: usize) -> io::Result<()> {
    if depth > 0 {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                remove(&entry.path(), depth - 1)?;
            }
        }
    }
    fs::remove_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::super::Hierarchy;
    use super::*;

    fn cgroups(mount: &Path) -> Cgroups {
        let hierarchy = Hierarchy {
            controllers: vec!["name=none".to_owned()],
            root: "/".into(),
            mount: mount.to_owned(),
        };
        Cgroups { hierarchies: vec![hierarchy] }
    }

    #[tokio::test]
    async fn a_cgroup_goes_with_what_is_below_it_and_its_parent_stays() {
        let mount = tempfile::tempdir().unwrap();
        fs::create_dir_all(mount.path().join("a/b/c")).unwrap();
        cgroups(mount.path()).remove_left(Path::new("/a/b")).await;
        assert!(mount.path().join("a").exists() && !mount.path().join("a/b").exists());
    }

    #[tokio::test]
    async fn nothing_outside_of_the_hierarchy_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path().join("mount");
        fs::create_dir_all(&mount).unwrap();
        fs::create_dir_all(folder.path().join("other")).unwrap();
        for path in ["/../other", "/", "other", "/a/../../other"] {
            cgroups(&mount).remove_left(Path::new(path)).await;
        }
        assert!(folder.path().join("other").exists() && mount.exists());
    }
}
