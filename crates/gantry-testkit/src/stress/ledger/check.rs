//! Comparing an event with what may come, and what was seen with what the log holds.

use super::{Inner, Problem, UNKNOWN, Wrong};
use gantry_api::types::Event;

/// Where what was seen live and what the log holds part ways.
pub(super) fn difference(seen: &[Event], replay: &[Event]) -> Option<(String, Option<String>)> {
    let at = seen.iter().zip(replay).position(|(seen, stored)| seen != stored);
    let at = at.or_else(|| (seen.len() != replay.len()).then(|| seen.len().min(replay.len())))?;
    let shown = |event: Option<&Event>| event.map_or_else(|| "nothing".to_owned(), show);
    let id = seen.get(at).or_else(|| replay.get(at)).map(|event| event.id.clone());
    let text = format!(
        "event {at} of {} was told as {}, and the log with its {} says {}",
        seen.len(),
        shown(seen.get(at)),
        replay.len(),
        shown(replay.get(at))
    );
    Some((text, id))
}

fn show(event: &Event) -> String {
    format!("{} {} {} {}", event.r#type, event.id, event.pid, event.status)
}

// === impl Inner ===

impl Inner {
    pub(super) fn problem(&mut self, wrong: Wrong, container: Option<&str>, text: String) {
        if let Some(life) = container.and_then(|id| self.lives.get_mut(id)) {
            life.note(format_args!("!! {wrong:?}: {text}"));
        }
        eprintln!("stress: {wrong:?}: {text}");
        self.problems.push(Problem { wrong, container: container.map(ToOwned::to_owned), text });
    }

    /// Compares one event with what may come; what is wrong with it.
    pub(super) fn take(&mut self, event: &Event) -> Option<(Wrong, String)> {
        let shown = show(event);
        let Some(life) = self.lives.get_mut(&event.id) else {
            return Some((Wrong::Order, format!("{shown}: nobody asked for this container")));
        };
        life.note(format_args!("event {shown}"));
        let process = if event.pid.is_empty() { "init" } else { event.pid.as_str() };
        let over = life.over;
        let runs = life.processes.get("init").is_some_and(|init| init.starts > init.exits);
        let others = life.processes.iter().any(|(name, r)| name != "init" && r.starts > r.exits);
        let Some(record) = life.processes.get_mut(process) else {
            return Some((Wrong::Order, format!("{shown}: nobody asked for this process")));
        };
        match event.r#type.as_str() {
            "start-container" | "start-process" => {
                record.starts += 1;
                if record.starts > 1 {
                    return Some((Wrong::Doubled, format!("{shown}: started {} times", record.starts)));
                }
                (event.r#type == "start-process" && !runs)
                    .then(|| (Wrong::Order, format!("{shown}: its container does not run")))
            }
            "exit" => {
                record.exits += 1;
                record.status = Some(event.status);
                self.checked += 1;
                self.unknown += usize::from(event.status == UNKNOWN);
                life.over |= process == "init";
                if record.exits > 1 {
                    return Some((Wrong::Doubled, format!("{shown}: ended {} times", record.exits)));
                }
                if record.starts == 0 {
                    return Some((Wrong::Order, format!("{shown}: an exit without a start")));
                }
                if !record.allowed.contains(&event.status) {
                    return Some((
                        Wrong::Status,
                        format!("{shown}: it can only be one of {:?}", record.allowed),
                    ));
                }
                (over || (process == "init" && others))
                    .then(|| (Wrong::Order, format!("{shown}: init's exit is not the container's last")))
            }
            _ => (!runs).then(|| (Wrong::Order, format!("{shown}: its container does not run"))),
        }
    }
}
