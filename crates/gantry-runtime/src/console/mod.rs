//! The terminal of a container's process.
//!
//! The process makes the pair itself, from the container's own devpts, and sends the master over a Unix stream socket
//! to this command: one message with the descriptor (SCM_RIGHTS). Detached, this command sends it on to the client's
//! socket (`--console-socket`) in the same way, as runc does; in the foreground it copies between it and its own
//! terminal ([`proxy`]).

pub(crate) mod proxy;

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::Uid;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use rustix::pty::OpenptFlags;

use crate::error::{Error, Result, system};

/// The terminal of a process that is to be launched.
pub(crate) struct Console {
    /// What the process sends its master to.
    to: OwnedFd,
    from: Terminal,
}

/// The terminal of a process that was launched, on its way.
pub(crate) struct Terminal {
    /// What the master comes from.
    from: OwnedFd,
    /// Whom it is for; nobody if this command serves it.
    client: Option<OwnedFd>,
    /// The user of the process, by the host's count.
    owner: u32,
}

impl Console {
    /// Decides by what was asked for. Without a terminal the process has the standard streams of this command.
    pub(crate) fn open(
        terminal: bool,
        detached: bool,
        socket: Option<&Path>,
        owner: u32,
    ) -> Result<Option<Self>> {
        let client = match (terminal, socket) {
            (false, None) => return Ok(None),
            (false, Some(_)) => {
                let reason = "cannot use --console-socket: the process has no terminal";
                return Err(Error::Usage(reason.to_owned()));
            }
            (true, None) if detached => {
                let reason = "cannot allocate a terminal for a detached process without --console-socket";
                return Err(Error::Usage(reason.to_owned()));
            }
            (true, Some(path)) => {
                let failed = |source| Error::ConsoleSocket { path: path.to_owned(), source };
                Some(connect(path).map_err(failed)?)
            }
            (true, None) => None,
        };
        let (to, from) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .map_err(system("create a socket pair"))?;
        Ok(Some(Self { to, from: Terminal { from, client, owner } }))
    }

    /// Splits into the socket for the process and what this command keeps.
    pub(crate) fn split(console: Option<Self>) -> (Option<OwnedFd>, Option<Terminal>) {
        console.map_or((None, None), |console| (Some(console.to), Some(console.from)))
    }
}

impl Terminal {
    /// Takes the master from the process and hands it to the client. Returns it if it is for this command.
    pub(crate) fn deliver(self) -> Result<Option<OwnedFd>> {
        let master = receive(&self.from)?;
        if self.owner != 0 {
            // So that the process's user can reopen its terminal. The group is the mount's (gid=5) and stays.
            let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
            let give = |slave: OwnedFd| rustix::fs::fchown(slave, Some(Uid::from_raw(self.owner)), None);
            rustix::pty::ioctl_tiocgptpeer(&master, flags)
                .and_then(give)
                .map_err(system("give the terminal to the user of the process"))?;
        }
        let Some(client) = self.client else { return Ok(Some(master)) };
        send(&client, &master).map_err(system("send the terminal to the console socket"))?;
        Ok(None)
    }
}

/// Sends the master of a terminal, with the name that runc sends.
pub(crate) fn send(socket: impl AsFd, master: &OwnedFd) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [master.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    rustix::net::sendmsg(socket, &[IoSlice::new(b"/dev/ptmx")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Connects to a socket whose path may be longer than an address can hold, by its directory's descriptor.
pub(crate) fn connect(path: &Path) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let directory =
        rustix::fs::open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let link =
        Path::new("/proc/self/fd").join(std::os::fd::AsRawFd::as_raw_fd(&directory).to_string()).join(name);
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(link)?)?;
    Ok(socket)
}

/// Receives the master of a terminal.
fn receive(socket: &OwnedFd) -> Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0; 64];
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .map_err(system("receive the terminal"))?;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    descriptor.ok_or(Error::NoTerminal)
}
