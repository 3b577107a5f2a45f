//! Sending traces to a collector of OpenTelemetry: OTLP over HTTP/1.1, in JSON. One request at a time, one try each;
//! nobody waits for a trace, and one that cannot be sent is dropped.

use super::spans;
use gantry_supervisor::traces::StartTrace;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{info, warn};

/// What OTLP has in place of a path that is not given.
const DEFAULT_PATH: &str = "/v1/traces";
/// Starts that are sent together.
const BATCH: usize = 64;
/// How long more starts are waited for, once there is one.
const GATHER: Duration = Duration::from_millis(200);
/// How long one sending may take.
const LIMIT: Duration = Duration::from_secs(5);
/// As much of an answer as its first line needs.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Where a collector listens: `http://HOST:PORT`, or with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `HOST:PORT`.
    authority: String,
    path: String,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest =
            text.strip_prefix("http://").ok_or("expected http://HOST:PORT[/PATH]; there is no TLS for it")?;
        let (authority, path) = match rest.find('/') {
            Some(slash) if slash + 1 < rest.len() => rest.split_at(slash),
            Some(slash) => (&rest[..slash], DEFAULT_PATH),
            None => (rest, DEFAULT_PATH),
        };
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0));
        if !has_port || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("expected http://HOST:PORT[/PATH]".to_owned());
        }
        Ok(Self { authority: authority.to_owned(), path: path.to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// Sends what comes, until nothing more can come.
pub(crate) async fn send(endpoint: Endpoint, mut starts: mpsc::Receiver<StartTrace>) {
    let mut failing = false;
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = starts.recv().await {
        batch.push(first);
        let more = async { while batch.len() < BATCH && starts.recv_many(&mut batch, BATCH).await > 0 {} };
        // Whether they came or not: what there is goes now.
        let _ = timeout(GATHER, more).await;
        let body = spans::request(&batch).to_string();
        batch.clear();
        let sent = timeout(LIMIT, post(&endpoint, &body)).await;
        let sent = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match &sent {
            Ok(()) if failing => info!(%endpoint, "the collector takes traces again"),
            Err(error) if !failing => {
                warn!(%endpoint, %error, "traces cannot be sent; they are dropped until they can");
            }
            _ => {}
        }
        failing = sent.is_err();
    }
}

async fn post(endpoint: &Endpoint, body: &str) -> io::Result<()> {
    let Endpoint { authority, path } = endpoint;
    let mut stream = TcpStream::connect(authority).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let line = answer.lines().next().unwrap_or_default();
    // `HTTP/1.1 200 OK`
    match line.split(' ').nth(1) {
        Some(code) if code.starts_with('2') => Ok(()),
        _ => Err(io::Error::other(format!("the collector answered {line:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_have_a_port_and_may_have_a_path() {
        let shown = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
        assert_eq!(shown("http://127.0.0.1:4318").unwrap(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(shown("http://[::1]:4318/").unwrap(), "http://[::1]:4318/v1/traces");
        assert_eq!(shown("http://collector:80/a/b").unwrap(), "http://collector:80/a/b");
        for text in [
            "",
            "127.0.0.1:4318",
            "https://x:1",
            "http://x",
            "http://:1",
            "http://x:0",
            "http://x:y",
            "http://x:1/a b",
        ] {
            assert!(shown(text).is_err(), "{text:?}");
        }
    }
}
