//! One resident parent that runs, and the requests that it has not answered.

use gantry_record::resident::{ALLOCATOR, Reply, Request, greeting};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tokio::sync::mpsc;
use tracing::warn;

/// How long a parent that was just started may take to say so.
const GREETING_LIMIT: Duration = Duration::from_secs(5);
/// How long what a parent forked before it died may take to say that it is there.
const DEATH_LIMIT: Duration = Duration::from_secs(1);

/// Room for the command lines of shims: what was forked can show no longer one than its parent was executed with.
const LINE_ROOM: usize = 1024;

/// What was forked.
#[derive(Debug)]
pub(crate) struct Forked {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// A command that runs. It is killed when this is dropped before its end.
pub(crate) struct Command {
    process: Forked,
    answers: mpsc::UnboundedReceiver<Answer>,
    ended: bool,
}

/// A reply with its descriptor.
type Answer = (Reply, Option<OwnedFd>);

/// A request that more answers are to come for.
struct Waiting {
    sender: mpsc::UnboundedSender<Answer>,
    /// Only a command tells its end too.
    is_command: bool,
    started: bool,
}

/// By the number of the request.
type Pending = HashMap<u64, Waiting>;

/// A parent that runs.
pub(super) struct Connection {
    pid: u32,
    socket: AsyncFd<OwnedFd>,
    alive: AtomicBool,
    last_number: AtomicU64,
    pending: Mutex<Pending>,
}

impl Connection {
    /// Executes the parent and waits for its greeting.
    pub(super) async fn open(program: &Path) -> io::Result<Arc<Self>> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let mut command = std::process::Command::new(program);
        gantry_oci::forget_service_manager(&mut command);
        command.arg("resident").arg(" ".repeat(LINE_ROOM)).process_group(0);
        command.stdin(theirs).stdout(Stdio::null()).env(ALLOCATOR.0, ALLOCATOR.1);
        let mut child = tokio::process::Command::from(command).spawn()?;
        let connection = Arc::new(Self {
            pid: child.id().unwrap_or_default(),
            socket: crate::sys::watch_both(ours)?,
            alive: AtomicBool::new(true),
            last_number: AtomicU64::new(0),
            pending: Mutex::default(),
        });
        let mut packet = [0; 128];
        let shown = program.display();
        let greeted = tokio::time::timeout(GREETING_LIMIT, connection.receive(&mut packet)).await;
        let problem = match greeted {
            Ok(Ok((length, _))) if packet.get(..length) == Some(greeting().as_bytes()) => None,
            Ok(Ok((0, _))) => Some(format!("{shown} resident ended at once")),
            Ok(Ok(_)) => {
                Some(format!("{shown} is of another version than this daemon; install them together"))
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("{shown} resident said nothing for {GREETING_LIMIT:?}")),
        };
        if let Some(problem) = problem {
            // It may have ended already.
            let _ = child.start_kill();
            tokio::spawn(async move { child.wait().await });
            return Err(io::Error::other(problem));
        }
        tokio::spawn(Arc::clone(&connection).serve(child));
        Ok(connection)
    }

    /// Its pid.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it can be asked for anything.
    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// See [`super::Resident::shim`].
    pub(super) async fn shim(&self, request: &Request, ready: OwnedFd) -> Option<Forked> {
        let mut answers = self.ask(request, &[ready.as_fd()]).await?;
        // The shim's own end is left, so that its death can be seen.
        drop(ready);
        started(&mut answers).await
    }

    /// See [`super::Resident::run`].
    pub(super) async fn run(&self, request: &Request, streams: [&OwnedFd; 3]) -> Option<Command> {
        let mut answers = self.ask(request, &streams.map(AsFd::as_fd)).await?;
        let process = started(&mut answers).await?;
        Some(Command { process, answers, ended: false })
    }

