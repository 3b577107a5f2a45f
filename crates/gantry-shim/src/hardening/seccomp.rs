//! The filter (seccomp(2)) of a shim that executes nothing any more: what it needs to wait, to copy, to log, to reap and
//! to write its records. Everything else fails with EPERM; a shim must rather go on without something than be killed.
//!
//! The program tests one number after the other; the kernel remembers its answers for calls that are always allowed
//! (Linux 5.11), so its length does not matter.

use libc::{c_long, sock_filter};

/// What the shim calls by itself and through libc, in the names of all architectures.
#[rustfmt::skip]
const ALLOWED: &[c_long] = &[
    // Waiting and reaping.
    libc::SYS_epoll_pwait, libc::SYS_epoll_ctl, libc::SYS_epoll_create1, libc::SYS_ppoll, libc::SYS_wait4,
    libc::SYS_waitid, libc::SYS_inotify_init1, libc::SYS_inotify_add_watch, libc::SYS_inotify_rm_watch,
    libc::SYS_clock_gettime, libc::SYS_restart_syscall,
    // Copying.
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64,
    libc::SYS_splice, libc::SYS_tee, libc::SYS_pipe2, libc::SYS_ioctl, libc::SYS_lseek,
    // Files.
    libc::SYS_openat, libc::SYS_close, libc::SYS_fcntl, libc::SYS_dup, libc::SYS_dup3, libc::SYS_fstat,
    libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_readlinkat,
    libc::SYS_symlinkat, libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_unlinkat, libc::SYS_ftruncate, libc::SYS_fallocate,
    libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_chdir, libc::SYS_getcwd,
    // Memory, and libc's own business.
    libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_brk, libc::SYS_futex, libc::SYS_getrandom,
    libc::SYS_rt_sigprocmask, libc::SYS_rt_sigaction, libc::SYS_rt_sigreturn, libc::SYS_sigaltstack,
    libc::SYS_getpid, libc::SYS_gettid, libc::SYS_sched_yield, libc::SYS_exit, libc::SYS_exit_group,
];

/// Older calls, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_TOO: &[c_long] = &[
    libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_open, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access,
    libc::SYS_readlink, libc::SYS_rename, libc::SYS_unlink, libc::SYS_dup2,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_TOO: &[c_long] = &[];

/// Allowed as long as no memory becomes executable.
const UNLESS_EXECUTABLE: [c_long; 2] = [libc::SYS_mmap, libc::SYS_mprotect];

/// The architecture of the calls, as linux/audit.h has it.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Option<u32> = Some(0xC000_003E);
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Option<u32> = Some(0xC000_00B7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: Option<u32> = None;

/// Offsets in `struct seccomp_data`, in little-endian byte order for the third argument's lower half.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const THIRD_ARGUMENT: u32 = 32;

/// What is done: let it pass, or fail with EPERM.
const PASS: u32 = libc::SECCOMP_RET_ALLOW;
#[allow(clippy::cast_sign_loss, reason = "EPERM is 1")]
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;

/// The program; empty where the architecture's numbers are not known here.
pub(super) fn filter() -> Vec<sock_filter> {
    let Some(architecture) = ARCHITECTURE else { return Vec::new() };
    let mut program =
        vec![load(ARCH), skip_unless_equal(architecture, 1), skip(1), answer(REFUSE), load(NUMBER)];
    for number in ALLOWED.iter().chain(ALLOWED_TOO) {
        // x32's numbers are large, and equal none of these.
        program.extend([skip_unless_equal(word(*number), 1), answer(PASS)]);
    }
    let executable = u32::try_from(libc::PROT_EXEC).unwrap_or_default();
    for number in UNLESS_EXECUTABLE {
        program.extend([
            skip_unless_equal(word(number), 4),
            load(THIRD_ARGUMENT),
            statement(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, executable, 1, 0),
            answer(PASS),
            answer(REFUSE),
        ]);
    }
    program.push(answer(REFUSE));
    program
}

fn word(number: c_long) -> u32 {
    // No number is so large; were one, it would just not be allowed.
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn statement(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    // All codes are below 256.
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt, jf, k }
}

fn load(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0)
}

fn skip(count: u32) -> sock_filter {
    statement(libc::BPF_JMP | libc::BPF_JA, count, 0, 0)
}

fn skip_unless_equal(value: u32, count: u8) -> sock_filter {
    statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, 0, count)
}

fn answer(value: u32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, value, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers, by a machine that knows just the instructions that are used here.
    fn run(architecture: u32, number: u32, third_argument: u32) -> u32 {
        let program = filter();
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let instruction = program[at];
            at += 1;
            match u32::from(instruction.code) & 0x07 {
                libc::BPF_LD => {
                    accumulator = match instruction.k {
                        NUMBER => number,
                        ARCH => architecture,
                        THIRD_ARGUMENT => third_argument,
                        other => panic!("offset {other}"),
                    };
                }
                libc::BPF_RET => return instruction.k,
                libc::BPF_JMP => {
                    let holds = match u32::from(instruction.code) & 0xF0 {
                        libc::BPF_JA => {
                            at += instruction.k as usize;
                            continue;
                        }
                        libc::BPF_JEQ => accumulator == instruction.k,
                        libc::BPF_JSET => accumulator & instruction.k != 0,
                        other => panic!("jump {other}"),
                    };
                    at += usize::from(if holds { instruction.jt } else { instruction.jf });
                }
                other => panic!("class {other}"),
            }
        }
    }

    #[test]
    fn what_a_shim_needs_passes_and_the_rest_does_not() {
        let Some(own) = ARCHITECTURE else { return };
        let run = |number: c_long, third| run(own, word(number), third);
        for number in ALLOWED.iter().chain(ALLOWED_TOO) {
            assert_eq!(run(*number, u32::MAX), PASS, "{number}");
        }
        let denied = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_clone,
            libc::SYS_socket,
            libc::SYS_ptrace,
            libc::SYS_mount,
            libc::SYS_kill,
            libc::SYS_bpf,
            libc::SYS_setns,
            libc::SYS_init_module,
            libc::SYS_io_uring_setup,
        ];
        for number in denied {
            assert_eq!(run(number, 0), REFUSE, "{number}");
        }
        for number in UNLESS_EXECUTABLE {
            let [data, code] = [libc::PROT_READ | libc::PROT_WRITE, libc::PROT_READ | libc::PROT_EXEC];
            assert_eq!(run(number, u32::try_from(data).unwrap()), PASS);
            assert_eq!(run(number, u32::try_from(code).unwrap()), REFUSE);
        }
    }

    #[test]
    fn calls_of_another_architecture_do_not_pass() {
        let Some(own) = ARCHITECTURE else { return };
        assert_eq!(run(own ^ 1, word(libc::SYS_read), 0), REFUSE);
        // x32.
        assert_eq!(run(own, word(libc::SYS_read) | 0x4000_0000, 0), REFUSE);
    }
}
