//! What a daemon and its resident parent say to each other.
//!
//! The resident parent (`gantry-runtime resident`) is a process of the daemon's that forks shims and runs commands of
//! the built-in runtime in forks of its own, so that neither pays for an execve. The two share a socket of type
//! `SOCK_SEQPACKET`, which is the parent's standard input: one message, one packet. The daemon sends [`Request`]s, each
//! with a number and the descriptors that its kind names; whoever is forked for one answers under the same number:
//! [`Reply::Started`] with a pidfd of itself and, for a command, [`Reply::Ended`]. The first packet is the parent's
//! [`greeting`]. Both sides are of one version and on one machine; a packet that is not understood ends the connection.

use crate::ContainerId;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What the parent is executed with in its environment, and then takes out of it: glibc keeps no caches of freed memory then, so
/// that all of it can be given back.
pub const ALLOCATOR: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");

/// The largest packet. A request that would be larger is refused by [`Request::encode`].
pub const MAX_BYTES: usize = 32 << 10;

/// The most descriptors that a packet carries.
pub const MAX_DESCRIPTORS: usize = 3;

/// What the parent says first: that it is there, and its version.
#[must_use]
pub fn greeting() -> &'static str {
    concat!("gantry-resident ", env!("CARGO_PKG_VERSION"))
}

/// A packet that is not understood.
#[derive(Debug, thiserror::Error)]
#[error("a packet between the daemon and its resident parent makes no sense: {0}")]
pub struct Malformed(String);

/// What the daemon asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Fork a shim; the descriptor is its standard output ([`crate::ready`]).
    Shim(Shim),
    /// Run a command of the built-in runtime: its arguments without the program's name. The descriptors are its
    /// standard streams.
    Run(Vec<OsString>),
}

/// A shim to fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shim {
    /// The container.
    pub container: ContainerId,
    /// Its bundle.
    pub bundle: PathBuf,
    /// Name or path of the runtime.
    pub runtime: String,
    /// Whether that is the built-in one, which the shim then runs in forks of its own.
    pub built_in: bool,
    /// The process's folder.
    pub folder: PathBuf,
}

/// What the daemon is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The process runs; a pidfd of it comes with the packet.
    Started {
        /// Its pid.
        pid: i32,
    },
    /// The command has ended.
    Ended {
        /// As wait(2) gives it.
        wait_status: i32,
    },
    /// Nothing was forked.
    Refused {
        /// Why, as an `errno`.
        errno: i32,
    },
}

const SHIM: u8 = b's';
const RUN: u8 = b'r';
const NUMBER_BYTES: usize = size_of::<u64>();

