//! `run`: `create` and `start` in one, and `delete` at the end where it waits for that.

use crate::args::Run;
use crate::commands::create::{Created, Mode, create};
use crate::commands::delete;
use crate::error::Result;
use crate::exit_code::ExitCode;
use crate::foreground::Foreground;
use crate::launch::kill_and_reap;
use crate::store::{Status, Store};
use crate::{hooks, protection};

/// Runs the command.
pub(crate) fn run(store: &Store, args: &Run) -> Result<ExitCode> {
    protection::ensure()?;
    let foreground = if args.detach { None } else { Some(Foreground::hold_signals()?) };
    let mode = Mode { detached: args.detach, start_now: true };
    let mut created = create(store, &args.create, &mode)?;
    if let Err(error) = started(&mut created) {
        kill_and_reap(created.launched.process);
        let _ = delete::destroy(&created.container, &created.spec);
        return Err(error);
    }
    let Some(foreground) = foreground else { return Ok(ExitCode::SUCCESS) };
    let status = foreground.wait(created.launched.process, created.terminal.take());
    if status.is_err() {
        kill_and_reap(created.launched.process);
    }
    if !args.keep {
        delete::destroy(&created.container, &created.spec)?;
    }
    status
}

/// Waits until the command runs, and does what follows that.
fn started(created: &mut Created) -> Result<()> {
    let id = created.container.id();
    created.launched.wait_for_exec(&id)?;
    let state = hooks::state(&created.container.record, Status::Running);
    match created.spec.hooks() {
        Some(hooks) => hooks::run(&id, "poststart", hooks.poststart().as_ref(), &state),
        None => Ok(()),
    }
}
