//! docs/compatibility.md has every call, field and error of the wire.

use super::{Row, repository};
use crate::support::proto_folder;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Calls (`types.API/State`) and fields (`Event.id`) with their numbers, as the definitions have them.
#[derive(Debug, Default, PartialEq)]
struct Wire {
    calls: BTreeSet<String>,
    fields: BTreeMap<String, u32>,
}

/// What a block of a definition is.
enum Block {
    Service(String),
    Message(String),
    Other,
}

impl Wire {
    fn of(definitions: &[&str]) -> Self {
        let mut wire = Self::default();
        for file in definitions {
            wire.read(&fs::read_to_string(proto_folder().join(file)).unwrap());
        }
        wire
    }

    fn read(&mut self, definition: &str) {
        let (mut package, mut blocks) = (String::new(), Vec::new());
        for line in definition.lines().map(|line| line.split("//").next().unwrap().trim()) {
            let words: Vec<&str> = line.split([' ', ';', '(', '{', '}']).filter(|w| !w.is_empty()).collect();
            match words.as_slice() {
                ["package", name] => package = (*name).to_owned(),
                ["service", name] => blocks.push(Block::Service(format!("{package}.{name}"))),
                ["message", name] if !line.ends_with('}') => blocks.push(Block::Message((*name).to_owned())),
                ["enum", ..] => blocks.push(Block::Other),
                ["rpc", name, ..] => {
                    let Some(Block::Service(service)) = blocks.last() else {
                        panic!("a call outside: {line}")
                    };
                    self.calls.insert(format!("{service}/{name}"));
                }
                [.., name, "=", number] => {
                    if let Some(Block::Message(message)) = blocks.last() {
                        self.fields.insert(format!("{message}.{name}"), number.parse().unwrap());
                    }
                }
                [] if line == "}" => drop(blocks.pop()),
                _ => {}
            }
        }
        assert!(blocks.is_empty(), "a block has no end");
    }
}

fn rows() -> Vec<Row> {
    super::rows("docs/compatibility.md")
}

fn under<'a>(rows: &'a [Row], heading: &str) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| row.heading == heading)
}

#[test]
fn every_call_and_field_has_a_row_and_no_row_is_about_nothing() {
    let wire = Wire::of(&["types.proto", "health.proto"]);
    let rows = rows();
    let calls: BTreeSet<String> = under(&rows, "Calls").map(|row| row.name().to_owned()).collect();
    assert_eq!(calls, wire.calls);
    let fields = under(&rows, "Fields").map(|row| (row.name().to_owned(), row.cells[1].parse().unwrap()));
    assert_eq!(fields.collect::<BTreeMap<_, u32>>(), wire.fields);
}

/// The texts that start with 0.2's own word.
#[test]
fn every_text_of_0_2_that_can_be_sent_has_a_row() {
    let rows = rows();
    let listed: Vec<&str> = under(&rows, "Errors").map(|row| row.cells[2].as_str()).collect();
    let mut found = 0;
    for file in ["gantry-container/src/error.rs", "gantry-api/src/server/api.rs"] {
        let source = fs::read_to_string(repository().join("crates").join(file)).unwrap();
        for text in source.split('"').filter(|text| text.starts_with("containerd: ")) {
            found += 1;
            let never_sent = text == "containerd: shim exited before container process was started";
            let is_listed = listed.iter().any(|row| row.contains(&format!("`{text}`")));
            assert!(is_listed != never_sent, "{text:?} of {file}");
        }
    }
    assert!(found >= 6, "the texts are somewhere else now");
}

#[test]
fn every_row_names_a_test_and_many_are_in_another_language() {
    let rows = rows();
    assert!(rows.len() > 200, "{} rows", rows.len());
    let named: BTreeSet<&str> = rows.iter().flat_map(Row::tests).collect();
    let python = named.iter().filter(|test| test.contains(".py::")).count();
    assert!(python > 50, "{python} tests in another language");
}

#[test]
fn definitions_are_read_as_they_are_meant() {
    let mut wire = Wire::default();
    wire.read(
        "package a.b;\nservice S {\n  // rpc Not(X) {}\n  rpc Go(X) returns (stream Y) {}\n}\nmessage X {}\n\
         message Y {\n  reserved 1;\n  map<string, uint64> m = 2; // = 9\n  repeated Z.Q z = 3;\n\
         enum E {\n  A = 0;\n }\n  E e = 4;\n}\n",
    );
    assert_eq!(wire.calls, BTreeSet::from(["a.b.S/Go".to_owned()]));
    let fields = [("Y.m", 2), ("Y.z", 3), ("Y.e", 4)].map(|(name, number)| (name.to_owned(), number));
    assert_eq!(wire.fields, BTreeMap::from(fields));
}
