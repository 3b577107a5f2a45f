//! How a shim tells its daemon that the process was created, without anybody polling.
//!
//! The daemon gives the shim a pipe as standard output (0.2 gave `/dev/null`, and no shim ever wrote there).
//! Gantry's shim writes [`HELLO`] before it does anything else, [`READY`] once the runtime's `create` or
//! `exec` has returned success, and then puts `/dev/null` in its place. End of file without [`READY`] means
//! that it failed; the reasons are in `shim-log.json` and `log.json`.
//!
//! A shim of 0.2 never says hello: then the daemon goes by the `pid` file's appearing (inotify), as 0.2 did by
//! polling.

/// The first line of a shim that speaks this protocol.
pub const HELLO: &str = "gantry-shim 1\n";
/// The line that says that the process exists and waits for its start.
pub const READY: &str = "ready\n";

/// When a start's steps beside the daemon happened, in nanoseconds since 1970. A shim whose `process.json` asks for it
/// ([`ProcessRecord::trace`](crate::ProcessRecord::trace)) says so between [`HELLO`] and [`READY`]:
/// `times BEGAN RUNTIME_BEGAN RUNTIME_ENDED READY`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The shim began.
    pub began: u64,
    /// The runtime's command was executed.
    pub runtime_began: u64,
    /// It ended.
    pub runtime_ended: u64,
    /// The process exists and its streams are open.
    pub ready: u64,
}

impl Times {
    const WORD: &str = "times";

    /// The line.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { began, runtime_began, runtime_ended, ready } = self;
        format!("{} {began} {runtime_began} {runtime_ended} {ready}\n", Self::WORD)
    }

    /// Finds the line in what a shim has said.
    #[must_use]
    pub fn find(said: &str) -> Option<Self> {
        let line = said.lines().find_map(|line| line.strip_prefix(Self::WORD)?.strip_prefix(' '))?;
        let mut numbers = line.split(' ').map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        let times = Self { began: next()?, runtime_began: next()?, runtime_ended: next()?, ready: next()? };
        numbers.next().is_none().then_some(times)
    }
}

/// Nanoseconds since 1970, now.
#[must_use]
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // Until the year 2554.
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_between_the_words() {
        let times = Times { began: 1, runtime_began: 2, runtime_ended: 3, ready: u64::MAX };
        let said = format!("{HELLO}{}{READY}", times.line());
        assert_eq!(Times::find(&said), Some(times));
        for said in
            ["", HELLO, "times 1 2 3\n", "times 1 2 3 4 5\n", "times a b c d\n", "timestamps 1 2 3 4\n"]
        {
            assert_eq!(Times::find(said), None, "{said:?}");
        }
    }
}
