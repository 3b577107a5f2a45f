//! Which cgroup hierarchies are mounted, and the directories in one of them.
//!
//! For version 1 the answer stands in `/proc/self/mountinfo` (proc_pid_mountinfo(5)): a mount of type `cgroup` for each
//! hierarchy, whose super options name its controllers, such as `rw,cpu,cpuacct` or `rw,xattr,name=systemd`.

use gantry_record::failpoint;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cgroup::{step, write};
use crate::error::{Error, Result, file};

const ROOT: &str = "/sys/fs/cgroup";
const MOUNTINFO: &str = "/proc/self/mountinfo";
/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// What is mounted.
pub(crate) enum Layout {
    /// Version 1, also of a hybrid system. Never empty.
    V1(Vec<Hierarchy>),
    /// Version 2.
    V2(Hierarchy),
}

impl Layout {
    /// Looks at this machine.
    pub(crate) fn detect() -> Result<Self> {
        if let Ok(stat) = rustix::fs::statfs(ROOT)
            && u64::try_from(stat.f_type).is_ok_and(|magic| magic == CGROUP2_MAGIC)
        {
            return Ok(Self::V2(Hierarchy { mount_point: ROOT.into(), controllers: Vec::new() }));
        }
        let mounts = fs::read_to_string(MOUNTINFO).map_err(file("read", MOUNTINFO))?;
        let hierarchies = parse(&mounts);
        if hierarchies.is_empty() { Err(Error::NoCgroups) } else { Ok(Self::V1(hierarchies)) }
    }

    /// Every hierarchy in which a container has a directory.
    pub(crate) fn hierarchies(&self) -> &[Hierarchy] {
        match self {
            Self::V1(hierarchies) => hierarchies,
            Self::V2(hierarchy) => std::slice::from_ref(hierarchy),
        }
    }
}

/// One mounted hierarchy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    mount_point: PathBuf,
    /// Of version 1, and `name=...` for one without controllers. Empty for version 2.
    controllers: Vec<String>,
}

impl Hierarchy {
    /// Where it is mounted.
    pub(crate) fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// Its controllers of version 1, or `name=...`.
    pub(crate) fn controllers(&self) -> &[String] {
        &self.controllers
    }

    /// The directory of a cgroup.
    pub(crate) fn dir(&self, path: &Path) -> PathBuf {
        self.mount_point.join(path)
    }

    /// Whether this is the hierarchy of a controller.
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    /// Creates a cgroup with its parents.
    pub(crate) fn create(&self, path: &Path) -> Result<()> {
        let mut dir = self.mount_point.clone();
        let mut components = path.iter().peekable();
        while let Some(component) = components.next() {
            if self.controllers.is_empty() {
                enable_controllers(&dir)?;
            }
            dir.push(component);
            failpoint::io("runtime::cgroup::make").map_err(|e| step("create", &dir)(e.into()))?;
            let is_new = match fs::create_dir(&dir) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                Err(error) => return Err(step("create", &dir)(error)),
            };
            if self.has("cpuset") {
                inherit_cpuset(&dir)?;
                if is_new && components.peek().is_some() {
                    // What is made below gets its processors from the kernel, in a tenth of the time. A kernel that
                    // does not know how is no failure.
                    let _ = write(&dir.join("cgroup.clone_children"), "1");
                }
            }
        }
        Ok(())
    }
}

/// Version 2: lets the children of a directory have every controller that it has. One that cannot be passed on is
/// missing below, and shows when a limit needs it.
fn enable_controllers(dir: &Path) -> Result<()> {
    let available = dir.join("cgroup.controllers");
    let available = fs::read_to_string(&available).map_err(step("read controllers of", available))?;
    let control = dir.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&control).map_err(step("read controllers of", &control))?;
    for controller in available.split_whitespace() {
        if !enabled.split_whitespace().any(|e| e == controller) {
            let _ = write(&control, &format!("+{controller}"));
        }
    }
    Ok(())
}

/// Version 1: a new cpuset has no processors and takes no process until it gets its parent's.
fn inherit_cpuset(dir: &Path) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let own = dir.join(name);
        let value = fs::read_to_string(&own).map_err(step("read", &own))?;
        if value.trim().is_empty() {
            let parent = dir.parent().unwrap_or(dir).join(name);
            let value = fs::read_to_string(&parent).map_err(step("read", parent))?;
            write(&own, value.trim()).map_err(step("set processors of", own))?;
        }
    }
    Ok(())
}

/// The hierarchies of version 1 in mountinfo, each once.
pub(super) fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        // Fields before the separator: id, parent, device, root, mount point, ...; after it: type, source, options.
        let Some((mount, kind)) = line.split_once(" - ") else { continue };
        let mut kind = kind.split(' ');
        let (Some("cgroup"), Some(_), Some(options)) = (kind.next(), kind.next(), kind.next()) else {
            continue;
        };
        let Some(mount_point) = mount.split(' ').nth(4) else { continue };
        let controllers: Vec<String> = options
            .split(',')
            .filter(|o| {
                !matches!(
                    *o,
                    "rw" | "ro" | "xattr" | "clone_children" | "noprefix" | "none" | "cpuset_v2_mode"
                ) && !o.starts_with("release_agent=")
            })
            .map(str::to_owned)
            .collect();
        if !controllers.is_empty() && !found.iter().any(|h| h.controllers == controllers) {
            found.push(Hierarchy { mount_point: mount_point.into(), controllers });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_hierarchies_are_read_once_each() {
        let text = "\
25 1 0:22 / /proc rw - proc proc rw
30 24 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
31 24 0:27 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,release_agent=/x,name=systemd
32 24 0:26 / /mnt/again rw - cgroup cgroup rw,cpu,cpuacct
33 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
        let found = parse(text);
        assert_eq!(found.len(), 2);
        assert!(found[0].has("cpu") && found[0].has("cpuacct") && !found[0].has("memory"));
        assert_eq!(found[0].dir(Path::new("a/b")), Path::new("/sys/fs/cgroup/cpu,cpuacct/a/b"));
        assert!(found[1].has("name=systemd"));
    }
}
