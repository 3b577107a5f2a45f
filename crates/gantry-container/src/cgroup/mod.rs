//! Finding a container's cgroup from its init process, on cgroup v1, v2 and the two mixed, and what it says
//! without asking the runtime: one start of a runtime per question is what a thousand containers can't afford.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod oom;
mod remove;
pub mod stats;

pub use oom::{OomCount, OomWatch};
pub use stats::Stats;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    /// Controllers of v1 (`memory`; `name=systemd` for a named one); empty for v2.
    controllers: Vec<String>,
    /// The cgroup that is the mount's root (field 4 of mountinfo).
    root: PathBuf,
    /// Where it is mounted.
    mount: PathBuf,
}

/// The hierarchies of this host, as the daemon sees them.
#[derive(Clone, Debug, Default)]
pub struct Cgroups {
    hierarchies: Vec<Hierarchy>,
}

/// Deeper nesting than any system makes; a bound for the walk.
const MAX_DEPTH: usize = 32;

impl Cgroups {
    /// Reads them from `/proc/self/mountinfo`. Without cgroups there are none, and every question has no answer.
    #[must_use]
    pub fn discover() -> Self {
        Self::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
    }

    fn parse(mountinfo: &str) -> Self {
        Self { hierarchies: mountinfo.lines().filter_map(parse_mount).collect() }
    }

    /// The folder of `pid`'s cgroup in the hierarchy that has `controller` (v1), or in the v2 one.
    #[must_use]
    pub fn folder(&self, pid: i32, controller: &str) -> Option<PathBuf> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        self.folder_in(&text, controller)
    }

    /// `cgroups` is the content of `/proc/<pid>/cgroup`: `number:controllers:path` a line.
    fn folder_in(&self, cgroups: &str, controller: &str) -> Option<PathBuf> {
        let mut unified = None;
        for line in cgroups.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            if controllers.is_empty() {
                unified = Some(path);
            } else if controllers.split(',').any(|c| c == controller) {
                return self.mounted(path, |h| h.controllers.iter().any(|c| c == controller));
            }
        }
        self.mounted(unified?, |h| h.controllers.is_empty())
    }

    fn mounted(&self, path: &str, wanted: impl Fn(&Hierarchy) -> bool) -> Option<PathBuf> {
        let hierarchy = self.hierarchies.iter().find(|h| wanted(h))?;
        let below = Path::new(path).strip_prefix(&hierarchy.root).ok()?;
        // The hierarchy's root belongs to the host, never to one container.
        (!below.as_os_str().is_empty()).then(|| hierarchy.mount.join(below))
    }

    /// The pids in the container of `init`, its own first; `None` when it has no cgroup of its own.
    #[must_use]
    pub fn pids(&self, init: i32) -> Option<Vec<u32>> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let of_init = fs::read_to_string(format!("/proc/{init}/cgroup")).ok()?;
        let folder = ["pids", "freezer", "devices", "memory", "cpu"].iter().find_map(|controller| {
            let folder = self.folder_in(&of_init, controller)?;
            (self.folder_in(&own, controller).as_ref() != Some(&folder)).then_some(folder)
        })?;
        let mut pids = HashSet::new();
        collect_pids(&folder, MAX_DEPTH, &mut pids);
        let mut pids: Vec<u32> = pids.into_iter().collect();
        pids.sort_by_key(|pid| (i64::from(*pid) != i64::from(init), *pid));
        Some(pids)
    }

    /// Whether the container of `init` is frozen (v1 `freezer.state`, v2 `cgroup.freeze`).
    #[must_use]
    pub fn is_frozen(&self, init: i32) -> bool {
        let Some(folder) = self.folder(init, "freezer") else { return false };
        let read = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
        matches!(read("freezer.state").trim(), "FROZEN" | "FREEZING") || read("cgroup.freeze").trim() == "1"
    }
}

// === impl Hierarchy ===

impl Hierarchy {
    /// The folder that `cgroups`, the content of a `/proc/<pid>/cgroup`, names in this hierarchy.
    fn folder_of(&self, cgroups: &str) -> Option<PathBuf> {
        let path = cgroups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let is_this = match controllers {
                "" => self.controllers.is_empty(),
                list => list.split(',').any(|c| self.controllers.iter().any(|own| own == c)),
            };
            is_this.then_some(path)
        })?;
        let below = Path::new(path).strip_prefix(&self.root).ok()?;
        (!below.as_os_str().is_empty()).then(|| self.mount.join(below))
    }
}

fn collect_pids(folder: &Path, depth: usize, pids: &mut HashSet<u32>) {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    if depth == 0 {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            collect_pids(&entry.path(), depth - 1, pids);
        }
    }
}

/// One line of mountinfo (proc_pid_mountinfo(5)): `id parent dev root mount options [optional]... - type source super`.
fn parse_mount(line: &str) -> Option<Hierarchy> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, mount) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let kind = after.next()?;
    let options = after.nth(1).unwrap_or_default();
    let controllers = match kind {
        "cgroup2" => Vec::new(),
        "cgroup" => options.split(',').filter(|o| !matches!(*o, "rw" | "ro")).map(str::to_owned).collect(),
        _ => return None,
    };
    let (root, mount) = (unescape(root), unescape(mount));
    (root.is_absolute() && mount.is_absolute()).then_some(Hierarchy { controllers, root, mount })
}

/// Blanks stand as octal escapes in mountinfo.
fn unescape(path: &str) -> PathBuf {
    if !path.contains('\\') {
        return PathBuf::from(path);
    }
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 25 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
31 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 25 0:29 /outer /sys/fs/cgroup/freezer rw shared:9 - cgroup cgroup rw,freezer
33 25 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
34 25 0:31 / /proc rw - proc proc rw
";

    #[test]
    fn finds_the_folder_in_each_kind_of_hierarchy() {
        let cgroups = Cgroups::parse(HYBRID);
        assert_eq!(cgroups.hierarchies.len(), 4);
        let of = "4:memory:/a/b\n3:cpu,cpuacct:/c\n2:freezer:/outer/d\n0::/e\n";
        let folder = |controller| cgroups.folder_in(of, controller).map(|p| p.display().to_string());
        assert_eq!(folder("memory").as_deref(), Some("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(folder("cpuacct").as_deref(), Some("/sys/fs/cgroup/cpu,cpuacct/c"));
        assert_eq!(folder("freezer").as_deref(), Some("/sys/fs/cgroup/freezer/d"));
        assert_eq!(folder("pids").as_deref(), Some("/sys/fs/cgroup/unified/e"));
        assert_eq!(cgroups.folder_in("4:memory:/\n", "memory"), None);
        assert_eq!(cgroups.folder_in("", "memory"), None);
    }

    #[test]
    fn a_process_beside_us_has_no_cgroup_of_its_own() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(Cgroups::discover().pids(me), None);
    }
}
