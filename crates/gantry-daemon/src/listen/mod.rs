//! Taking the socket.
//!
//! A Unix socket is made with mode 0660 from its first moment: whoever can connect can become root. A socket that
//! a daemon answers on is left alone; a dead one is replaced. What comes in is [`connection`]s, counted and limited
//! by [`accept`].

mod accept;
mod activation;
mod connection;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;

pub(crate) use accept::{Incoming, incoming};
pub(crate) use tls::Tls;

use crate::error::Error;
use rustix::fs::{FileType, Mode};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tracing::warn;

/// Where the daemon serves.
#[derive(Debug)]
pub(crate) enum Listener {
    /// A Unix socket, and its path if it is ours to remove.
    Unix(UnixListener, Option<PathBuf>),
    /// A TCP port.
    Tcp(TcpListener),
}

/// Opens the listener that `address` names.
pub(crate) async fn listen(address: &str) -> Result<Listener, Error> {
    let (protocol, rest) =
        address.split_once("://").ok_or_else(|| Error::ListenFormat(address.to_owned()))?;
    match protocol {
        "fd" => activation::listen(rest),
        _ if rest.is_empty() || rest.contains("://") => Err(Error::ListenFormat(address.to_owned())),
        "unix" => unix(Path::new(rest)).await,
        "tcp" => tcp(rest).await,
        _ => Err(Error::ListenProtocol { address: address.to_owned(), protocol: protocol.to_owned() }),
    }
}

/// Opens the listener of an address that may also be just `HOST:PORT`, and warns if others can reach it.
pub(crate) async fn listen_for_telemetry(address: &str) -> Result<Listener, Error> {
    let listener = match address.split_once("://") {
        Some(_) => listen(address).await?,
        None => tcp(address).await?,
    };
    if !listener.is_local() {
        warn!(address, "metrics are served in clear text to everybody who can reach this address");
    }
    Ok(listener)
}

impl Listener {
    /// Whether only this host can reach it.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Unix(..) => true,
            // An address that cannot be told is nothing to rely on.
            Self::Tcp(listener) => listener.local_addr().is_ok_and(|address| address.ip().is_loopback()),
        }
    }

    /// Removes what it has made.
    pub(crate) fn remove(path: Option<&Path>) {
        if let Some(path) = path
            && let Err(error) = std::fs::remove_file(path)
        {
            warn!(%error, path = %path.display(), "the socket cannot be removed");
        }
    }

    /// The path that it has made.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Unix(_, path) => path.clone(),
            Self::Tcp(_) => None,
        }
    }
}

async fn tcp(address: &str) -> Result<Listener, Error> {
    let listener = TcpListener::bind(address).await;
    listener.map(Listener::Tcp).map_err(|source| failed("listen on", &address, source))
}

fn failed(step: &'static str, address: &impl ToString, source: impl Into<io::Error>) -> Error {
    Error::Listen { step, address: address.to_string(), source: source.into() }
}

async fn unix(path: &Path) -> Result<Listener, Error> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(folder)
            .map_err(|e| failed("make the folder", &folder.display(), e))?;
    }
    remove_dead(path).await?;
    // The umask is the whole process's; nothing else makes files yet.
    let umask = rustix::process::umask(Mode::from_raw_mode(0o117));
    let bound = UnixListener::bind(path);
    rustix::process::umask(umask);
    let listener = bound.map_err(|e| failed("listen on", &path.display(), e))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .map_err(|e| failed("protect", &path.display(), e))?;
    Ok(Listener::Unix(listener, Some(path.to_owned())))
}

/// Removes a socket on which nobody listens.
async fn remove_dead(path: &Path) -> Result<(), Error> {
    let stat = match rustix::fs::lstat(path) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(failed("look at", &path.display(), error)),
    };
    if !FileType::from_raw_mode(stat.st_mode).is_socket() {
        return Err(Error::NotASocket { path: path.to_owned() });
    }
    match UnixStream::connect(path).await {
        Ok(_) => return Err(Error::SocketInUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        // A full backlog (EAGAIN) has somebody behind it too; anything else is not ours to remove.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(Error::SocketInUse { path: path.to_owned() });
        }
        Err(error) => return Err(failed("look who listens on", &path.display(), error)),
    }
    std::fs::remove_file(path).map_err(|e| failed("remove the dead socket", &path.display(), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_live_socket_is_refused_and_a_dead_one_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/d.sock");
        let address = format!("unix://{}", path.display());
        let live = listen(&address).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(listen(&address).await, Err(Error::SocketInUse { .. })));
        drop(live);
        assert!(path.exists());
        listen(&address).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"precious").unwrap();
        let address = format!("unix://{}", path.display());
        assert!(matches!(listen(&address).await, Err(Error::NotASocket { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn who_can_reach_a_listener_is_known() {
        assert!(listen("tcp://127.0.0.1:0").await.unwrap().is_local());
        assert!(!listen_for_telemetry("0.0.0.0:0").await.unwrap().is_local());
    }

    #[tokio::test]
    async fn addresses_are_explained() {
        for address in ["/run/x", "unix:/x", "unix://", "a://b://c"] {
            let error = listen(address).await.unwrap_err().to_string();
            assert!(error.contains("expected proto://address"), "{error}");
        }
        assert!(matches!(listen("http://x").await, Err(Error::ListenProtocol { .. })));
    }
}
