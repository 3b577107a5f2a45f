//! The root filesystem of `gantry run` without `--rootfs` and `--bundle`: enough to see a container work.
//!
//! It is made of the machine's static busybox if there is one, else of `gantry-demo`, a tiny program of ours that is
//! installed beside this one. Each container gets a copy: nothing is shared, nothing is downloaded.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;

/// What runs when the user names no command.
pub(crate) const GREETING: &str = "hello";
pub(crate) const SHELL: &str = "sh";

/// Where distributions put busybox.
const BUSYBOX: [&str; 3] = ["/bin/busybox", "/usr/bin/busybox", "/usr/lib/busybox/busybox-static"];

/// The name of our own program, and what it can be called by.
const DEMO: &str = "gantry-demo";
const DEMO_APPLETS: [&str; 9] = ["cat", "echo", "env", "false", "hello", "id", "sleep", "true", "uname"];

const DIRS: [(&str, u32); 12] = [
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
    ("usr/bin", 0o755),
];

const FILES: [(&str, &str); 4] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    ("etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n"),
    ("etc/os-release", "NAME=\"Gantry demo\"\nID=gantry-demo\nPRETTY_NAME=\"Gantry demo root\"\n"),
];

/// `gantry-demo hello` for a root made of busybox; both say the same.
const HELLO_SCRIPT: &str = r#"#!/bin/sh
echo "Hello from a container that Gantry started."
echo
echo "  container  $(hostname)"
echo "  kernel     $(uname -sr), shared with the host"
echo "  process 1  $(tr '\0' ' ' < /proc/1/cmdline)"
echo
echo "What to try next:"
echo "  gantry run --rm -it                a shell in a container"
echo "  gantry run -d --name one sleep 60  one in the background"
echo "  gantry ps                          what runs"
echo "  gantry exec one ps                 a command in it"
echo "  gantry rm -f one                   end it"
"#;

/// What the root is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Busybox(PathBuf),
    Demo(PathBuf),
}

// === impl Source ===

impl Source {
    /// The best that this machine has.
    pub(crate) fn find() -> Result<Self, Error> {
        if let Some(path) = BUSYBOX.iter().map(Path::new).find(|path| is_static_elf(path).unwrap_or(false)) {
            return Ok(Self::Busybox(path.to_owned()));
        }
        let beside = std::env::current_exe().ok().map(|path| path.with_file_name(DEMO));
        match beside {
            Some(path) if is_static_elf(&path).unwrap_or(false) => Ok(Self::Demo(path)),
            _ => Err(Error::impossible(
                format!("cannot make a demo root: there is neither a static busybox nor {DEMO}"),
                "install busybox-static, or bring a root with --rootfs DIR or a bundle with --bundle DIR",
            )),
        }
    }

    /// What to run when the user names no command.
    pub(crate) fn default_command(&self, interactive: bool) -> Result<Vec<String>, Error> {
        match (self, interactive) {
            (_, false) => Ok(vec![GREETING.to_owned()]),
            (Self::Busybox(_), true) => Ok(vec![SHELL.to_owned()]),
            (Self::Demo(_), true) => Err(Error::impossible(
                "cannot start a shell: the demo root of this machine has none",
                format!("install busybox-static, or name one of {}", DEMO_APPLETS.join(", ")),
            )),
        }
    }

    /// Makes the root below `rootfs`, which must not exist.
    pub(crate) fn build(&self, rootfs: &Path) -> Result<(), Error> {
        self.try_build(rootfs).map_err(|error| Error::file("make the demo root", rootfs, error))
    }

    fn try_build(&self, rootfs: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o755).create(rootfs)?;
        for (dir, mode) in DIRS {
            let path = rootfs.join(dir);
            fs::create_dir(&path)?;
            // Not left to mkdir: the umask would take bits of it.
            fs::set_permissions(&path, Permissions::from_mode(mode))?;
        }
        for (file, text) in FILES {
            fs::write(rootfs.join(file), text)?;
        }
        let bin = rootfs.join("bin");
        match self {
            Self::Busybox(path) => {
                install(path, &bin.join("busybox"))?;
                link_all("busybox", &busybox_applets(path)?, &bin)?;
                fs::write(bin.join(GREETING), HELLO_SCRIPT)?;
                fs::set_permissions(bin.join(GREETING), Permissions::from_mode(0o755))
            }
            Self::Demo(path) => {
                install(path, &bin.join(DEMO))?;
                link_all(DEMO, &DEMO_APPLETS.map(str::to_owned), &bin)
            }
        }
    }
}

fn install(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    fs::set_permissions(to, Permissions::from_mode(0o755))
}

/// Hard links: a symbolic link is an inode of its own, and on ext4 hundreds of those take longer than all the rest.
fn link_all(program: &str, names: &[String], bin: &Path) -> io::Result<()> {
    for name in names.iter().filter(|name| *name != program) {
        fs::hard_link(bin.join(program), bin.join(name))?;
    }
    Ok(())
}

fn busybox_applets(busybox: &Path) -> io::Result<Vec<String>> {
    let output = Command::new(busybox).arg("--list").stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let names = String::from_utf8_lossy(&output.stdout);
    let mut names: Vec<String> =
        names.lines().filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Whether a file is a 64-bit ELF program that needs no dynamic loader (elf(5): no PT_INTERP among its program headers).
fn is_static_elf(path: &Path) -> io::Result<bool> {
    const PT_INTERP: u32 = 3;
    const HEADER_BYTES: usize = 64;
    let mut file = fs::File::open(path)?;
    let mut header = [0_u8; HEADER_BYTES];
    file.read_exact(&mut header)?;
    // Class 2 is 64 bits, data 1 is little-endian.
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(false);
    }
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let (entry_bytes, entries) = (half(54), half(56));
    let mut offset = [0_u8; 8];
    offset.copy_from_slice(&header[32..40]);
    file.seek(SeekFrom::Start(u64::from_le_bytes(offset)))?;
    let mut entry = vec![0_u8; usize::from(entry_bytes).max(4)];
    for _ in 0..entries {
        file.read_exact(&mut entry)?;
        if u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]) == PT_INTERP {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_static_program() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x");
        fs::write(&path, "#!/bin/sh\n".repeat(20)).unwrap();
        assert!(!is_static_elf(&path).unwrap());
        fs::write(&path, b"\x7fELF").unwrap();
        assert!(is_static_elf(&path).is_err());
        assert!(is_static_elf(&temp.path().join("missing")).is_err());
    }

    #[test]
    fn a_root_of_our_own_program() {
        let temp = tempfile::tempdir().unwrap();
        let program = temp.path().join("program");
        fs::write(&program, "x").unwrap();
        let rootfs = temp.path().join("rootfs");
        Source::Demo(program).build(&rootfs).unwrap();
        assert_eq!(fs::read(rootfs.join("bin/hello")).unwrap(), b"x");
        assert_eq!(fs::read(rootfs.join("bin/echo")).unwrap(), b"x");
        let mode = |path: &str| fs::metadata(rootfs.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("tmp"), mode("root"), mode("bin/gantry-demo")), (0o1777, 0o700, 0o755));
    }

    #[test]
    fn the_default_command() {
        let busybox = Source::Busybox(PathBuf::from("/b"));
        assert_eq!(busybox.default_command(false).unwrap(), ["hello"]);
        assert_eq!(busybox.default_command(true).unwrap(), ["sh"]);
        assert!(Source::Demo(PathBuf::from("/d")).default_command(true).is_err());
    }
}
