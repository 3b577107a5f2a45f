//! Sending figures to Graphite (Carbon) in plain text over TCP.

use super::{Telemetry, render};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{info, warn};

/// How often, as 0.2 did it.
const EVERY: Duration = Duration::from_secs(10);
/// How long one sending may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Sends for ever. A server that is not there is tried again next time.
pub(super) async fn send(telemetry: Telemetry, address: String) {
    let mut failing = false;
    loop {
        tokio::time::sleep(EVERY).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let text = render::graphite(&telemetry.figures().await, now);
        let sent = timeout(LIMIT, send_once(&address, &text)).await;
        let sent = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match &sent {
            Ok(()) if failing => info!(address, "Graphite takes metrics again"),
            Err(error) if !failing => {
                warn!(address, %error, "metrics cannot be sent to Graphite; trying again every {EVERY:?}");
            }
            _ => {}
        }
        failing = sent.is_err();
    }
}

async fn send_once(address: &str, text: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
