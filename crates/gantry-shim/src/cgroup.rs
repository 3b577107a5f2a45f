//! What a container has used, read from its cgroup (cgroups(7), both versions) after its init has ended and before the
//! runtime removes it.
//!
//! Best effort: a figure that cannot be read is not there. The files are opened at the start, when it is known whose
//! cgroup it is; nothing else is kept.

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;

/// The figures of one cgroup.
#[derive(Default)]
pub(crate) struct Cgroup {
    cpu: Option<Figure>,
    memory: Option<Figure>,
    kills: Option<Figure>,
}

/// A file with one number that matters.
struct Figure {
    file: OwnedFd,
    place: &'static Place,
}

/// Where a figure is.
struct Place {
    /// The controller of a v1 hierarchy; empty for the v2 hierarchy.
    controller: &'static str,
    file: &'static str,
    /// The word before the number, none where it stands alone.
    key: &'static str,
    /// What the number has to be multiplied with.
    factor: u64,
}

/// Nanoseconds of processor time. Where both versions are mounted, v1 is the one with the controllers.
const CPU: &[Place] = &[
    Place { controller: "cpuacct", file: "cpuacct.usage", key: "", factor: 1 },
    Place { controller: "", file: "cpu.stat", key: "usage_usec ", factor: 1000 },
];

/// Peak bytes. `memory.peak` is there since Linux 5.19.
const MEMORY: &[Place] = &[
    Place { controller: "memory", file: "memory.max_usage_in_bytes", key: "", factor: 1 },
    Place { controller: "", file: "memory.peak", key: "", factor: 1 },
];

/// Kills for want of memory, which both versions count since Linux 4.13.
const KILLS: &[Place] = &[
    Place { controller: "memory", file: "memory.oom_control", key: "oom_kill ", factor: 1 },
    Place { controller: "", file: "memory.events", key: "oom_kill ", factor: 1 },
];

impl Cgroup {
    /// The cgroup of a process, unless it is the shim's own too.
    pub(crate) fn of(pid: Pid) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (theirs, ours) = (read(&format!("/proc/{pid}/cgroup")), read("/proc/self/cgroup"));
        let mut wanted = [CPU, MEMORY, KILLS].map(|places| Wanted::first(places, &theirs, &ours));
        let Ok(mounts) = File::open("/proc/self/mountinfo") else { return Self::default() };
        let mut mounts = BufReader::with_capacity(4096, mounts);
        let mut line = String::new();
        // The cgroups are mounted early: with them found, a host's many other mounts need not be listed.
        while wanted.iter().any(Wanted::is_open) && mounts.read_line(&mut line).is_ok_and(|length| length > 0)
        {
            for wanted in &mut wanted {
                wanted.look_at(&line);
            }
            line.clear();
        }
        let [cpu, memory, kills] = wanted.map(|wanted| wanted.found);
        Self { cpu, memory, kills }
    }

    /// The processor time used so far.
    pub(crate) fn cpu_nanos(&self) -> Option<u64> {
        self.cpu.as_ref()?.read()
    }

    /// The most memory that was ever in use.
    pub(crate) fn peak_memory_bytes(&self) -> Option<u64> {
        self.memory.as_ref()?.read()
    }

    /// The processes that the kernel killed for want of memory.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        self.kills.as_ref()?.read()
    }
}

impl Figure {
    fn read(&self) -> Option<u64> {
        // The number that matters stands in one of the first lines: `memory.events` has the longest.
        let mut content = [0_u8; 256];
        let count = rustix::io::pread(&self.file, &mut content, 0).ok()?;
        self.place.parse(content.get(..count)?)
    }
}

impl Place {
    fn parse(&self, content: &[u8]) -> Option<u64> {
        let mut lines = content.split(|byte| *byte == b'\n');
        let number = lines.find_map(|line| line.strip_prefix(self.key.as_bytes()))?;
        std::str::from_utf8(number).ok()?.parse::<u64>().ok()?.checked_mul(self.factor)
    }

    /// The path of a process's cgroup in this hierarchy, by its `/proc/<pid>/cgroup`.
    fn path<'a>(&self, membership: &'a str) -> Option<&'a str> {
        membership.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            controllers.split(',').any(|name| name == self.controller).then_some(path)
        })
    }

    /// Where a cgroup of this hierarchy is, if a line of `/proc/self/mountinfo` is about it.
    fn folder(&self, line: &str, path: &str) -> Option<String> {
        let (mount, source) = line.trim_end().split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        let mut source = source.split(' ');
        let (kind, options) = (source.next()?, source.nth(1)?);
        let is_it = match self.controller {
            "" => kind == "cgroup2",
            controller => kind == "cgroup" && options.split(',').any(|name| name == controller),
        };
        let inside = if root == "/" { path } else { path.strip_prefix(root)? };
        (is_it && (inside.is_empty() || inside.starts_with('/'))).then(|| format!("{point}{inside}"))
    }
}

