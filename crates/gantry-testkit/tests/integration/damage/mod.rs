//! Damaged state: each record cut, flipped, emptied, replaced or of another version, while no daemon is there. The next
//! daemon starts, says what it set aside and where, ends nobody's process but those that it gives up, tells each exit
//! once, and all other containers work.

mod ended;
mod live;
mod own_files;
mod table;
mod yard;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// What happens to one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// It is cut to so many bytes.
    Cut(usize),
    /// One bit of the byte at this place is another.
    Flip(usize),
    /// It is there, and nothing is in it.
    Empty,
    /// It is not there.
    Missing,
    /// A folder is in its place.
    Folder,
    /// A symbolic link to a file with its content is in its place.
    Link,
    /// A FIFO is in its place, which nobody opens.
    Fifo,
    /// A socket is in its place.
    Socket,
    /// It is of a version that is to come.
    Newer,
    /// It says this.
    Says(&'static str),
}

impl Damage {
    /// As it is called in the table.
    pub(super) fn name(self) -> String {
        match self {
            Self::Cut(_) => "cut".to_owned(),
            Self::Flip(_) => "flipped".to_owned(),
            Self::Says(text) => format!("says {text:?}"),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    /// Does it. `aside` is where a link may lead to.
    pub(super) fn to(self, record: &Path, aside: &Path) {
        // Reading a FIFO would wait for whoever writes to it.
        let is_file = record.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
        let content = if is_file { fs::read(record).unwrap() } else { Vec::new() };
        let clear = || {
            if record.is_dir() {
                fs::remove_dir_all(record).unwrap();
            } else if record.symlink_metadata().is_ok() {
                fs::remove_file(record).unwrap();
            }
        };
        if !is_file {
            // Nor is a FIFO written to: a file comes in its place.
            clear();
        }
        match self {
            Self::Cut(length) => fs::write(record, &content[..length.min(content.len())]).unwrap(),
            Self::Flip(place) => {
                let mut content = content;
                if let Some(byte) = content.get_mut(place) {
                    *byte ^= 1 << (place % 8);
                }
                fs::write(record, content).unwrap();
            }
            Self::Empty => fs::write(record, b"").unwrap(),
            Self::Says(text) => fs::write(record, text).unwrap(),
            Self::Missing => clear(),
            Self::Folder => {
                clear();
                fs::create_dir(record).unwrap();
                fs::write(record.join("inside"), b"something").unwrap();
            }
            Self::Link => {
                clear();
                fs::write(aside, &content).unwrap();
                symlink(aside, record).unwrap();
            }
            Self::Fifo => {
                clear();
                drop(gantry_testkit::Fifo::create(record));
            }
            Self::Socket => {
                clear();
                drop(std::os::unix::net::UnixListener::bind(record).unwrap());
            }
            Self::Newer => fs::write(record, newer(&content)).unwrap(),
        }
    }
}

/// What a later version might write: more keys in what is JSON, more words in what is not.
fn newer(content: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(content).into_owned();
    match text.trim_end().strip_suffix('}') {
        Some(open) => format!("{open},\"version\":99,\"futureThings\":{{\"a\":[1,2,null]}}}}\n").into_bytes(),
        None => format!("{text} v99\n").into_bytes(),
    }
}
