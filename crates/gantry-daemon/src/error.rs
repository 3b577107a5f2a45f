//! What can keep the daemon from starting.

use std::io;
use std::path::PathBuf;

/// Why the daemon ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The log filter means nothing.
    #[error("bad log level {level:?}: {reason}; use debug, info, warn or error")]
    LogLevel {
        /// As given.
        level: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The threads could not be started.
    #[error("cannot start the daemon's threads: {0}")]
    Threads(io::Error),
    /// The address has no form that is known.
    #[error(
        "bad listen address format {0}, expected proto://address; for example unix:///run/gantry/gantryd.sock"
    )]
    ListenFormat(String),
    /// The protocol is not one of those there are.
    #[error("cannot listen on {address}: unknown protocol {protocol:?}; use unix or tcp")]
    ListenProtocol {
        /// As given.
        address: String,
        /// Its first part.
        protocol: String,
    },
    /// A daemon answers at this socket.
    #[error("cannot listen on {}: another daemon is listening there; stop it first or give another --listen", path.display())]
    SocketInUse {
        /// The socket.
        path: PathBuf,
    },
    /// What is at the socket's path is not a socket.
    #[error("cannot listen on {}: it exists and is no socket; remove it or give another --listen", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// A system call on the way to the socket failed.
    #[error("cannot {step} {address}: {source}")]
    Listen {
        /// The failed step.
        step: &'static str,
        /// Path or host and port.
        address: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A daemon works on this state dir.
    #[error("the state dir {} is in use by another daemon{owner}; stop it first or give another --state-dir", path.display())]
    StateDirInUse {
        /// The state dir.
        path: PathBuf,
        /// ` (pid N)` where it is known.
        owner: String,
    },
    /// The state dir could not be locked.
    #[error("cannot lock the state dir with {}: {source}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The supervisor could not start.
    #[error(transparent)]
    Supervisor(#[from] gantry_supervisor::Error),
    /// The state dir could not be made.
    #[error(transparent)]
    Record(#[from] gantry_record::Error),
    /// Signals cannot be caught.
    #[error("cannot catch signals: {0}")]
    Signals(io::Error),
    /// A failpoint cannot be set.
    #[cfg(feature = "failpoints")]
    #[error("cannot arm the failpoint: {0}")]
    Failpoint(String),
    /// The server stopped by itself.
    #[error("the gRPC server failed: {0}")]
    Server(#[from] tonic::transport::Error),
}
