//! The terminal of a container's process.
//!
//! The process makes the pair itself, from the container's own devpts, and sends the master away over a Unix stream
//! socket: one message with the descriptor (SCM_RIGHTS), as runc does. Detached, that socket is the client's
//! (`--console-socket`); in the foreground it is a pair with this command, which copies between it and its own
//! terminal ([`proxy`]).

pub(crate) mod proxy;

use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags,
    SocketType,
};

use crate::error::{Error, Result, system};

/// Where the terminal of a process goes.
pub(crate) enum Console {
    /// There is none: the process has the standard streams of this command.
    None,
    /// To a client.
    Client(OwnedFd),
    /// To this command: what the process sends to, and what this command receives from.
    Foreground { to: OwnedFd, from: OwnedFd },
}

impl Console {
    /// Decides by what was asked for.
    pub(crate) fn open(terminal: bool, detached: bool, socket: Option<&Path>) -> Result<Self> {
        match (terminal, socket) {
            (false, None) => Ok(Self::None),
            (true, Some(path)) => connect(path)
                .map(Self::Client)
                .map_err(|source| Error::ConsoleSocket { path: path.to_owned(), source }),
            (true, None) if detached => Err(Error::Usage(
                "cannot allocate a terminal for a detached process without --console-socket".to_owned(),
            )),
            (true, None) => {
                let (to, from) = rustix::net::socketpair(
                    AddressFamily::UNIX,
                    SocketType::STREAM,
                    SocketFlags::CLOEXEC,
                    None,
                )
                .map_err(system("create a socket pair"))?;
                Ok(Self::Foreground { to, from })
            }
            (false, Some(_)) => {
                Err(Error::Usage("cannot use --console-socket: the process has no terminal".to_owned()))
            }
        }
    }

    /// Splits into the socket for the process and the one for this command.
    pub(crate) fn split(self) -> (Option<OwnedFd>, Option<OwnedFd>) {
        match self {
            Self::None => (None, None),
            Self::Client(socket) => (Some(socket), None),
            Self::Foreground { to, from } => (Some(to), Some(from)),
        }
    }
}

/// Connects to a socket whose path may be longer than an address can hold, by its directory's descriptor.
fn connect(path: &Path) -> io::Result<OwnedFd> {
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
pub(crate) fn receive(socket: &OwnedFd) -> Result<OwnedFd> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
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
