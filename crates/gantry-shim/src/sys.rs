//! The system calls that rustix has not, each as a thin safe function: the only unsafe code of the shim.

use gantry_record::Usage;
use rustix::fs::Mode;
use rustix::io::{Errno, Result};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

/// The highest signal number of Linux (signal(7)); realtime signals included.
const LAST_SIGNAL: libc::c_int = 64;

/// The size of the kernel's signal set, which is smaller than libc's.
const SIGNAL_SET_BYTES: usize = 8;

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

fn check(result: libc::c_int) -> Result<()> {
    if result == -1 { Err(last_error()) } else { Ok(()) }
}

fn signal_set(fill: unsafe extern "C" fn(*mut libc::sigset_t) -> libc::c_int) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sigfillset and sigemptyset only write the set that they are given, and cannot fail on one.
    unsafe { fill(set.as_mut_ptr()) };
    // SAFETY: initialised by the call above.
    unsafe { set.assume_init() }
}

/// Blocks every signal that can be blocked. None of them has an effect from then on: what is pending stays
/// pending (one bit each), so that not even a flood of them wakes the shim.
pub(crate) fn block_signals() -> Result<()> {
    let all = signal_set(libc::sigfillset);
    // SAFETY: reads a valid set; a null old set is allowed (sigprocmask(2)).
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut()) })
}

/// A descriptor that is readable while a SIGCHLD is pending (signalfd(2)).
pub(crate) fn child_signals() -> Result<OwnedFd> {
    let mut set = signal_set(libc::sigemptyset);
    // SAFETY: changes a valid set by a valid signal.
    check(unsafe { libc::sigaddset(&raw mut set, libc::SIGCHLD) })?;
    // SAFETY: reads a valid set and makes a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    check(fd)?;
    // SAFETY: the descriptor was just made and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reaps a child that has ended, if there is one: its pid, its wait status, and what it and the children that it had
/// waited for itself had used (wait4(2)).
pub(crate) fn reap_one() -> Option<(i32, i32, Usage)> {
    let mut status = 0;
    let mut used = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: writes an int and a rusage, which both are there for it.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, used.as_mut_ptr()) };
    // SAFETY: it consists of numbers, for which the zeros it was made of are good values too.
    let used = unsafe { used.assume_init() };
    let nanos = |time: libc::timeval| {
        let (seconds, micros) = (u64::try_from(time.tv_sec).ok()?, u64::try_from(time.tv_usec).ok()?);
        Some(seconds * 1_000_000_000 + micros * 1000)
    };
    let cpu_nanos = nanos(used.ru_utime).zip(nanos(used.ru_stime)).map(|(user, system)| user + system);
    let peak_memory_bytes = u64::try_from(used.ru_maxrss).ok().map(|kib| kib << 10);
    (pid > 0).then_some((pid, status, Usage { cpu_nanos, peak_memory_bytes, oom_kills: None }))
}

/// Closes all descriptors but the standard streams: at the start of a shim what its parent leaked to it, and in a fork what
/// the fork's parent has open. Must come before this process opens anything.
pub(crate) fn close_inherited() {
    const FIRST: libc::c_uint = 3;
    // A kernel before 5.9 knows no close_range(2); then the parent's own CLOEXEC flags must do.
    // SAFETY: this process has opened no descriptor itself. An `OwnedFd` that a fork has from its parent is neither used
    // nor dropped any more: a fork ends by `exit_now`, or `forked` has told its caller so.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0) };
}

/// Gives memory that start-up needed and nothing uses any more back to the kernel.
pub(crate) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc's own function on its own heap; it takes the heap's lock itself.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Sets a filter of system calls for the rest of this process's life (seccomp(2)); an empty one is none.
pub(crate) fn set_filter(program: &[libc::sock_filter]) -> Result<()> {
    if program.is_empty() {
        return Ok(());
    }
    let len = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel only reads the program, which is as long as it says, and checks it.
    check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) })
}

