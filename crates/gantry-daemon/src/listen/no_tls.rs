//! TLS, in a build that has none: what asks for it is refused.

use super::connection::Carrier;
use crate::args::Args;
use crate::error::Error;
use std::convert::Infallible;
use std::io;
use tokio::net::TcpStream;

/// Does not exist.
#[derive(Clone, Debug)]
pub(crate) struct Tls(Infallible);

impl Tls {
    /// Refuses settings that ask for TLS.
    pub(crate) fn of(args: &Args) -> Result<Option<Self>, Error> {
        if args.wants_tls() { Err(Error::TlsNotBuilt) } else { Ok(None) }
    }

    #[allow(clippy::unused_async, reason = "as where there is TLS")]
    pub(super) async fn accept(&self, _: TcpStream) -> io::Result<Carrier> {
        match self.0 {}
    }

    pub(crate) fn proves_clients(&self) -> bool {
        match self.0 {}
    }
}
