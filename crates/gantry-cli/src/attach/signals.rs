//! Signals that an attached client gets: most are for the container, one tells that the window has a new size.

use std::future::poll_fn;
use std::task::Poll;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::error::Error;
use crate::signal::Signal;

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    ForContainer(Signal),
    NewSize,
}

/// From its start to its end, the signals below do not end the client.
#[derive(Debug)]
pub(crate) struct Signals {
    streams: Vec<(SignalKind, Stream)>,
}

// === impl Signals ===

impl Signals {
    pub(crate) fn catch() -> Result<Self, Error> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
            SignalKind::window_change(),
        ];
        let stream = |kind| signal(kind).map(|stream| (kind, stream));
        match kinds.into_iter().map(stream).collect() {
            Ok(streams) => Ok(Self { streams }),
            Err(error) => Err(Error::system("catch signals", error)),
        }
    }

    pub(crate) async fn next(&mut self) -> Arrived {
        poll_fn(|context| {
            for (kind, stream) in &mut self.streams {
                if let Poll::Ready(Some(())) = stream.poll_recv(context) {
                    return Poll::Ready(match *kind {
                        kind if kind == SignalKind::window_change() => Arrived::NewSize,
                        kind => Arrived::ForContainer(Signal::from_kind(kind)),
                    });
                }
            }
            Poll::Pending
        })
        .await
    }
}