/// Gives the pages of the stack that start-up needed and nothing uses any more back to the kernel.
#[inline(never)]
pub(crate) fn trim_stack() {
    /// What the frames of this function and of madvise(2) may take.
    const KEPT: usize = 1 << 10;
    /// No other mapping lies that near: the kernel keeps 1 MiB free below a stack (since Linux 4.12).
    const TRIMMED: usize = 512 << 10;
    let here = 0_u8;
    let end = ((&raw const here).addr() - KEPT) & !(rustix::param::page_size() - 1);
    let start: *mut libc::c_void = std::ptr::with_exposed_provenance_mut(end - TRIMMED);
    // SAFETY: stacks grow downwards here, and all between `start` and `end` is below every frame that is in use: it is
    // written before it is read again. Pages that were never touched are no error that matters.
    unsafe { libc::madvise(start, TRIMMED, libc::MADV_DONTNEED) };
}

/// Takes the program's own code and constants out of this process's memory until they are wanted again. They stay in the
/// page cache, where all shims share them, but what only start-up executed counts for each that has it mapped.
pub(crate) fn trim_program() {
    // SAFETY: both are the linker's, as end(3) has it; only their addresses mean anything, and nothing is read there.
    unsafe extern "C" {
        static __executable_start: u8;
        static etext: u8;
    }
    let page = rustix::param::page_size();
    let start = (&raw const __executable_start).addr().next_multiple_of(page);
    let end = (&raw const etext).addr() & !(page - 1);
    let address = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: nobody writes between the two, neither at start-up nor later (data and relocations come behind), so what is read
    // anew from the file is what was there.
    unsafe { libc::madvise(address, end.saturating_sub(start), libc::MADV_DONTNEED) };
}

/// Which side of [`fork`] this is.
#[derive(Debug)]
pub enum Side {
    /// The new process.
    Child,
    /// The caller, with the child's pid.
    Parent(Pid),
}

/// Makes a copy of this process (fork(2)).
///
/// # Errors
/// The kernel's reason.
///
/// # Safety
/// This process has one thread only: of several, the others would be missing in the copy, and with them whatever they were
/// about to do and to unlock.
pub unsafe fn fork() -> io::Result<Side> {
    // SAFETY: with one thread, which the caller vouches for, the copy has all that this process has and nobody holds a lock.
    match unsafe { libc::fork() } {
        0 => Ok(Side::Child),
        pid if pid > 0 => Pid::from_raw(pid).map(Side::Parent).ok_or_else(|| Errno::SRCH.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Ends this process at once, without the exit handlers and buffers that are its parent's.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes any number, runs no code of ours and does not return.
    unsafe { libc::_exit(code) }
}

/// What the shim has changed of itself and whoever it executes shall not have.
#[derive(Clone, Copy)]
pub(crate) struct Inherited {
    /// The umask.
    pub(crate) umask: Mode,
    /// The limit on core dumps.
    pub(crate) core: Rlimit,
}

/// Lets the command start as if nobody had ever touched signals, umask or limits, and die with the shim.
pub(crate) fn prepare_child(command: &mut Command, inherited: Inherited) {
    let shim = rustix::process::getpid();
    // SAFETY: the closure runs between fork and exec and makes nothing but system calls: it allocates nothing and takes no lock.
    unsafe { command.pre_exec(move || reset_child(shim, inherited)) };
}

/// The part of [`prepare_child`] that the child does. Makes system calls only.
pub(crate) fn reset_child(shim: Pid, inherited: Inherited) -> io::Result<()> {
    rustix::process::umask(inherited.umask);
    rustix::process::setrlimit(Resource::Core, inherited.core)?;
    // The system call itself, since libc refuses signals 32 and 33, and posix_spawn(3) of glibc leaves those ignored.
    // All zero is SIG_DFL without flags, mask and restorer (rt_sigaction(2)).
    let default = [0_usize; 4];
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: reads at most the four words; a null old action is allowed. SIGKILL and SIGSTOP refuse, rightly.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null::<usize>(),
                SIGNAL_SET_BYTES,
            )
        };
    }
    let none = signal_set(libc::sigemptyset);
    // SAFETY: reads a valid set; a null old set is allowed.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()) })?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The shim may have died before the line above: then nobody will send that signal any more.
    if rustix::process::getppid() != Some(shim) {
        return Err(Errno::SRCH.into());
    }
    Ok(())
}
