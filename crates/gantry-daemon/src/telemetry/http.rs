//! A few pages over HTTP/1.1, for Prometheus and for people with curl.
//!
//! One request a connection, and then it is closed; a request's head is at most [`MAX_HEAD`] bytes and its body is not
//! read; at most [`MAX_CONNECTIONS`] at once, each for at most [`LIMIT`]. Only GET and HEAD are there.

use super::{Telemetry, render, report};
use crate::listen::Listener;
use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, warn};

const MAX_HEAD: usize = 8 << 10;
const MAX_CONNECTIONS: usize = 16;
/// How long one client may take for everything.
const LIMIT: Duration = Duration::from_secs(10);
/// How long to wait when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const INDEX: &str = "/metrics      figures, for Prometheus\n/debug/vars   figures, as JSON\n/debug/tasks  what the daemon is doing\n";

/// Which pages there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    /// `/metrics`.
    Metrics,
    /// Those of 0.2's `--pprof-address`, as far as they can mean something here.
    All,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    status: &'static str,
    kind: &'static str,
    body: String,
    location: Option<&'static str>,
}

/// Serves pages for ever.
pub(crate) async fn serve(listener: Listener, pages: Pages, telemetry: Telemetry) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Never closed, so a permit always comes.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let telemetry = telemetry.clone();
        let accepted = match &listener {
            Listener::Unix(listener, _) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(async move {
                    answer(stream, pages, &telemetry).await;
                    drop(place);
                });
            }),
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(async move {
                    answer(stream, pages, &telemetry).await;
                    drop(place);
                });
            }),
        };
        if let Err(error) = accepted {
            warn!(%error, "a connection for metrics cannot be accepted");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: S, pages: Pages, telemetry: &Telemetry) {
    match timeout(LIMIT, exchange(stream, pages, telemetry)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a client for metrics has gone"),
        Err(_) => debug!("a client for metrics took too long"),
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    pages: Pages,
    telemetry: &Telemetry,
) -> io::Result<()> {
    let Some(head) = read_head(&mut stream).await? else { return Ok(()) };
    let (page, with_body) = match request(&head) {
        Some(("GET", path)) => (page(path, pages, telemetry).await, true),
        Some(("HEAD", path)) => (page(path, pages, telemetry).await, false),
        Some(_) => (Page::error("405 Method Not Allowed", "only GET and HEAD are there\n"), true),
        None => (Page::error("400 Bad Request", "this is no HTTP request\n"), true),
    };
    stream.write_all(page.encode(with_body).as_bytes()).await?;
    stream.shutdown().await
}

/// Reads up to the empty line; nothing if the client ends before it.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        match stream.read(&mut chunk).await? {
            0 => return Ok(None),
            count => head.extend_from_slice(&chunk[..count]),
        }
        if head.windows(4).any(|end| end == b"\r\n\r\n") || head.windows(2).any(|end| end == b"\n\n") {
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if head.len() > MAX_HEAD {
            // It gets an answer, which says what it sent is no request.
            return Ok(Some(String::new()));
        }
    }
}

/// Method and path of a request.
fn request(head: &str) -> Option<(&str, &str)> {
    let mut words = head.lines().next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let path = target.split(['?', '#']).next()?;
    (version.starts_with("HTTP/1.") && path.starts_with('/')).then_some((method, path))
}

async fn page(path: &str, pages: Pages, telemetry: &Telemetry) -> Page {
    match (path, pages) {
        ("/metrics", _) => Page::ok(render::PROMETHEUS, render::prometheus(&telemetry.figures().await)),
        ("/debug/vars", Pages::All) => Page::ok("application/json", vars(telemetry).await),
        ("/debug/tasks", Pages::All) => {
            Page::ok(TEXT, report::lines(&telemetry.supervisor, &telemetry.about).join("\n") + "\n")
        }
        ("/debug" | "/debug/", Pages::All) => Page::ok(TEXT, INDEX.to_owned()),
        ("/", Pages::All) => {
            Page { location: Some("/debug/"), ..Page::error("301 Moved Permanently", INDEX) }
        }
        (path, Pages::All) if path.starts_with("/debug/pprof") => Page::error(
            "404 Not Found",
            "there are no Go profiles here; /debug/tasks says what the daemon is doing, and perf(1) where its time goes\n",
        ),
        (_, Pages::All) => Page::error("404 Not Found", INDEX),
        (_, Pages::Metrics) => Page::error("404 Not Found", "only /metrics is here\n"),
    }
}

/// As Go's expvar: one JSON object.
async fn vars(telemetry: &Telemetry) -> String {
    let about = &telemetry.about;
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{{\"program\":\"{}\",\"version\":\"{}\",\"pid\":{},{}}}",
        about.program,
        about.version,
        std::process::id(),
        render::json_members(&telemetry.figures().await)
    );
    text
}

impl Page {
    fn ok(kind: &'static str, body: String) -> Self {
        Self { status: "200 OK", kind, body, location: None }
    }

    fn error(status: &'static str, body: &str) -> Self {
        Self { status, kind: TEXT, body: body.to_owned(), location: None }
    }

    fn encode(&self, with_body: bool) -> String {
        let Self { status, kind, body, location } = self;
        let location = location.map(|path| format!("Location: {path}\r\n")).unwrap_or_default();
        let length = body.len();
        let body = if with_body { body.as_str() } else { "" };
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{location}\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}"
        )
    }
}

/// See [`crate::fuzzing`].
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzzing(bytes: &[u8]) {
    use std::task::{Context, Poll, Waker};
    let mut stream = bytes;
    // Reading from memory never waits.
    let read = std::pin::pin!(read_head(&mut stream)).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(Some(head))) = read else { return };
    if let Some((method, path)) = request(&head) {
        assert!(path.starts_with('/') && !path.contains([' ', '\n', '?']) && !method.contains(' '));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_understood() {
        assert_eq!(request("GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n"), Some(("GET", "/metrics")));
        assert_eq!(request("POST /metrics HTTP/1.0\n\n"), Some(("POST", "/metrics")));
        for head in ["", "GET\r\n\r\n", "GET / HTTP/2\r\n\r\n", "GET metrics HTTP/1.1\r\n\r\n"] {
            assert_eq!(request(head), None, "{head}");
        }
    }

    #[test]
    fn an_answer_says_how_long_it_is() {
        let page = Page { location: Some("/debug/"), ..Page::error("301 Moved Permanently", "there\n") };
        let text = page.encode(false);
        assert!(text.starts_with("HTTP/1.1 301 Moved Permanently\r\n"), "{text}");
        assert!(text.contains("Content-Length: 6\r\nLocation: /debug/\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
        assert!(page.encode(true).ends_with("\r\n\r\nthere\n"));
    }

    #[tokio::test]
    async fn heads_are_bounded_and_may_end_early() {
        assert_eq!(read_head(&mut &b"GET / HTTP/1.1\r\n"[..]).await.unwrap(), None);
        let endless = vec![b'x'; MAX_HEAD * 2];
        assert_eq!(read_head(&mut endless.as_slice()).await.unwrap(), Some(String::new()));
        assert!(read_head(&mut &b"GET / HTTP/1.1\r\n\r\n"[..]).await.unwrap().is_some());
    }
}
