//! The device files and links of `/dev`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, Spec};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::error::{Error, Result, mount as failed};
use crate::init::mounts::{attach, clone_tree};
use crate::init::options::Options;
use crate::rootfs::{Root, clean};

/// The devices that the specification gives every container: name, major, minor.
const DEFAULT: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
/// The links that it gives: target, name.
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

/// A device file to be.
struct Device {
    path: PathBuf,
    kind: FileType,
    mode: u32,
    number: u64,
    owner: (u32, u32),
}

/// Creates what a configuration lists and what every container has. Nothing if `/dev` is the host's.
pub(crate) fn create(spec: &Spec, linux: &Linux, root: &Root) -> Result<()> {
    let dev = Path::new("/dev");
    if spec.mounts().iter().flatten().any(|m| clean(m.destination()) == dev && Options::of(m).bind) {
        return Ok(());
    }
    let directory = root.directory(dev)?;
    let listed: Vec<Device> = linux.devices().iter().flatten().map(Device::listed).collect();
    let defaults = DEFAULT.map(|(name, major, minor)| Device {
        path: dev.join(name),
        kind: FileType::CharacterDevice,
        mode: 0o666,
        number: rustix::fs::makedev(major, minor),
        owner: (0, 0),
    });
    for device in &listed {
        device.create(root, None)?;
    }
    for device in defaults.iter().filter(|default| listed.iter().all(|other| other.path != default.path)) {
        device.create(root, Some(directory.as_fd()))?;
    }
    let link = |target: &str, name: &str| match rustix::fs::symlinkat(target, &directory, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(failed("create the link", dev.join(name))(error)),
    };
    for (target, name) in LINKS {
        link(target, name)?;
    }
    if rustix::fs::access("/proc/kcore", rustix::fs::Access::EXISTS).is_ok() {
        link("/proc/kcore", "core")?;
    }
    match rustix::fs::unlinkat(&directory, "ptmx", AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => link("pts/ptmx", "ptmx"),
        Err(error) => Err(failed("replace", "/dev/ptmx")(error)),
    }
}

impl Device {
    fn listed(device: &LinuxDevice) -> Self {
        let number = |n: i64| u32::try_from(n).unwrap_or_default();
        Self {
            path: clean(device.path()),
            kind: match device.typ() {
                LinuxDeviceType::B => FileType::BlockDevice,
                LinuxDeviceType::P => FileType::Fifo,
                LinuxDeviceType::C | LinuxDeviceType::U | LinuxDeviceType::A => FileType::CharacterDevice,
            },
            mode: device.file_mode().unwrap_or(0o666) & 0o7777,
            number: rustix::fs::makedev(number(device.major()), number(device.minor())),
            owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
        }
    }

    fn create(&self, root: &Root, directory: Option<BorrowedFd<'_>>) -> Result<()> {
        let error = |e: Errno| failed("create device", &self.path)(e);
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Err(error(Errno::INVAL));
        };
        let opened = match directory {
            Some(_) => None,
            None => Some(root.directory(parent)?),
        };
        let Some(parent) = directory.or_else(|| opened.as_ref().map(AsFd::as_fd)) else { return Ok(()) };
        match rustix::fs::mknodat(parent, name, self.kind, Mode::from_raw_mode(self.mode), self.number) {
            Ok(()) if self.owner == (0, 0) => Ok(()),
            Ok(()) => {
                let (uid, gid) = (Uid::from_raw(self.owner.0), Gid::from_raw(self.owner.1));
                rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(error)
            }
            Err(Errno::EXIST) => Ok(()),
            // In a user namespace: the host's own device.
            Err(Errno::PERM) => {
                let tree = clone_tree(CWD, &self.path, false).map_err(failed("open device", &self.path))?;
                let place = root.file(&self.path)?;
                attach(&tree, &place).map_err(failed("mount device", &self.path))
            }
            Err(e) => Err(error(e)),
        }
    }
}

/// Opens the container's `/dev/null`, or fails if it is anything else (CVE-2025-31133).
pub(crate) fn null(root: &Root) -> Result<OwnedFd> {
    let path = Path::new("/dev/null");
    let null = root.find(path, OFlags::NOFOLLOW).map_err(failed("open", path))?;
    let stat = rustix::fs::fstat(&null).map_err(failed("look at", path))?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(1, 3);
    if is_null {
        Ok(null)
    } else {
        Err(Error::MountPoint { path: path.to_owned(), reason: "is not the null device" })
    }
}

/// Standard streams that are the host's `/dev/null` become the container's: the descriptor would lead to the host's
/// file system.
pub(crate) fn reopen_null(root: &Root) -> Result<()> {
    let number = rustix::fs::makedev(1, 3);
    let is_null = |stream: BorrowedFd<'_>| {
        rustix::fs::fstat(stream).is_ok_and(|stat| {
            stat.st_rdev == number && FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        })
    };
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let [stdin, stdout, stderr] = streams.map(is_null);
    if !(stdin || stdout || stderr) {
        return Ok(());
    }
    drop(null(root)?);
    let path = "/dev/null";
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(failed("open", path))?;
    let error = failed("take for a standard stream", path);
    let streams = || {
        if stdin {
            rustix::stdio::dup2_stdin(&opened)?;
        }
        if stdout {
            rustix::stdio::dup2_stdout(&opened)?;
        }
        if stderr {
            rustix::stdio::dup2_stderr(&opened)?;
        }
        Ok::<(), Errno>(())
    };
    streams().map_err(error)
}
