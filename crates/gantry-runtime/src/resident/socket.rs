//! The socket to the daemon, as the resident parent and what it forks use it.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gantry_record::resident::{MAX_BYTES, MAX_DESCRIPTORS, Reply, Request, greeting};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::{Order, sys};
use crate::error::{Error, Result, system};

/// The socket.
pub(super) struct Socket(OwnedFd);

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Socket {
    /// Takes what is standard input and puts `/dev/null` there.
    pub(super) fn take_stdin() -> Result<Self> {
        let stdin = rustix::stdio::stdin();
        let kind = rustix::net::sockopt::socket_type(stdin).map_err(system("find the daemon's socket"))?;
        if kind != rustix::net::SocketType::SEQPACKET {
            return Err(system("find the daemon's socket")(Errno::PROTOTYPE));
        }
        // Out of the way of the standard streams of what is forked.
        let socket =
            rustix::io::fcntl_dupfd_cloexec(stdin, 10).map_err(system("keep the daemon's socket"))?;
        sys::null_stdin().map_err(system("open /dev/null"))?;
        Ok(Self(socket))
    }

    /// Says that this is a resident parent, and of which version.
    pub(super) fn greet(&self) -> Result<()> {
        let text = greeting().as_bytes();
        let sent = rustix::net::send(&self.0, text, SendFlags::NOSIGNAL);
        sent.map(drop).map_err(system("greet the daemon"))
    }

    /// The next request; none once the daemon has gone.
    ///
    /// Never inlined: its buffer would be part of the frame that every fork goes on in, where the parent's next request would
    /// leave each with a copy of its own.
    #[inline(never)]
    pub(super) fn receive(&self) -> Result<Option<Order>> {
        let mut packet = [0; MAX_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let length = loop {
            let slices = &mut [IoSliceMut::new(&mut packet)];
            match recvmsg(&self.0, slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received.bytes,
                Err(Errno::INTR) => {}
                // The daemon died with answers unread.
                Err(Errno::CONNRESET) => break 0,
                Err(error) => return Err(system("receive from the daemon")(error)),
            }
        };
        let descriptors = ancillary.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let descriptors = descriptors.flatten().collect();
        if length == 0 {
            return Ok(None);
        }
        let (number, request) = Request::decode(packet.get(..length).unwrap_or_default())
            .map_err(|malformed| Error::Usage(malformed.to_string()))?;
        Ok(Some(Order { number, request, descriptors }))
    }

    /// Answers; nobody may be there any more.
    pub(super) fn reply(&self, number: u64, reply: Reply, pidfd: Option<BorrowedFd<'_>>) {
        let packet = reply.encode(number);
        let descriptors: Vec<BorrowedFd<'_>> = pidfd.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        while sendmsg(&self.0, &[IoSlice::new(&packet)], &mut ancillary, SendFlags::NOSIGNAL)
            == Err(Errno::INTR)
        {}
    }
}
