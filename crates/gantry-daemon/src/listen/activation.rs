//! Sockets that the service manager has opened: sd_listen_fds(3).

use super::Listener;
use crate::error::Error;
use crate::sys;
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use std::io;
use std::os::fd::OwnedFd;
use tokio::net::{TcpListener, UnixListener};

/// Takes the socket that `which` names: nothing or `*` for the only one there is, or a descriptor's number.
pub(super) fn listen(which: &str) -> Result<Listener, Error> {
    let failed = |source| Error::Listen {
        step: "take the service manager's socket",
        address: format!("fd://{which}"),
        source,
    };
    let mut sockets = sys::inherited_sockets().map_err(failed)?;
    if !matches!(which, "" | "*") {
        let number: i32 = which.parse().map_err(|_| Error::ListenFormat(format!("fd://{which}")))?;
        sockets.retain(|(found, _)| *found == number);
    }
    let count = sockets.len();
    match (sockets.pop(), count) {
        (Some((_, socket)), 1) => listener(socket).map_err(failed),
        _ => Err(Error::ListenCount(count)),
    }
}

fn listener(socket: OwnedFd) -> io::Result<Listener> {
    if socket_type(&socket)? != SocketType::STREAM {
        return Err(io::Error::other("it is no stream socket"));
    }
    rustix::io::ioctl_fionbio(&socket, true)?;
    match socket_domain(&socket)? {
        AddressFamily::UNIX => Ok(Listener::Unix(UnixListener::from_std(socket.into())?, None)),
        AddressFamily::INET | AddressFamily::INET6 => {
            Ok(Listener::Tcp(TcpListener::from_std(socket.into())?))
        }
        _ => Err(io::Error::other("it is neither a Unix nor a TCP socket")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_of_either_kind_is_served() {
        let folder = tempfile::tempdir().unwrap();
        let unix = std::os::unix::net::UnixListener::bind(folder.path().join("s")).unwrap();
        assert!(matches!(listener(unix.into()).unwrap(), Listener::Unix(_, None)));
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(matches!(listener(tcp.into()).unwrap(), Listener::Tcp(_)));
        let other = std::os::unix::net::UnixDatagram::unbound().unwrap();
        assert!(listener(other.into()).is_err());
    }

    #[test]
    fn without_a_service_manager_there_is_none() {
        let error = listen("").unwrap_err().to_string();
        assert!(error.starts_with("incorrect number of listeners"), "{error}");
        assert!(matches!(listen("x"), Err(Error::ListenFormat(_))));
    }
}
