//! What can keep the daemon from starting.

use std::io;
use std::path::PathBuf;

/// Why the daemon ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A configuration file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    ConfigRead {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A configuration file is no TOML.
    #[error("{place}: {reason}")]
    ConfigSyntax {
        /// File and line.
        place: String,
        /// The parser's reason.
        reason: String,
    },
    /// A setting that there is not.
    #[error("{place}: unknown setting {name:?}; {hint}")]
    ConfigUnknown {
        /// File and line, or variable.
        place: String,
        /// As it was written.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// A setting cannot have this value.
    #[error("{place}: {reason}")]
    ConfigValue {
        /// File, line and setting, or variable.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Settings of a file do not go together.
    #[error("{}: {reason}", path.display())]
    ConfigTogether {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No file was named, and none is read by default.
    #[error("there is no configuration file by default; name one")]
    ConfigNone,
    /// Settings do not go together.
    #[error("{0}")]
    Together(&'static str),
    /// Standard output cannot be written.
    #[error("cannot print: {0}")]
    Print(io::Error),
    /// TLS is not part of this build.
    #[cfg(not(feature = "tls"))]
    #[error(
        "this gantryd is built without TLS; build it with the feature \"tls\", or listen on a Unix socket and forward \
         that, for example with ssh -L"
    )]
    TlsNotBuilt,
    /// A file for TLS cannot be used.
    #[cfg(feature = "tls")]
    #[error("cannot use {} for TLS: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The service manager has passed none, or too many.
    #[error(
        "incorrect number of listeners: {0} were passed by the service manager, and exactly one is served"
    )]
    ListenCount(usize),
    /// The threads could not be started.
    #[error("cannot start the daemon's threads: {0}")]
    Threads(io::Error),
    /// The address has no form that is known.
    #[error(
        "bad listen address format {0}, expected proto://address; for example unix:///run/gantry/gantryd.sock"
    )]
    ListenFormat(String),
    /// The protocol is not one of those there are.
    #[error("cannot listen on {address}: unknown protocol {protocol:?}; use unix, tcp or fd")]
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
    /// The server stopped by itself.
    #[error("the gRPC server failed: {0}")]
    Server(#[from] tonic::transport::Error),
}
