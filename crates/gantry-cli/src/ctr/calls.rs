//! The daemon as ctr reaches it, and the commands that print an answer as it is.

use std::time::Duration;

use gantry_api::client::{ConnectError, connect_within};
use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{GetServerVersionRequest, StateRequest, StatsRequest};
use serde::Serialize;
use tonic::transport::Channel;

use super::command::{ADDRESS, CONN_TIMEOUT};
use super::error::Error;
use super::flags::Flags;
use super::line::Run;
use super::{go, print};

/// The largest answer taken: the state of some ten thousand containers.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Where the daemon is. Nothing is connected before a command has what it needs.
#[derive(Debug)]
pub(crate) struct Daemon {
    address: String,
    timeout: Duration,
}

// === impl Daemon ===

impl Daemon {
    pub(crate) fn new(global: &Flags) -> Self {
        Self { address: global.text(&ADDRESS), timeout: global.span(&CONN_TIMEOUT) }
    }

    pub(crate) async fn connect(&self) -> Result<ApiClient<Channel>, Error> {
        let address = self.absolute_address()?;
        // As in Go, no time at all means any time.
        let timeout = if self.timeout.is_zero() { Duration::MAX } else { self.timeout };
        match connect_within(&address, timeout).await {
            Ok(channel) => Ok(ApiClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES)),
            // An address that nobody can have is one where nobody listens.
            Err(ConnectError::BadAddress { .. } | ConnectError::Unreachable { .. }) => {
                Err(Error::Unavailable)
            }
        }
    }

    /// The path of a Unix socket may be relative, and a TCP address may leave out the host.
    fn absolute_address(&self) -> Result<String, Error> {
        let (protocol, address) =
            self.address.split_once("://").ok_or_else(|| Error::BadAddress(self.address.clone()))?;
        let absolute = match protocol {
            "unix" if !address.is_empty() => {
                let path = std::path::absolute(address);
                path.ok().and_then(|path| path.to_str().map(str::to_owned)).ok_or(Error::Unavailable)?
            }
            "tcp" if address.starts_with(':') => format!("localhost{address}"),
            _ => address.to_owned(),
        };
        Ok(format!("{protocol}://{absolute}"))
    }
}

// === commands ===

pub(crate) async fn version(daemon: &Daemon) -> Result<(), Error> {
    let mut api = daemon.connect().await?;
    let version = api.get_server_version(GetServerVersionRequest {}).await?.into_inner();
    let (major, minor, patch) = (version.major, version.minor, version.patch);
    print(&format!("daemon version {major}.{minor}.{patch} commit: {}\n", version.revision))
}

pub(crate) async fn state(daemon: &Daemon, run: &Run) -> Result<(), Error> {
    let mut api = daemon.connect().await?;
    print_json(&api.state(StateRequest { id: run.arg(0) }).await?.into_inner())
}

pub(crate) async fn stats(daemon: &Daemon, run: &Run) -> Result<(), Error> {
    let mut api = daemon.connect().await?;
    print_json(&api.stats(StatsRequest { id: run.arg(0) }).await?.into_inner())
}

/// No newline at the end: that is how scripts know it.
fn print_json(answer: &impl Serialize) -> Result<(), Error> {
    print(&go::json(answer)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absolute(address: &str) -> Result<String, Error> {
        Daemon { address: address.to_owned(), timeout: Duration::ZERO }.absolute_address()
    }

    #[test]
    fn addresses_need_a_protocol_and_may_be_relative() {
        assert_eq!(absolute("unix:///run/x.sock").unwrap(), "unix:///run/x.sock");
        assert_eq!(absolute("tcp://:99").unwrap(), "tcp://localhost:99");
        assert_eq!(absolute("tcp://host:99").unwrap(), "tcp://host:99");
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute("unix://x.sock").unwrap(), format!("unix://{}/x.sock", here.display()));
        let error = absolute("/run/x.sock").unwrap_err().to_string();
        assert_eq!(error, "bad bind address format /run/x.sock, expected proto://address");
    }
}
