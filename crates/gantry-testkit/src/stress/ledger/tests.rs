//! That the ledger can fail: each kind of wrong is told, and what is right is not.

use super::*;

fn event(kind: &str, process: &str, status: u32) -> Event {
    Event { r#type: kind.to_owned(), id: "c1".to_owned(), pid: process.to_owned(), status, timestamp: None }
}

/// What is wrong with a container that may end with 3, after these events.
fn wrongs(events: &[Event]) -> Vec<Wrong> {
    let ledger = Ledger::default();
    ledger.ask("c1", "init", &[3], "exits with 3");
    ledger.started("c1", "init", 1);
    for event in events {
        ledger.event(event.clone());
    }
    ledger.close(events);
    ledger.problems().into_iter().map(|problem| problem.wrong).collect()
}

fn start() -> Event {
    event("start-container", "", 0)
}

#[test]
fn a_start_and_its_exit_are_right() {
    assert_eq!(wrongs(&[start(), event("exit", "init", 3)]), []);
}

#[test]
fn lost_doubled_and_wrong_are_told_apart() {
    let exit = || event("exit", "init", 3);
    assert_eq!(wrongs(&[start()]), [Wrong::Lost]);
    assert_eq!(wrongs(&[]), [Wrong::Lost]);
    assert_eq!(wrongs(&[start(), exit(), exit()]), [Wrong::Doubled]);
    assert_eq!(wrongs(&[start(), start(), exit()]), [Wrong::Doubled]);
    assert_eq!(wrongs(&[start(), event("exit", "init", 4)]), [Wrong::Status]);
    assert_eq!(wrongs(&[start(), event("exit", "init", UNKNOWN)]), [Wrong::Status]);
    assert_eq!(wrongs(&[start(), exit(), event("pause", "", 0)]), [Wrong::Order]);
    assert_eq!(wrongs(&[start(), exit(), Event { id: "other".to_owned(), ..start() }]), [Wrong::Order]);
}

#[test]
fn an_exec_ends_before_its_container_and_only_once_it_may() {
    let ledger = Ledger::default();
    ledger.ask("c1", "init", &[0], "");
    ledger.ask("c1", "e1", &[5], "");
    ledger.event(start());
    ledger.event(event("start-process", "e1", 0));
    ledger.may_end("c1", "init", KILLED, "killed");
    ledger.event(event("exit", "e1", KILLED));
    ledger.event(event("exit", "init", KILLED));
    assert!(ledger.problems().is_empty() && ledger.is_over("c1"), "{:?}", ledger.problems());

    ledger.ask("c1", "e2", &[5], "");
    ledger.event(event("start-process", "e2", 0));
    assert_eq!(ledger.problems()[0].wrong, Wrong::Order);
}

#[test]
fn a_replay_that_differs_is_told() {
    let ledger = Ledger::default();
    ledger.ask("c1", "init", &[3], "");
    ledger.event(start());
    ledger.event(event("exit", "init", 3));
    ledger.close(&[start()]);
    assert_eq!(ledger.problems()[0].wrong, Wrong::Order);
    assert!(ledger.problems()[0].text.contains("says nothing"), "{:?}", ledger.problems());
}

#[test]
fn a_refused_start_must_have_no_event() {
    let ledger = Ledger::default();
    ledger.ask("c1", "init", &[3], "");
    ledger.refused("c1", "init", "no");
    let events = [start(), event("exit", "init", 3)];
    events.iter().for_each(|event| ledger.event(event.clone()));
    ledger.close(&events);
    assert_eq!(ledger.problems()[0].wrong, Wrong::Order);
}
