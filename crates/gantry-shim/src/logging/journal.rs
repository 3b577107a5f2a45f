//! What is about to be appended, written down first, so that a successor knows what to do about it.
//!
//! For each batch the order is: note it here, append it to the log, take it out of the FIFO, note that it is done. Killed
//! in between, the shim leaves a noted batch. If the log has not all of it, it is cut off there, and all of it still is
//! in the FIFO. If the log has it, it may be in the FIFO too: that is seen by comparing. So no line is lost or doubled.
//! No sync is needed: what a killed program has written is in the page cache.

use super::file::Position;
use crate::error::{Error, Result};
use gantry_record::container_log::Stream;
use gantry_record::layout::{FILE_MODE, name};
use rustix::fs::{self, OFlags};
use std::os::fd::OwnedFd;

const WORD_BYTES: usize = 8;
const WORDS: usize = 8;

/// The file.
pub(super) struct Journal(OwnedFd);

/// How many records each log has lost and not told of yet.
pub(super) type Dropped = [u64; 2];

/// A batch that was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Where it comes from.
    pub(super) stream: Stream,
    /// How many bytes of the FIFO it is made of.
    pub(super) bytes: u64,
    /// Where in which log it begins.
    pub(super) begin: Position,
    /// How much before its own records belongs to it.
    pub(super) note_bytes: u64,
    /// Where it ends.
    pub(super) end: u64,
}

impl Journal {
    /// Makes one with nothing in it; its page is there from then on, even if the disk gets full.
    pub(super) fn create() -> Result<Self> {
        let journal = Self::open(OFlags::CREATE | OFlags::TRUNC)?;
        journal.write(&[0; WORDS]).map_err(Error::open(name::LOG_JOURNAL))?;
        Ok(journal)
    }

    /// Opens the one of the shim before.
    pub(super) fn again() -> Result<Self> {
        Self::open(OFlags::empty())
    }

    fn open(flags: OFlags) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | flags;
        Ok(Self(fs::open(name::LOG_JOURNAL, flags, FILE_MODE).map_err(Error::open(name::LOG_JOURNAL))?))
    }

    /// The batch that was not done with, and how many records had been dropped before it.
    pub(super) fn read(&self) -> (Option<Batch>, Dropped) {
        let mut bytes = [0_u8; WORDS * WORD_BYTES];
        // Whatever is missing is zero.
        let _ = rustix::io::pread(&self.0, &mut bytes, 0);
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<WORD_BYTES>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        let [stream, first, second, bytes, inode, offset, note_bytes, end] = words;
        let dropped = [first, second];
        let stream = match stream {
            1 => Stream::Stdout,
            2 => Stream::Stderr,
            _ => return (None, dropped),
        };
        (Some(Batch { stream, bytes, begin: Position { inode, offset }, note_bytes, end }), dropped)
    }

    /// Notes a batch. A failure costs a successor its certainty, nothing else.
    pub(super) fn begin(&self, batch: &Batch, [first, second]: Dropped) {
        let Batch { stream, bytes, begin, note_bytes, end } = *batch;
        let stream = match stream {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        };
        let _ = self.write(&[stream, first, second, bytes, begin.inode, begin.offset, note_bytes, end]);
    }

    /// Notes that it is done.
    pub(super) fn done(&self, [first, second]: Dropped) {
        let _ = self.write(&[0, first, second]);
    }

    fn write<const N: usize>(&self, words: &[u64; N]) -> Result<(), rustix::io::Errno> {
        let mut bytes = [0_u8; WORDS * WORD_BYTES];
        for (bytes, word) in bytes.as_chunks_mut::<WORD_BYTES>().0.iter_mut().zip(words) {
            *bytes = word.to_ne_bytes();
        }
        rustix::io::pwrite(&self.0, bytes.get(..N * WORD_BYTES).unwrap_or(&bytes), 0).map(drop)
    }
}
