//! See [`crate::fuzzing`].

use std::time::Duration;

use super::{Line, go};

pub(crate) fn line(words: &[String]) {
    match Line::read(words) {
        Ok(Line::Print(help)) => assert!(help.ends_with('\n')),
        Ok(Line::Mistake(help, mistake)) => assert!(help.ends_with('\n') && !mistake.to_string().is_empty()),
        // Every argument is one of the words that were typed.
        Ok(Line::Run(run)) => assert!(run.args.iter().all(|arg| words.contains(arg))),
        Err(error) => assert!(!error.line().is_empty()),
    }
    for word in words {
        if let (Ok(unsigned), Ok(signed)) = (go::parse_unsigned(word), go::parse_signed(word)) {
            assert_eq!(i128::from(unsigned), i128::from(signed));
        }
        let quoted = go::quote(word);
        assert!(quoted.len() >= 2 && !quoted.contains(['\n', '\0', '\u{1b}']));
    }
}

pub(crate) fn duration(text: &str) -> Option<Duration> {
    go::parse_duration(text).ok()
}
