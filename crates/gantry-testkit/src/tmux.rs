//! A terminal with a person's hands on it, by way of tmux(1).

use crate::wait::try_wait_for;
use crate::{Finished, Scratch, finish};
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// How long a command of tmux itself may take.
const TMUX_TIMEOUT: Duration = Duration::from_secs(10);

/// One program in one terminal, with a tmux server of its own.
#[derive(Debug)]
pub struct Tmux {
    scratch: Arc<Scratch>,
}

impl Tmux {
    /// Runs `command` in a terminal of 80 columns and 24 lines. The screen stays after the program's end.
    ///
    /// # Panics
    /// When tmux does not start.
    #[must_use]
    pub fn start(scratch: &Arc<Scratch>, command: &Command) -> Self {
        let tmux = Self { scratch: Arc::clone(scratch) };
        let mut start = tmux.command();
        // The option must be there before the program can end.
        start.args(["new-session", "-d", "-x", "80", "-y", "24", "sleep 1000", ";"]);
        start.args(["set-option", "-g", "remain-on-exit", "on", ";"]);
        start.args(["respawn-pane", "-k", &tmux.shell_line(command)]);
        finish(&mut start, TMUX_TIMEOUT).expect_code(0);
        tmux
    }

    /// Types: each of `keys` is text or a key's name (`Enter`, `C-c`, `C-d`).
    pub fn send_keys(&self, keys: &[&str]) {
        self.run(["send-keys"].iter().chain(keys)).expect_code(0);
    }

    /// Types text and Enter.
    pub fn send_line(&self, line: &str) {
        self.send_keys(&[line, "Enter"]);
    }

    /// What is on the screen.
    #[must_use]
    pub fn screen(&self) -> String {
        self.run(["capture-pane", "-p"]).success().trim_end().to_owned()
    }

    /// Gives the terminal another size.
    pub fn resize(&self, columns: u16, lines: u16) {
        self.run(["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]).expect_code(0);
    }

    /// Waits until `text` stands on the screen.
    ///
    /// # Panics
    /// With the screen, when it does not come within `timeout`.
    pub fn wait_for_text(&self, text: &str, timeout: Duration) {
        let mut screen = String::new();
        let seen = try_wait_for(timeout, || {
            screen = self.screen();
            screen.contains(text).then_some(())
        });
        assert!(seen.is_some(), "{text:?} did not come within {timeout:?}; the screen:\n{screen}");
    }

    /// Waits for the program's end and returns its exit status.
    ///
    /// # Panics
    /// With the screen, when it does not end within `timeout`.
    #[must_use]
    pub fn wait_for_exit(&self, timeout: Duration) -> i32 {
        let status = try_wait_for(timeout, || fs::read_to_string(self.status()).ok()?.trim().parse().ok());
        status.unwrap_or_else(|| panic!("it still runs after {timeout:?}; the screen:\n{}", self.screen()))
    }

    fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Finished {
        finish(self.command().args(args), TMUX_TIMEOUT)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").arg("-S").arg(self.socket()).args(["-f", "/dev/null"]);
        command
    }

    fn socket(&self) -> PathBuf {
        self.scratch.path().join("tmux.sock")
    }

    /// The file with the program's exit status. tmux 3.3 sometimes does not reap what has ended and then never knows it.
    fn status(&self) -> PathBuf {
        self.scratch.path().join("tmux.status")
    }

    /// A line for tmux's shell that runs the command and writes down its status.
    fn shell_line(&self, command: &Command) -> String {
        let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
        let words: Vec<String> = words.collect();
        format!("{}; echo $? >{}", words.join(" "), quoted(self.status().as_os_str()))
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // When the server is gone already, so is everything of it.
        let _ = finish(self.command().arg("kill-server"), TMUX_TIMEOUT);
    }
}

fn quoted(word: &OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn types_resizes_and_tells_the_status() {
        let scratch = Scratch::new();
        let tmux = Tmux::start(&scratch, Command::new("sh").env("unused", ""));
        tmux.resize(100, 30);
        tmux.send_line("echo it''s; stty size");
        tmux.wait_for_text("its\n30 100", TIMEOUT);
        tmux.send_line("exit 7");
        assert_eq!(tmux.wait_for_exit(TIMEOUT), 7);
    }
}
