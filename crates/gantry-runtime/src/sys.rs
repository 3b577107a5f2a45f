//! The system calls that no safe wrapper offers, each a thin function.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroI32;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

/// Which side of [`clone3`] this is.
pub(crate) enum Cloned {
    /// The new process.
    Child,
    /// The caller, with the child's pid and a descriptor of it.
    Parent { pid: Pid, pidfd: OwnedFd },
}

/// Creates a child process like fork(2), in the namespaces of `flags` and, where given, in a cgroup of version 2.
///
/// See clone3(2).
///
/// # Safety
/// This process has one thread only: of several, the child would get this one alone. `flags` are namespaces to be made
/// (`CLONE_NEW...`) and nothing that parent and child would share, such as their memory.
pub(crate) unsafe fn clone3(flags: i32, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    /// Linux 5.7; the C library's constant is too wide for its type.
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: i32 = -1;
    let mut flags = u64::from((flags | libc::CLONE_PIDFD).unsigned_abs());
    // SAFETY: clone_args is plain integers, for which zero is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.pidfd = ptr::addr_of_mut!(pidfd) as u64;
    args.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    if let Some(cgroup) = cgroup {
        flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().unsigned_abs());
    }
    args.flags = flags;
    // SAFETY: args and pidfd outlive the call; without a stack the child continues on a copy of this one, as after fork, for
    // memory is not shared and there is one thread, which the caller vouches for.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &args, size_of::<libc::clone_args>()) };
    match i32::try_from(result) {
        Ok(0) => Ok(Cloned::Child),
        // Not -1, which Pid would take, and which means every process when a signal is sent.
        Ok(number) if number > 0 => {
            let pid = Pid::from_raw(number).ok_or(Errno::SRCH)?;
            // SAFETY: the kernel has just put a new descriptor there that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { pid, pidfd })
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends this process at once, without the exit handlers that belong to its parent's memory.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes any number, runs no code of ours and does not return.
    unsafe { libc::_exit(code) }
}

/// Replaces this process. Returns only the reason why that failed. See execve(2).
pub(crate) fn execve(path: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with a null pointer, and they and their strings outlive the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Replaces this process by the program behind a descriptor. Returns only the reason why that failed.
pub(crate) fn execveat(program: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    let empty = c"".as_ptr();
    // SAFETY: both arrays end with a null pointer, and they and their strings outlive the call; the path is empty.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            empty,
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Changes to the attributes of a mount; zero changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MountChange {
    /// `MOUNT_ATTR_*` to set.
    pub(crate) set: u64,
    /// `MOUNT_ATTR_*` to clear before.
    pub(crate) clear: u64,
    /// One of `MS_SHARED` and its like.
    pub(crate) propagation: u64,
}

/// Changes a mount, or all below it too. See mount_setattr(2), Linux 5.12.
pub(crate) fn change_mount(
    mount: BorrowedFd<'_>,
    change: MountChange,
    recursive: bool,
) -> rustix::io::Result<()> {
    if change == MountChange::default() {
        return Ok(());
    }
    // SAFETY: mount_attr is plain integers, for which zero is a valid value.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = change.set;
    attributes.attr_clr = change.clear;
    attributes.propagation = change.propagation;
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let (path, size) = (c"".as_ptr(), size_of::<libc::mount_attr>());
    // SAFETY: the path is empty, and attributes outlive the call and have the size that is told.
    let result = unsafe {
        libc::syscall(libc::SYS_mount_setattr, mount.as_raw_fd(), path, flags, &raw const attributes, size)
    };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}

/// Brings the loopback interface of this process's network namespace up. See netdevice(7).
pub(crate) fn bring_up_loopback() -> io::Result<()> {
    // SAFETY: socket(2) takes three numbers and touches no memory of ours.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: ifreq is plain data, for which zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let up = libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_LOOPBACK;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(up).map_err(io::Error::other)?;
    // SAFETY: the request is what this ioctl takes and outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A signal from its number, real-time ones included.
pub(crate) fn signal_from_number(number: NonZeroI32) -> Signal {
    // SAFETY: the value is only passed to kill and pidfd_send_signal, which take every number and refuse unknown ones.
    unsafe { Signal::from_raw_nonzero_unchecked(number) }
}

/// Moves what this process forks from now on into a new time namespace. See time_namespaces(7).
pub(crate) fn unshare_time() -> io::Result<()> {
    // SAFETY: only CLONE_FILES can make descriptors unreachable, and CLONE_NEWTIME is all that is asked for.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWTIME) }.map_err(Into::into)
}

/// Moves this process into new namespaces; `CLONE_FILES`, which makes none, is refused. See unshare(2).
pub(crate) fn unshare(namespaces: rustix::thread::UnshareFlags) -> io::Result<()> {
    if namespaces.contains(rustix::thread::UnshareFlags::FILES) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: only CLONE_FILES can make descriptors unreachable, and it was refused just above.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }.map_err(Into::into)
}

/// Gives this process a session keyring of its own, or that of the same name if there is one. See keyctl(2).
pub(crate) fn join_session_keyring(name: &CStr) -> io::Result<()> {
    // SAFETY: the name is a string that outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A set of signals.
pub(crate) struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// Every signal that can be blocked, apart from those that tell of a fault in this program.
    pub(crate) fn forwarded() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigfillset initializes the whole set.
        unsafe { libc::sigfillset(set.as_mut_ptr()) };
        // SAFETY: initialized just above.
        let mut set = unsafe { set.assume_init() };
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT] {
            // SAFETY: the set is initialized and the number is that of a signal.
            unsafe { libc::sigdelset(&raw mut set, fault) };
        }
        Self(set)
    }

    /// SIGCHLD alone.
    pub(crate) fn of_children() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initializes the whole set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: initialized just above.
        let mut set = unsafe { set.assume_init() };
        // SAFETY: the set is initialized and the number is that of a signal.
        unsafe { libc::sigaddset(&raw mut set, libc::SIGCHLD) };
        Self(set)
    }

    /// Makes this the set of blocked signals.
    pub(crate) fn block(&self) {
        // SAFETY: the set is valid; with SIG_SETMASK and a valid set the call cannot fail.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }

    /// A descriptor that reads the blocked signals of this set. See signalfd(2).
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        // SAFETY: the set is valid; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const self.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// The size of a record that a [`SignalSet::descriptor`] yields; its first four bytes are the signal's number.
pub(crate) const SIGNAL_RECORD_BYTES: usize = size_of::<libc::signalfd_siginfo>();

/// Gives every signal its default action and blocks none. Ignored and blocked ones would stay so across an exec: SIGPIPE,
/// which Rust's start-up ignores, those that this program holds back, and whatever its caller had.
pub(crate) fn reset_signals() {
    /// The kernel's `struct sigaction` has at most this size; all zeros are SIG_DFL without flags.
    const DEFAULT: [u64; 4] = [0; 4];
    /// The size of the kernel's signal set.
    const SET_BYTES: usize = 8;
    for signal in 1..=64 {
        let none = ptr::null_mut::<u64>();
        // SAFETY: the action is as large as the kernel's structure and only read; SIGKILL and SIGSTOP are refused.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), none, SET_BYTES) };
    }
    let mut none = MaybeUninit::uninit();
    // SAFETY: sigemptyset initializes the whole set.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: the set is initialized; with SIG_SETMASK and a valid set the call cannot fail.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) };
}

/// Lets writing to a pipe that nobody reads fail instead of killing this process.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: ignoring a signal runs no code of ours, and the number is that of a signal.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Loads an eBPF program of the type that filters access to devices, and returns its descriptor. See bpf(2).
pub(crate) fn load_device_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    #[repr(C)]
    #[derive(Default)]
    struct Load {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
    }
    const BPF_PROG_LOAD: i32 = 5;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    let load = Load {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        insns: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: the attributes have the size that is told, and what they point to outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<Load>()) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a device program to a cgroup of version 2, beside those that are there.
pub(crate) fn attach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Attach {
        target: i32,
        program: i32,
        attach_type: u32,
        flags: u32,
        replace: u32,
    }
    const BPF_PROG_ATTACH: i32 = 8;
    const BPF_CGROUP_DEVICE: u32 = 6;
    const BPF_F_ALLOW_MULTI: u32 = 2;
    let attach = Attach {
        target: cgroup.as_raw_fd(),
        program: program.as_raw_fd(),
        attach_type: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
        replace: 0,
    };
    // SAFETY: the attributes have the size that is told and outlive the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attach, size_of::<Attach>()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
