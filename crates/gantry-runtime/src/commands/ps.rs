//! `ps`: the processes in a container, by their pids on the host.

use std::fs;

use crate::args::{ListFormat, Ps};
use crate::commands::{print, print_json};
use crate::error::Result;
use crate::exit_code::ExitCode;
use crate::store::Store;

/// Runs the command.
pub(crate) fn run(store: &Store, args: &Ps) -> Result<ExitCode> {
    let container = store.load(&args.id)?;
    let pids: Vec<i32> = container.cgroup()?.pids()?.iter().map(|pid| pid.as_raw_nonzero().get()).collect();
    if args.format == ListFormat::Json {
        return print_json(&pids);
    }
    let mut lines = vec![format!("{:>8}  COMMAND", "PID")];
    lines.extend(pids.iter().map(|pid| format!("{pid:>8}  {}", command_line(*pid))));
    print(&lines.join("\n"))
}

/// What a process was started with; its name in brackets if it tells nothing, as ps(1) does.
fn command_line(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&words).trim_end_matches('\0').replace('\0', " ");
    if !text.is_empty() {
        return text;
    }
    format!("[{}]", fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim())
}
