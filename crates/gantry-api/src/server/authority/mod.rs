//! Making requests acceptable whose `:authority` is no authority.
//!
//! For a Unix socket, gRPC clients have no host to name. dockerd of 2017 (grpc-go 1.3) and grpcio send the socket's
//! path, which the HTTP/2 library under tonic answers with a reset of the stream before any of our code sees it.
//! So the bytes are looked at first: when a connection's first request has such an `:authority`, every header
//! block on that connection is decoded and written anew with `localhost`. Other connections, those of ctr and of
//! today's clients, are passed through untouched after their first header block.

mod filter;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;

use filter::{Filter, Next};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// How much is read at once while a connection is filtered.
const CHUNK: usize = 16 << 10;

/// A connection from a client that may name any authority.
#[derive(Debug)]
pub struct AnyAuthority<S> {
    connection: S,
    /// `None` once the connection has shown that it needs no filter.
    filter: Option<Box<Filter>>,
    /// What was filtered and not yet read.
    output: Vec<u8>,
    /// How much of that was read.
    taken: usize,
}

impl<S> AnyAuthority<S> {
    /// Wraps a connection that was just accepted.
    #[must_use]
    pub fn new(connection: S) -> Self {
        Self { connection, filter: Some(Box::default()), output: Vec::new(), taken: 0 }
    }

    fn take_output(&mut self, into: &mut ReadBuf<'_>) {
        let rest = &self.output[self.taken..];
        let count = rest.len().min(into.remaining());
        into.put_slice(&rest[..count]);
        self.taken += count;
        if self.taken == self.output.len() {
            self.output.clear();
            self.taken = 0;
            if self.filter.is_none() {
                self.output.shrink_to_fit();
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnyAuthority<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.taken < this.output.len() {
                this.take_output(buffer);
                return Poll::Ready(Ok(()));
            }
            let Some(filter) = &mut this.filter else {
                return Pin::new(&mut this.connection).poll_read(context, buffer);
            };
            let mut space = [0_u8; CHUNK];
            let mut chunk = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut this.connection).poll_read(context, &mut chunk))?;
            if chunk.filled().is_empty() {
                // The end, also of what was too short to be understood.
                this.output = filter.rest();
                this.filter = None;
                continue;
            }
            match filter.push(chunk.filled(), &mut this.output)? {
                Next::Filter => {}
                Next::PassThrough => this.filter = None,
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnyAuthority<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}

impl<S: Connected> Connected for AnyAuthority<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.connection.connect_info()
    }
}