impl Request {
    /// The packet; `None` if it would be too large.
    #[must_use]
    pub fn encode(&self, number: u64) -> Option<Vec<u8>> {
        let mut packet = number.to_le_bytes().to_vec();
        match self {
            Self::Shim(Shim { container, bundle, runtime, built_in, folder }) => {
                packet.push(SHIM);
                let built_in = OsStr::new(if *built_in { "1" } else { "0" });
                let words = [
                    container.as_str().as_ref(),
                    bundle.as_os_str(),
                    runtime.as_ref(),
                    built_in,
                    folder.as_ref(),
                ];
                words.into_iter().for_each(|word| push(&mut packet, word));
            }
            Self::Run(arguments) => {
                packet.push(RUN);
                arguments.iter().for_each(|argument| push(&mut packet, argument));
            }
        }
        (packet.len() <= MAX_BYTES).then_some(packet)
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// [`Malformed`] for one that [`Request::encode`] does not make.
    pub fn decode(packet: &[u8]) -> Result<(u64, Self), Malformed> {
        let malformed = |what: &str| Malformed(format!("request: {what}"));
        let (number, rest) = number(packet).ok_or_else(|| malformed("no number"))?;
        let (kind, rest) = rest.split_first().ok_or_else(|| malformed("no kind"))?;
        let mut words = rest.split_inclusive(|byte| *byte == 0).map(|word| word.strip_suffix(&[0]));
        let mut word = || words.next().flatten().map(|word| OsString::from_vec(word.to_vec()));
        match *kind {
            SHIM => {
                let mut word = || word().ok_or_else(|| malformed("a word is missing"));
                let text = |word: OsString| word.into_string().map_err(|_| malformed("a word is not UTF-8"));
                let (container, bundle, runtime) = (text(word()?)?, word()?, text(word()?)?);
                let (built_in, folder) = (word()? == "1", word()?);
                let container =
                    ContainerId::new(&container).map_err(|error| malformed(&error.to_string()))?;
                let shim =
                    Shim { container, bundle: bundle.into(), runtime, built_in, folder: folder.into() };
                Ok((number, Self::Shim(shim)))
            }
            RUN => Ok((number, Self::Run(std::iter::from_fn(word).collect()))),
            _ => Err(malformed("an unknown kind")),
        }
    }
}

impl Reply {
    /// The packet.
    #[must_use]
    pub fn encode(self, number: u64) -> [u8; 13] {
        let (kind, value) = match self {
            Self::Started { pid } => (b's', pid),
            Self::Ended { wait_status } => (b'e', wait_status),
            Self::Refused { errno } => (b'r', errno),
        };
        let mut packet = [0; 13];
        packet[..NUMBER_BYTES].copy_from_slice(&number.to_le_bytes());
        packet[NUMBER_BYTES] = kind;
        packet[NUMBER_BYTES + 1..].copy_from_slice(&value.to_le_bytes());
        packet
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// [`Malformed`] for one that [`Reply::encode`] does not make.
    pub fn decode(packet: &[u8]) -> Result<(u64, Self), Malformed> {
        let malformed = |what: &str| Malformed(format!("reply: {what}"));
        let (number, rest) = number(packet).ok_or_else(|| malformed("no number"))?;
        let (kind, value) = rest.split_first().ok_or_else(|| malformed("no kind"))?;
        let value = i32::from_le_bytes(value.try_into().map_err(|_| malformed("its length"))?);
        let reply = match *kind {
            b's' => Self::Started { pid: value },
            b'e' => Self::Ended { wait_status: value },
            b'r' => Self::Refused { errno: value },
            _ => return Err(malformed("an unknown kind")),
        };
        Ok((number, reply))
    }
}

fn push(packet: &mut Vec<u8>, word: &OsStr) {
    // Arguments and paths have none (execve(2)); one that had would be two words, and refused by its reader.
    packet.extend(word.as_bytes());
    packet.push(0);
}

fn number(packet: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = packet.split_first_chunk::<NUMBER_BYTES>()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shim() -> Request {
        Request::Shim(Shim {
            container: ContainerId::new("c1").unwrap(),
            bundle: "/b".into(),
            runtime: "runc".to_owned(),
            built_in: true,
            folder: "/s/c1/init".into(),
        })
    }

    #[test]
    fn requests_come_back_as_they_were() {
        let run = Request::Run(["--root=/r", "", "start", "c1"].map(OsString::from).to_vec());
        for request in [shim(), run, Request::Run(vec![])] {
            let packet = request.encode(7).unwrap();
            assert_eq!(Request::decode(&packet).unwrap(), (7, request));
        }
    }

    #[test]
    fn replies_come_back_as_they_were() {
        for reply in
            [Reply::Started { pid: 42 }, Reply::Ended { wait_status: -1 }, Reply::Refused { errno: 11 }]
        {
            assert_eq!(Reply::decode(&reply.encode(u64::MAX)).unwrap(), (u64::MAX, reply));
        }
    }

    #[test]
    fn a_packet_cut_anywhere_is_refused_or_shorter_and_never_a_panic() {
        let packet = shim().encode(1).unwrap();
        for length in 0..packet.len() {
            assert!(Request::decode(&packet[..length]).is_err(), "{length}");
        }
        for length in 0..13 {
            assert!(Reply::decode(&Reply::Started { pid: 1 }.encode(1)[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn what_is_too_large_is_not_sent() {
        assert!(Request::Run(vec!["x".repeat(MAX_BYTES).into()]).encode(1).is_none());
    }
}
