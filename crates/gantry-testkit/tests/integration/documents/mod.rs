//! What the documents say of the tests is true.

mod compatibility;

use crate::support::tests_folder;
use std::fs;
use std::path::{Path, PathBuf};

/// Those whose tables name a test in the last column of each row.
const DOCUMENTS: [&str; 3] = ["docs/compatibility.md", "docs/threat-model.md", "docs/reliability.md"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A row of a table whose last column is headed `test`, by the heading that the table is under.
struct Row {
    heading: String,
    cells: Vec<String>,
}

impl Row {
    /// What is in the first cell's first pair of backticks.
    fn name(&self) -> &str {
        self.cells[0].trim_matches('`')
    }

    /// `FILE::NAME`; a dash stands for none.
    fn tests(&self) -> impl Iterator<Item = &str> {
        let tests = self.cells.last().unwrap().split("<br>").map(|test| test.trim_matches('`'));
        tests.filter(|test| *test != "-")
    }
}

fn rows(document: &str) -> Vec<Row> {
    let (mut heading, mut rows, mut names_tests) = (String::new(), Vec::new(), false);
    let document = fs::read_to_string(repository().join(document)).unwrap();
    for line in document.lines() {
        if let Some(title) = line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")) {
            title.clone_into(&mut heading);
        }
        let Some(row) = line.strip_prefix("| ").and_then(|line| line.strip_suffix('|')) else {
            names_tests = false;
            continue;
        };
        let cells: Vec<String> = row.split(" | ").map(|cell| cell.trim().to_owned()).collect();
        match cells.last().unwrap().as_str() {
            "test" => names_tests = true,
            "---" => {}
            _ if names_tests => rows.push(Row { heading: heading.clone(), cells }),
            _ => {}
        }
    }
    rows
}

/// The file that a test is in.
fn file_of(name: &str) -> PathBuf {
    match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        _ if name.starts_with("crates/") => repository().join(name),
        Some("py") => tests_folder().join("python/conformance").join(name),
        _ => tests_folder().join("integration").join(name),
    }
}

#[test]
fn every_test_that_is_named_is_there() {
    let runner = fs::read_to_string(tests_folder().join("integration/conformance.rs")).unwrap();
    for document in DOCUMENTS {
        let rows = rows(document);
        assert!(rows.len() > 10, "{} rows in {document}", rows.len());
        for test in rows.iter().flat_map(Row::tests) {
            let (file, name) =
                test.split_once("::").unwrap_or_else(|| panic!("{document}: {test} is no test"));
            let source = fs::read_to_string(file_of(file));
            let source = source.unwrap_or_else(|error| panic!("{document}: {test}: {error}"));
            if let Some(module) = file.strip_suffix(".py") {
                assert!(source.contains(&format!("@case\ndef {name}(world):\n")), "{document}: no {test}");
                let is_run = ["passes", "runs"].map(|run| runner.contains(&format!("{run}(\"{module}\")")));
                assert!(is_run.contains(&true), "{document}: {file} is not run");
            } else {
                let function = format!("fn {name}(");
                let at = source.find(&function).unwrap_or_else(|| panic!("{document}: no {test}"));
                let before = source[..at].trim_end().trim_end_matches("async").trim_end();
                let is_test = before.ends_with("test]") || source.contains("each_runtime!");
                assert!(is_test, "{document}: {test} is no test");
            }
        }
    }
}