    /// Sends a request. `None` if that is not possible.
    async fn ask(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Option<mpsc::UnboundedReceiver<Answer>> {
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let packet = request.encode(number)?;
        let (sender, answers) = mpsc::unbounded_channel();
        let is_command = matches!(request, Request::Run(_));
        self.pending().insert(number, Waiting { sender, is_command, started: false });
        let sent = self.send(&packet, descriptors).await;
        // Looked at after the insertion: whoever clears what is pending says before that it is over.
        if sent.is_err() || !self.is_alive() {
            self.pending().remove(&number);
            return None;
        }
        Some(answers)
    }

    async fn send(&self, packet: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            let mut guard = self.socket.writable().await?;
            let sent = guard.try_io(|socket| {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
                let sent = sendmsg(socket, &[IoSlice::new(packet)], &mut ancillary, SendFlags::NOSIGNAL);
                sent.map_err(io::Error::from)
            });
            match sent {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(sent) => return sent.map(drop),
                Err(_would_block) => {}
            }
        }
    }

    /// The next packet: its length, zero after the last, and a descriptor that came with it.
    async fn receive(&self, packet: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
        loop {
            let mut guard = self.socket.readable().await?;
            match guard.try_io(|socket| receive(socket.as_fd(), packet)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(received) => return received,
                Err(_would_block) => {}
            }
        }
    }

    /// Hands replies to whom they are for, until neither the parent nor anything that it has forked can send any more.
    async fn serve(self: Arc<Self>, mut child: Child) {
        tokio::select! {
            () = self.dispatch() => {}
            _ = child.wait() => {
                self.alive.store(false, Ordering::Release);
                // What it had forked tells about itself; requests that it had not read are answered by nobody.
                let _ = tokio::time::timeout(DEATH_LIMIT, self.dispatch()).await;
                self.pending().retain(|_, waiting| waiting.started);
            }
        }
        self.alive.store(false, Ordering::Release);
        self.dispatch().await;
        self.pending().clear();
        // One that can't be heard any more is of no use. What it has forked does not need it.
        let _ = child.start_kill();
        let _ = child.wait().await;
    }

    async fn dispatch(&self) {
        let mut packet = [0; 64];
        loop {
            let (length, descriptor) = match self.receive(&mut packet).await {
                Ok((0, _)) => return,
                Ok(received) => received,
                Err(error) => {
                    warn!(%error, "the resident parent of shims cannot be heard");
                    return;
                }
            };
            match Reply::decode(packet.get(..length).unwrap_or_default()) {
                Ok((number, reply)) => self.hand_over(number, (reply, descriptor)),
                Err(error) => warn!(%error, "the resident parent of shims is not understood"),
            }
        }
    }

    fn hand_over(&self, number: u64, answer: Answer) {
        let mut pending = self.pending();
        let Some(waiting) = pending.get_mut(&number) else { return };
        waiting.started = true;
        let is_last = !waiting.is_command || !matches!(answer.0, Reply::Started { .. });
        if let Err(mpsc::error::SendError((_, Some(pidfd)))) = waiting.sender.send(answer) {
            // Whoever wanted it has given up. Ended already, if this fails.
            let _ = crate::sys::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        }
        if is_last {
            pending.remove(&number);
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn started(answers: &mut mpsc::UnboundedReceiver<Answer>) -> Option<Forked> {
    match answers.recv().await? {
        (Reply::Started { pid }, Some(pidfd)) => Some(Forked { pid, pidfd }),
        (Reply::Refused { errno }, _) => {
            let error = io::Error::from_raw_os_error(errno);
            warn!(%error, "the resident parent of shims cannot fork");
            None
        }
        _ => None,
    }
}

fn receive(socket: BorrowedFd<'_>, packet: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(packet)], &mut ancillary, RecvFlags::CMSG_CLOEXEC);
    let length = match received {
        Ok(received) => received.bytes,
        // It died with requests unread.
        Err(Errno::CONNRESET) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let descriptor = descriptors.next();
    Ok((length, descriptor))
}

impl Command {
    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        while let Some((reply, _)) = self.answers.recv().await {
            if let Reply::Ended { wait_status } = reply {
                self.ended = true;
                return Ok(ExitStatus::from_raw(wait_status));
            }
        }
        // It and its parent were both killed.
        Err(io::Error::other("nobody can tell how the command ended"))
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        if !self.ended {
            // Ended just now, if that fails.
            let _ = crate::sys::pidfd_send_signal(self.process.pidfd.as_fd(), libc::SIGKILL);
        }
    }
}
