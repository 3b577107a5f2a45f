//! Who a pid is: facts of `/proc/<pid>/stat` (proc_pid_stat(5)).

use std::fs;

/// What of `/proc/<pid>/stat` tells one process from another that got the same number later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcStat {
    /// Field 3: `R`, `S`, `D`, `Z`, ...
    pub state: u8,
    /// Field 4: the parent's pid.
    pub parent: i32,
    /// Field 5: the process group.
    pub group: i32,
    /// Field 22: clock ticks since boot at which it started.
    pub start_time: u64,
}

impl ProcStat {
    /// Looks the process up; `None` when there is none.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Parses the file. The command name in field 2 may itself hold `)` and spaces, so fields are counted
    /// from the last `)`.
    #[must_use]
    pub fn parse(stat: &[u8]) -> Option<Self> {
        let end_of_name = stat.iter().rposition(|b| *b == b')')?;
        let rest = std::str::from_utf8(stat.get(end_of_name + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        // Field 6 comes next; 22 is sixteen further on.
        let start_time = fields.nth(16)?.parse().ok()?;
        Some(Self { state, parent, group, start_time })
    }

    /// Whether it has ended and only waits to be reaped.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// Whether `pid` is the process that started at `start_time`. Without a known start time (it died too fast, or
/// an old record) any process of that number counts, as in 0.2.
#[must_use]
pub fn is_same(pid: i32, start_time: Option<u64>) -> bool {
    ProcStat::of(pid).is_some_and(|stat| start_time.is_none_or(|known| known == stat.start_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let line = b"42 (a) S) b) Z 7 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 9876 1 1";
        assert_eq!(
            ProcStat::parse(line),
            Some(ProcStat { state: b'Z', parent: 7, group: 1, start_time: 9876 })
        );
        for broken in [&b""[..], b"1 (x", b"1 (x)", b"1 (x) S 1 2"] {
            assert_eq!(ProcStat::parse(broken), None);
        }
    }

    #[test]
    fn knows_itself_and_not_another() {
        let me = i32::try_from(std::process::id()).unwrap();
        let stat = ProcStat::of(me).unwrap();
        assert!(is_same(me, Some(stat.start_time)) && is_same(me, None));
        assert!(!is_same(me, Some(stat.start_time + 1)));
        assert!(!is_same(i32::MAX, None));
    }
}
