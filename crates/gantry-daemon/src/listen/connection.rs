//! One connection, whatever carries it: a single type, so that the HTTP/2 server is compiled once.

use super::accept::Guest;
use gantry_api::server::Client;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tonic::transport::server::Connected;

/// What carries a connection.
#[derive(Debug)]
pub(super) enum Carrier {
    Unix(UnixStream),
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// A connection that was let in.
#[derive(Debug)]
pub(crate) struct Connection {
    carrier: Carrier,
    guest: Guest,
}

impl Connection {
    pub(super) fn new(carrier: Carrier, guest: Guest) -> Self {
        Self { carrier, guest }
    }
}

/// Calls a method on what carries the connection.
macro_rules! carried {
    ($self:expr, $method:ident $(, $arg:expr)*) => {
        match &mut $self.get_mut().carrier {
            Carrier::Unix(stream) => Pin::new(stream).$method($($arg),*),
            Carrier::Tcp(stream) => Pin::new(stream).$method($($arg),*),
            #[cfg(feature = "tls")]
            Carrier::Tls(stream) => Pin::new(stream).$method($($arg),*),
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = carried!(self.as_mut(), poll_read, context, buffer);
        match read {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => self.guest.has_spoken(),
            // To the one who reads it looks as if the client had gone.
            Poll::Pending if self.guest.must_go(context) => return Poll::Ready(Ok(())),
            _ => {}
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        carried!(self, poll_write, context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(self, poll_flush, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(self, poll_shutdown, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        carried!(self, poll_write_vectored, context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl Connected for Connection {
    type ConnectInfo = Client;

    fn connect_info(&self) -> Client {
        self.guest.client()
    }
}