/// The search for one figure.
struct Wanted<'a> {
    place: Option<(&'static Place, &'a str)>,
    found: Option<Figure>,
}

impl<'a> Wanted<'a> {
    /// In the first place where the process has a cgroup that is neither the shim's nor the root.
    fn first(places: &'static [Place], theirs: &'a str, ours: &str) -> Self {
        let place = places.iter().find_map(|place| {
            let path = place.path(theirs)?;
            (path != "/" && place.path(ours) != Some(path)).then_some((place, path))
        });
        Self { place, found: None }
    }

    fn is_open(&self) -> bool {
        self.place.is_some() && self.found.is_none()
    }

    fn look_at(&mut self, line: &str) {
        let Some((place, path)) = self.place.filter(|_| self.found.is_none()) else { return };
        let Some(folder) = place.folder(line, path) else { return };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(format!("{folder}/{}", place.file), flags, Mode::empty());
        self.found = file.ok().map(|file| Figure { file, place });
    }
}

/// See [`crate::fuzzing`].
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzzing(mountinfo: &str, membership: &str, figures: &[u8]) {
    for place in [CPU, MEMORY, KILLS].into_iter().flatten() {
        let _ = place.parse(figures);
        let Some(path) = place.path(membership) else { continue };
        for line in mountinfo.lines() {
            if let Some(folder) = place.folder(line, path) {
                assert!(line.contains(folder.strip_suffix(path).unwrap_or("")));
            }
        }
        assert!(Wanted::first(std::slice::from_ref(place), membership, membership).place.is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "7:memory:/c\n2:cpu,cpuacct:/c/x\n1:name=systemd:/c\n0::/c\n";
    const UNIFIED: &str = "0::/system.slice/c\n";

    #[test]
    fn v1_is_preferred_and_the_shims_own_cgroup_is_nobodys() {
        let found = |places, theirs, ours| {
            Wanted::first(places, theirs, ours).place.map(|(place, path)| (place.file, path))
        };
        assert_eq!(found(CPU, HYBRID, ""), Some(("cpuacct.usage", "/c/x")));
        assert_eq!(found(MEMORY, HYBRID, "7:memory:/\n"), Some(("memory.max_usage_in_bytes", "/c")));
        assert_eq!(found(CPU, UNIFIED, "0::/\n"), Some(("cpu.stat", "/system.slice/c")));
        assert_eq!(found(CPU, UNIFIED, UNIFIED), None);
        assert_eq!(found(MEMORY, "4:memory:/\n0::/\n", ""), None);
        assert_eq!(found(CPU, "", ""), None);
    }

    #[test]
    fn folders_are_below_the_right_mount() {
        let v1 = "31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n";
        let v2 = "30 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let part = "30 25 0:26 /pod /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        let [cpuacct, cpu_stat] = CPU else { panic!("two places") };
        assert_eq!(cpuacct.folder(v1, "/c").as_deref(), Some("/sys/fs/cgroup/cpu,cpuacct/c"));
        assert_eq!(cpuacct.folder(v2, "/c"), None);
        assert_eq!(cpu_stat.folder(v1, "/c"), None);
        assert_eq!(cpu_stat.folder(v2, "/c").as_deref(), Some("/sys/fs/cgroup/unified/c"));
        assert_eq!(cpu_stat.folder(part, "/pod/c").as_deref(), Some("/sys/fs/cgroup/c"));
        assert_eq!(cpu_stat.folder(part, "/podium"), None);
        assert_eq!(cpu_stat.folder("garbage", "/c"), None);
    }

    #[test]
    fn numbers_are_of_the_unit_that_is_said() {
        let [cpuacct, cpu_stat] = CPU else { panic!("two places") };
        assert_eq!(cpuacct.parse(b"123456\n"), Some(123_456));
        assert_eq!(cpu_stat.parse(b"usage_usec 7\nuser_usec 3\n"), Some(7000));
        assert_eq!(cpu_stat.parse(b"nr_periods 7\n"), None);
        assert_eq!(cpuacct.parse(b""), None);
        let [v1, v2] = KILLS else { panic!("two places") };
        assert_eq!(v1.parse(b"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(v2.parse(b"low 0\nhigh 0\nmax 31\noom 2\noom_kill 1\noom_group_kill 0\n"), Some(1));
    }
}
