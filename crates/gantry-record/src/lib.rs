//! The records on disk and the shim contract: names, formats, atomic writing, validation.
//!
//! A container is a directory below the state dir, a process is a directory inside it, and what stands there
//! is the truth that the daemon and the shim share. This crate is the only place that knows how those files
//! are called and what is in them; the layout is containerd 0.2's, with extra files where Gantry needs them.
//!
//! It must not know the daemon, the shim, gRPC or any runtime. Start reading at [`StateDir`] and
//! [`ProcessDir`] (where things are), [`ContainerRecord`] and [`ProcessRecord`] (what they say), and
//! [`ready`] (how a shim tells its daemon that the process was created).

pub mod atomic;
pub mod container_log;
pub mod control;
pub mod error;
pub mod failpoint;
pub mod fifo;
pub mod id;
pub mod layout;
pub mod log;
pub mod pidfd;
pub mod proc;
pub mod ready;
pub mod records;
pub mod resident;
pub mod status;
pub mod timestamp;

pub use error::{Error, Result, is_exhaustion};
pub use id::{ContainerId, ProcessId};
pub use layout::{ContainerDir, ProcessDir, StateDir};
pub use records::{ContainerRecord, ProcessRecord, Usage};
pub use status::ExitStatus;
