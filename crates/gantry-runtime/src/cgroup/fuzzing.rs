//! See [`crate::fuzzing`].

use super::{hierarchy, stats};

pub(crate) fn lines(text: &str) {
    let found = hierarchy::parse(text);
    assert!(found.iter().all(|hierarchy| !hierarchy.controllers().is_empty()));
    stats::fuzzing(text);
}
