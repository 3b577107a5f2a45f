//! `gantry-runtime`, the built-in OCI runtime: containers of the OCI runtime specification, driven by runc's
//! command line, in one static binary.
//!
//! It knows nothing of the daemon, the shim or their records; whoever speaks runc's command line can use it. What
//! the last steps before a container's command runs need (credentials, capabilities, seccomp, scheduling) is
//! `libcontainer`'s work; everything around it is here: the state directory, cgroups, clone and hand-shake, mounts,
//! errors.
//!
//! Start reading at [`commands`] (what each command does), [`launch`] (how a process gets into a container), [`init`]
//! (what it does there) and [`store`] (what is kept on disk).

mod args;
mod bundle;
mod cgroup;
mod commands;
mod console;
mod criu;
mod error;
mod executable;
mod exit_code;
mod foreground;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hooks;
mod id;
mod ids;
mod init;
mod launch;
mod legacy;
mod logging;
mod pid_file;
mod process;
mod protection;
mod resident;
mod rootfs;
mod signal;
mod store;
mod sys;
mod trace;
mod user;

use exit_code::ExitCode;
use gantry_record::failpoint;
use std::ffi::OsString;

/// The program.
#[must_use]
pub fn main() -> std::process::ExitCode {
    protection::anticipate();
    #[cfg(feature = "docs")]
    if gantry_docs::write_if_asked(gantry_docs::Section::System, <args::Cli as clap::CommandFactory>::command)
        .is_ok_and(|written| written)
    {
        return std::process::ExitCode::SUCCESS;
    }
    if resident::is_wanted() {
        return match resident::run() {
            Ok(()) => std::process::ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("gantry-runtime: resident: {}", error.chain());
                std::process::ExitCode::FAILURE
            }
        };
    }
    if std::env::current_dir().is_err() {
        // The directory was removed under us. Relative paths fail then, but nothing else need to.
        let _ = std::env::set_current_dir("/");
    }
    std::process::ExitCode::from(run_line(&mut std::env::args_os().skip(1)))
}

/// Does what the program does with these arguments, and returns its exit code. To be called once in a process.
fn run_line(arguments: &mut dyn Iterator<Item = OsString>) -> u8 {
    // In a program of its own Rust has done this before `main`; in a fork of the resident parent somebody may have undone it.
    sys::ignore_broken_pipes();
    let cli = match args::Cli::read(arguments) {
        Ok(cli) => cli,
        Err(code) => return code.number(),
    };
    trace::install(cli.global.debug);
    failpoint::arm("runtime");
    failpoint::at("runtime::begun");
    match commands::run(&cli) {
        Ok(code) => code.number(),
        Err(error) => {
            logging::report(cli.global.log.as_deref(), cli.global.log_format, &error);
            ExitCode::FAILURE.number()
        }
    }
}
