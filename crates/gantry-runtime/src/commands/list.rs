//! `list`: the containers below `--root`.

use crate::args::{List, ListFormat};
use crate::commands::{print, print_json, state::State};
use crate::error::Result;
use crate::exit_code::ExitCode;
use crate::store::{Container, Store};

/// Runs the command. A container that vanishes meanwhile, or is not complete yet, is left out.
pub(crate) fn run(store: &Store, args: &List) -> Result<ExitCode> {
    let containers: Vec<Container> = store.ids()?.iter().filter_map(|id| store.load(id).ok()).collect();
    if args.quiet {
        let ids: Vec<String> = containers.iter().map(Container::id).collect();
        return if ids.is_empty() { Ok(ExitCode::SUCCESS) } else { print(&ids.join("\n")) };
    }
    let states: Vec<State<'_>> = containers.iter().filter_map(|c| State::of(c).ok()).collect();
    if args.format == ListFormat::Json {
        return print_json(&states);
    }
    let width = states.iter().map(|s| s.id.len()).max().unwrap_or(0).max(12);
    let mut lines =
        vec![format!("{:width$}  {:<8}  {:<8}  {:<30}  BUNDLE", "ID", "PID", "STATUS", "CREATED")];
    lines.extend(states.iter().map(|s| {
        let status = s.status.to_string();
        format!("{:width$}  {:<8}  {status:<8}  {:<30}  {}", s.id, s.pid, s.created, s.bundle.display())
    }));
    print(&lines.join("\n"))
}
