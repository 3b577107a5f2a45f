//! See [`crate::server::fuzzing`].

use super::filter::{Filter, Next};
use std::io;

/// More than what comes in by this factor cannot come out: a field of one byte may stand for one of the table.
const MAX_GROWTH: usize = 128 << 10;

pub(crate) fn connection(bytes: &[u8]) {
    let whole = filtered(bytes, bytes.len());
    // How a connection is cut into reads is the network's doing.
    for size in [1, 7, 4096] {
        assert_eq!(filtered(bytes, size), whole);
    }
    let (output, next) = whole;
    if next == Some(Next::PassThrough) {
        assert_eq!(output, bytes);
    }
    assert!(output.len() <= bytes.len().saturating_mul(MAX_GROWTH));
    if next == Some(Next::Filter) {
        // What was written anew needs no filter any more, unless it has become too large for one.
        let (again, _) = filtered(&output, output.len());
        assert!(output.starts_with(&again));
    }
}

/// What comes out, and what is to become of the connection; `None` where it ends.
fn filtered(bytes: &[u8], size: usize) -> (Vec<u8>, Option<Next>) {
    let mut filter = Filter::default();
    let mut output = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        match filter.push(chunk, &mut output) {
            Ok(Next::Filter) => {}
            Ok(Next::PassThrough) => {
                output.extend_from_slice(rest);
                return (output, Some(Next::PassThrough));
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                return (output, None);
            }
        }
    }
    output.extend(filter.rest());
    (output, Some(Next::Filter))
}
