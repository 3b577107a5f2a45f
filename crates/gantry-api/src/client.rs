//! Reaching a daemon: addresses, and connections to them.
//!
//! An address is `unix:///path`, `tcp://host:port`, or a plain absolute path. Every connection says `localhost` as
//! its `:authority`.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint, Uri};

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket by its path.
    Unix(PathBuf),
    /// `host:port`, in clear text.
    Tcp(String),
}

/// Why a daemon could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address has no form that is known.
    #[error("bad address `{address}`: {reason}; expected unix:///PATH, /PATH or tcp://HOST:PORT")]
    BadAddress {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nobody answered.
    #[error("cannot reach gantryd at {address}: {cause}; {hint}")]
    Unreachable {
        /// Where it was tried.
        address: String,
        /// The innermost cause.
        cause: String,
        /// What to do about it.
        hint: &'static str,
        /// The whole chain.
        #[source]
        source: tonic::transport::Error,
    },
}

/// Connects to a daemon. The channel reconnects by itself when it is used after the daemon was restarted.
pub async fn connect(address: &str) -> Result<Channel, ConnectError> {
    connect_within(address, CONNECT_TIMEOUT).await
}

/// As [`connect`], with another limit than [`CONNECT_TIMEOUT`].
pub async fn connect_within(address: &str, timeout: Duration) -> Result<Channel, ConnectError> {
    let parsed: Address = address.parse()?;
    let endpoint = parsed.endpoint(address)?.connect_timeout(timeout);
    endpoint.connect().await.map_err(|source| {
        let io_error = find_io_error(&source);
        ConnectError::Unreachable {
            address: address.to_owned(),
            cause: io_error.map_or_else(|| innermost(&source), io_text),
            hint: hint(&parsed, io_error.map(io::Error::kind)),
            source,
        }
    })
}

// === impl Address ===

impl Address {
    /// The path of a Unix socket.
    #[must_use]
    pub fn socket_path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Tcp(_) => None,
        }
    }

    fn endpoint(&self, given: &str) -> Result<Endpoint, ConnectError> {
        let uri = match self {
            Self::Unix(path) => format!("unix://{}", path.display()),
            Self::Tcp(host) => format!("http://{host}"),
        };
        Endpoint::from_shared(uri)
            .map(|endpoint| endpoint.origin(Uri::from_static("http://localhost")))
            .map_err(|_| bad_address(given, "not a valid host and port"))
    }
}

impl FromStr for Address {
    type Err = ConnectError;

    fn from_str(address: &str) -> Result<Self, Self::Err> {
        let unix = |path: &str| {
            if path.contains('\0') {
                return Err(bad_address(address, "a NUL character in a path"));
            }
            if !path.starts_with('/') {
                return Err(bad_address(address, "the path is not absolute"));
            }
            Ok(Self::Unix(PathBuf::from(path)))
        };
        match address.split_once("://") {
            Some(("unix", path)) => unix(path),
            Some(("tcp", "")) => Err(bad_address(address, "the host is empty")),
            Some(("tcp", host)) => Ok(Self::Tcp(host.to_owned())),
            Some(_) => Err(bad_address(address, "unknown protocol")),
            None if address.is_empty() => Err(bad_address(address, "it is empty")),
            None => unix(address),
        }
    }
}

// === causes and hints ===

fn bad_address(address: &str, reason: &'static str) -> ConnectError {
    ConnectError::BadAddress { address: address.to_owned(), reason }
}

fn find_io_error(error: &tonic::transport::Error) -> Option<&io::Error> {
    let mut next = Some(error as &(dyn StdError + 'static));
    while let Some(error) = next {
        if let Some(io_error) = error.downcast_ref() {
            return Some(io_error);
        }
        next = error.source();
    }
    None
}

fn innermost(error: &tonic::transport::Error) -> String {
    let mut last: &dyn StdError = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// The system's text without "(os error 2)".
fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}

fn hint(address: &Address, kind: Option<io::ErrorKind>) -> &'static str {
    match (kind, address) {
        (Some(io::ErrorKind::PermissionDenied), _) => "the socket belongs to root: try again as root",
        (Some(io::ErrorKind::ConnectionRefused), Address::Unix(_)) => {
            "the socket is there but nobody listens: start gantryd again"
        }
        _ => {
            "is it running? Start it as root with `gantryd`, or name its socket with --address or GANTRY_ADDRESS"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let unix = |path: &str| Address::Unix(PathBuf::from(path));
        assert_eq!("unix:///run/g.sock".parse::<Address>().unwrap(), unix("/run/g.sock"));
        assert_eq!("/run/g.sock".parse::<Address>().unwrap(), unix("/run/g.sock"));
        assert_eq!("tcp://[::1]:80".parse::<Address>().unwrap(), Address::Tcp("[::1]:80".into()));
    }

    #[test]
    fn bad_addresses_are_refused_by_name() {
        for address in ["", "run/g.sock", "unix://run/g.sock", "http://host", "tcp://", "unix:///a\0b"] {
            let error = address.parse::<Address>().unwrap_err();
            assert!(matches!(error, ConnectError::BadAddress { .. }), "{address}: {error}");
        }
    }

    #[tokio::test]
    async fn a_missing_socket_is_explained() {
        let error = connect("unix:///nonexistent/gantryd.sock").await.unwrap_err().to_string();
        assert!(
            error.starts_with("cannot reach gantryd at unix:///nonexistent/gantryd.sock: no such file"),
            "{error}"
        );
        assert!(error.contains("is it running?"), "{error}");
    }

    #[tokio::test]
    async fn a_dead_socket_is_told_from_a_missing_one() {
        let path = std::env::temp_dir().join(format!("gantry-api-dead-{}.sock", std::process::id()));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let error = connect(path.to_str().unwrap()).await.unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(error.contains("nobody listens"), "{error}");
    }
}
