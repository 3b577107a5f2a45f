//! What really happened, by the processes' own word, and whether the event log says the same.

use super::load::Asked;
use gantry_api::types::Event;
use std::collections::BTreeMap;
use std::fs;

pub(super) struct Truth<'a> {
    asked: &'a [Asked],
}

/// What the log says of one process.
#[derive(Clone, Copy, Default)]
struct Told {
    starts: usize,
    exits: usize,
    status: u32,
}

/// What a process said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Nothing,
    Begin,
    End,
}

impl Said {
    fn by(asked: &Asked) -> Self {
        match fs::read_to_string(&asked.witness).as_deref() {
            Ok("begin\nend\n") => Self::End,
            Ok("begin\n") => Self::Begin,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::Nothing,
            // Killed at the moment between the making of the file and the writing.
            Ok("") => Self::Nothing,
            said => panic!("{asked:?} said {said:?}: it ran twice"),
        }
    }
}

impl<'a> Truth<'a> {
    pub(super) fn of(asked: &'a [Asked]) -> Self {
        Self { asked }
    }

    /// Insists that the events agree; a summary for the curious.
    pub(super) fn compare(&self, events: &[Event]) -> String {
        let mut told = in_log(events);
        let (mut untold, mut unanswered) = (0, 0);
        for asked in self.asked {
            let key = (asked.container.clone(), asked.process.clone());
            let (said, told) = (Said::by(asked), told.remove(&key).unwrap_or_default());
            assert_eq!(told.starts, told.exits, "{asked:?}: a start without an exit, or the other way round");
            assert!(told.starts <= 1, "{asked:?} was told {} times", told.starts);
            if told.starts == 0 {
                // A start that was undone: nobody was told of it.
                assert!(!asked.answered, "{asked:?} was answered, and its events are lost");
                untold += usize::from(said > Said::Nothing);
                continue;
            }
            unanswered += usize::from(!asked.answered);
            assert_eq!(told.status, asked.status, "{asked:?}, which said {said:?}");
            // One that is killed may not have come to say anything.
            let killed = asked.status > 128;
            assert!(killed || said == Said::End, "{asked:?} said {said:?}");
        }
        assert!(told.is_empty(), "events of processes that nobody asked for: {:?}", told.keys());
        let answered = self.asked.iter().filter(|asked| asked.answered).count();
        assert!(answered > 0, "no load");
        format!(
            "{answered} answered starts, {unanswered} told whose client saw the daemon die, {untold} begun and undone"
        )
    }
}

fn in_log(events: &[Event]) -> BTreeMap<(String, String), Told> {
    let mut told: BTreeMap<(String, String), Told> = BTreeMap::new();
    for event in events {
        let process = if event.pid.is_empty() { "init" } else { &event.pid };
        let entry = told.entry((event.id.clone(), process.to_owned())).or_default();
        match event.r#type.as_str() {
            "start-container" | "start-process" => entry.starts += 1,
            "exit" => {
                entry.exits += 1;
                entry.status = event.status;
            }
            other => panic!("nobody asked for {other:?}"),
        }
    }
    told
}
