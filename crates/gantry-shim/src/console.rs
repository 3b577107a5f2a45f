//! Getting the terminal's master side: from the runtime by `--console-socket`, or from a pair of the shim's own whose
//! other side the runtime is told by `--console`, as runc before 1.0-rc3 wants it.
//!
//! The runtime connects to a Unix stream socket and sends one message with one descriptor (SCM_RIGHTS, unix(7));
//! the payload is the terminal's name and of no interest. The socket lives in the process's folder, which only
//! root can enter, so no temporary folder is needed and nothing of it can remain elsewhere.

use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Source};
use rustix::event::epoll::EventFlags;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags,
    SocketType, accept_with, bind, listen, recvmsg, socket_with,
};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use std::ffi::OsString;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The socket's name in the process's folder.
const NAME: &str = "pty.sock";

/// The longest path that fits into a socket address with its NUL (unix(7)).
const MAX_PATH_BYTES: usize = 107;

/// A listening socket; gone from the file system when dropped.
pub(crate) struct ConsoleSocket {
    listener: OwnedFd,
    connection: Option<OwnedFd>,
    address: PathBuf,
}

impl ConsoleSocket {
    /// Listens in the working directory, whose absolute path is `folder`.
    pub(crate) fn listen(events: &EventLoop, folder: &Path) -> Result<Self> {
        let failed = || Error::setup("making the console socket");
        let _ = rustix::fs::unlink(NAME);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed())?;
        let name = SocketAddrUnix::new(NAME).map_err(failed())?;
        bind(&listener, &name).map_err(failed())?;
        let socket = Self { listener, connection: None, address: address(folder) };
        listen(&socket.listener, 1).map_err(failed())?;
        events.add(&socket.listener, Source::Console, EventFlags::IN).map_err(failed())?;
        Ok(socket)
    }

    /// The path that the runtime must be given.
    pub(crate) fn address(&self) -> &Path {
        &self.address
    }

    /// The terminal, if it has come.
    pub(crate) fn receive(&mut self, events: &EventLoop) -> Result<Option<OwnedFd>> {
        loop {
            let Some(connection) = &self.connection else {
                match accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                    Ok(connection) => {
                        events
                            .add(&connection, Source::Console, EventFlags::IN)
                            .map_err(Error::setup("epoll_ctl"))?;
                        self.connection = Some(connection);
                        continue;
                    }
                    // Nobody yet, or somebody who has gone again.
                    Err(_) => return Ok(None),
                }
            };
            match receive_descriptor(connection) {
                Ok(Some(master)) => {
                    // What the peer does from now on is of no interest and must not wake the shim.
                    self.connection = None;
                    events.remove(&self.listener);
                    return check(master, "the runtime sent").map(Some);
                }
                Err(Errno::AGAIN) => return Ok(None),
                // Gone without a descriptor: the next one may have it.
                Ok(None) | Err(_) => self.connection = None,
            }
        }
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        let _ = rustix::fs::unlink(NAME);
    }
}

/// A terminal that the shim itself has made, for a runtime that takes one by its path.
pub(crate) struct Pair {
    master: OwnedFd,
    path: PathBuf,
}

impl Pair {
    /// Makes one that belongs to the container's root, `uid` and `gid` on the host (pty(7)).
    pub(crate) fn open(uid: u32, gid: u32) -> Result<Self> {
        let failed = || Error::setup("making a terminal");
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).map_err(failed())?;
        unlockpt(&master).map_err(failed())?;
        let name = ptsname(&master, Vec::new()).map_err(failed())?;
        let path = PathBuf::from(OsString::from_vec(name.into_bytes()));
        rustix::fs::chmod(&path, Mode::RUSR | Mode::WUSR).map_err(failed())?;
        rustix::fs::chown(&path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(failed())?;
        Ok(Self { master, path })
    }

    /// What the runtime must be given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The side that stays here.
    pub(crate) fn into_master(self) -> OwnedFd {
        self.master
    }
}

/// A folder whose path is too long for a socket address is named by way of this process's working directory.
fn address(folder: &Path) -> PathBuf {
    let plain = folder.join(NAME);
    if plain.as_os_str().len() <= MAX_PATH_BYTES {
        return plain;
    }
    PathBuf::from(format!("/proc/{}/cwd/{NAME}", std::process::id()))
}

fn receive_descriptor(connection: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
    let mut payload = [0_u8; 256];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(connection, &mut [IoSliceMut::new(&mut payload)], &mut ancillary, flags)?;
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    // A message without a descriptor: it may come with the next one.
    if descriptor.is_none() && received.bytes > 0 { Err(Errno::AGAIN) } else { Ok(descriptor) }
}

/// Only the master side of a pseudo-terminal has a slave's name (TIOCGPTN, `ioctl_tty(2)`).
fn check(master: OwnedFd, whence: &'static str) -> Result<OwnedFd> {
    match ptsname(&master, Vec::new()) {
        Ok(_) => Ok(master),
        Err(source) => Err(Error::NotATerminal { whence, source }),
    }
}

/// The terminal that the daemon hands to a successor as its standard input, where `/dev/null` takes its place:
/// the terminal hangs up only when its last descriptor is closed.
pub(crate) fn inherited() -> Result<OwnedFd> {
    let failed = || Error::setup("taking over the terminal");
    let master = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).map_err(failed())?;
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    rustix::stdio::dup2_stdin(null.map_err(failed())?).map_err(failed())?;
    check(master, "the daemon handed over")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_folder_gets_a_short_address() {
        assert_eq!(address(Path::new("/run/c/init")), Path::new("/run/c/init/pty.sock"));
        let long = address(&Path::new("/").join("x".repeat(200)));
        assert!(long.as_os_str().len() <= MAX_PATH_BYTES, "{}", long.display());
    }
}
