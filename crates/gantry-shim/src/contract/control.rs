//! Reading the `control` FIFO ([`gantry_record::control`]): lines from a daemon of any age, or garbage.

use crate::error::Result;
use gantry_record::control::{ControlMessage, MAX_LINE_BYTES};
use gantry_record::fifo;
use gantry_record::layout::name;
use rustix::fs::OFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// The read side, open for writing too so that it never reports the end of file when a daemon goes away.
pub(crate) struct Control {
    fifo: OwnedFd,
    line: Line,
}

/// A line that has come in part. One longer than any message is skipped up to its end.
#[derive(Default)]
pub(super) struct Line {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Control {
    /// Opens it; what was written before is still in it.
    pub(crate) fn open() -> Result<Self> {
        let fifo = fifo::open(Path::new(name::CONTROL), OFlags::RDWR)?;
        let line = Line { bytes: Vec::with_capacity(MAX_LINE_BYTES), too_long: false };
        Ok(Self { fifo, line })
    }

    /// Hands over the messages that have come. Reads at most once, so that a flood cannot keep the shim from
    /// its other work; epoll says so when there is more.
    pub(crate) fn receive(&mut self, mut handle: impl FnMut(ControlMessage)) {
        let mut chunk = [0_u8; 512];
        let Ok(count) = rustix::io::read(&self.fifo, &mut chunk) else { return };
        for byte in chunk.iter().take(count) {
            if let Some(message) = self.line.push(*byte) {
                handle(message);
            }
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fifo.as_fd()
    }
}

impl Line {
    pub(super) fn push(&mut self, byte: u8) -> Option<ControlMessage> {
        if byte != b'\n' {
            self.too_long |= self.bytes.len() == MAX_LINE_BYTES;
            if !self.too_long {
                self.bytes.push(byte);
            }
            return None;
        }
        let message = if self.too_long { None } else { ControlMessage::decode(&self.bytes) };
        self.bytes.clear();
        self.too_long = false;
        message
    }

    /// How much of a line is kept.
    #[cfg(feature = "fuzzing")]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(bytes: &[u8]) -> Vec<ControlMessage> {
        let mut line = Line::default();
        bytes.iter().filter_map(|b| line.push(*b)).collect()
    }

    #[test]
    fn garbage_between_messages_is_skipped() {
        let mut bytes = b"1 80 24\nx\n\n\xff\xfe\n9 9 9\n".to_vec();
        bytes.extend(vec![b'0'; 10_000]);
        bytes.extend(b"\n0 0 0\n1 1");
        let expected = [ControlMessage::Resize { width: 80, height: 24 }, ControlMessage::CloseStdin];
        assert_eq!(messages(&bytes), expected);
    }
}
