//! What is stored for fuzzing, run as a plain test: every input of the corpus and every one that once broke something.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its inputs has failed")]

use gantry_fuzz::TARGETS;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fuzz().join(folder)).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    entries.map(|entry| name(entry).trim_end_matches(".rs").to_owned()).collect()
}

#[test]
fn each_target_has_a_program_and_a_corpus() {
    let known: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names("fuzz_targets"), known);
    assert_eq!(names("corpus"), known);
    assert!(names("regressions").is_subset(&known));
}

#[test]
fn stored_inputs_break_nothing() {
    for target in TARGETS {
        let mut inputs = 0;
        for kind in ["corpus", "regressions"] {
            for input in fs::read_dir(fuzz().join(kind).join(target.name)).into_iter().flatten() {
                let path = input.unwrap().path();
                let bytes = fs::read(&path).unwrap();
                let run = std::panic::catch_unwind(|| (target.run)(&bytes));
                assert!(run.is_ok(), "{} breaks {}", path.display(), target.name);
                inputs += 1;
            }
        }
        assert!(inputs > 0, "{} has no inputs", target.name);
    }
}

/// The shortest inputs of all are in no corpus.
#[test]
fn nothing_and_a_single_byte_break_nothing() {
    for target in TARGETS {
        (target.run)(b"");
        for byte in 0..=u8::MAX {
            (target.run)(&[byte]);
        }
    }
}
