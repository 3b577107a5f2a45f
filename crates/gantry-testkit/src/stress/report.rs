//! What a person sees: a line every ten seconds, and a table at the end.

use super::auditor::{GROWTH_LIMIT, Use};
use super::counts::{Counts, Tally};
use super::ledger::{Ledger, Problem, Wrong};
use super::world::World;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// How many containers' stories are printed; all are in the file.
const STORIES_SHOWN: usize = 3;

pub(super) fn progress(elapsed: Duration, ledger: &Ledger, counts: &Counts) {
    let sums = ledger.sums();
    println!(
        "{:6.0} s  {:6} operations  {:6} events  {:5} faults  {:3} containers  {} problems",
        elapsed.as_secs_f64(),
        counts.operations.sum(),
        sums.events,
        counts.faults.sum(),
        sums.live,
        ledger.problems().len()
    );
}

/// The table; whether all is well.
pub(super) fn finish(ledger: &Ledger, counts: &Counts, before: &Use, after: &Use) -> bool {
    let mut text = String::new();
    for (title, tally) in
        [("operations", &counts.operations), ("errors", &counts.errors), ("faults", &counts.faults)]
    {
        table(&mut text, title, tally);
    }
    let (sums, problems) = (ledger.sums(), ledger.problems());
    let mut line = |name: &str, value: usize| {
        let _ = writeln!(text, "{name:<24}{value:8}");
    };
    line("starts", sums.starts);
    line("exits checked", sums.exits);
    line("of these told as 255", sums.unknown);
    for (name, wrongs) in [
        ("lost", &[Wrong::Lost][..]),
        ("doubled", &[Wrong::Doubled]),
        ("wrong", &[Wrong::Status, Wrong::Order, Wrong::Output]),
        ("leaks", &[Wrong::Leak]),
        ("panics", &[Wrong::Panic]),
        ("refused without reason", &[Wrong::Refused]),
    ] {
        line(name, count(&problems, wrongs));
    }
    let _ = writeln!(
        text,
        "daemon: {} KB and {} descriptors after the warm-up, {} KB and {} at the end (limit of growth {GROWTH_LIMIT} KB)",
        before.memory,
        before.descriptors.len(),
        after.memory,
        after.descriptors.len()
    );
    println!("{text}");
    problems.is_empty()
}

fn count(problems: &[Problem], wrongs: &[Wrong]) -> usize {
    problems.iter().filter(|problem| wrongs.contains(&problem.wrong)).count()
}

fn table(text: &mut String, title: &str, tally: &Tally) {
    let _ = writeln!(text, "{title:<24}{:8}", tally.sum());
    for (name, count) in tally.all() {
        let _ = writeln!(text, "  {name:<22}{count:8}");
    }
}

/// Keeps the folder, with all that went wrong in it, and prints the first stories.
pub(super) fn keep(world: &World, ledger: &Ledger, seed: u64) {
    world.scratch.keep_files();
    let folder = world.scratch.path();
    let mut text = String::new();
    let mut told = BTreeSet::new();
    for problem in ledger.problems() {
        let _ = writeln!(text, "{:?}: {}", problem.wrong, problem.text);
        let Some(container) = problem.container.filter(|container| told.insert(container.clone())) else {
            continue;
        };
        for line in ledger.history(&container) {
            let _ = writeln!(text, "    {line}");
        }
        if told.len() == STORIES_SHOWN {
            eprintln!("{text}");
        }
    }
    if told.len() < STORIES_SHOWN {
        eprintln!("{text}");
    }
    if let Err(error) = fs::write(folder.join("problems.txt"), text) {
        eprintln!("stress: cannot write problems.txt: {error}");
    }
    // The disk of the state dir goes with the run.
    let _ = Command::new("cp").arg("-a").arg(&world.state_dir).arg(folder.join("state-at-the-end")).status();
    eprintln!("stress: seed {seed}; kept {} with problems.txt and gantryd.log", folder.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_without_problems_is_well() {
        let (ledger, counts) = (Ledger::default(), Counts::default());
        let used = Use { memory: 1, descriptors: Vec::new() };
        assert!(finish(&ledger, &counts, &used, &used));
        ledger.problem(Wrong::Leak, None, "a FIFO");
        assert!(!finish(&ledger, &counts, &used, &used));
    }
}
