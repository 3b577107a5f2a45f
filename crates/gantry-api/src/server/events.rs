//! The stream of events to one client: the replay, then what happens.

use super::client::Place;
use crate::types;
use gantry_supervisor::events::Subscription;
use gantry_supervisor::{Event, Timestamp};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::codegen::tokio_stream::Stream;

/// See the module.
#[derive(Debug)]
pub struct EventStream {
    replay: VecDeque<Arc<Event>>,
    subscription: Subscription,
    ended: bool,
    _place: Place,
}

impl EventStream {
    pub(super) fn new(mut subscription: Subscription, place: Place) -> Self {
        let replay = std::mem::take(&mut subscription.replay).into();
        Self { replay, subscription, ended: false, _place: place }
    }
}

impl Stream for EventStream {
    type Item = Result<types::Event, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(event) = self.replay.pop_front() {
            return Poll::Ready(Some(Ok(to_wire(&event))));
        }
        let Some(live) = &mut self.subscription.live else { return Poll::Ready(None) };
        match live.poll_recv(context) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(Ok(to_wire(&event)))),
            Poll::Ready(None) if self.subscription.has_lagged() && !self.ended => {
                self.ended = true;
                let text = "events came faster than they were read; subscribe again from the timestamp of the \
                            last event that was received";
                Poll::Ready(Some(Err(Status::resource_exhausted(text))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn to_wire(event: &Event) -> types::Event {
    let (seconds, nanos) = event.timestamp.to_parts();
    types::Event {
        r#type: event.kind.as_str().to_owned(),
        id: event.container.clone(),
        status: event.status,
        pid: event.process.clone(),
        timestamp: Some(prost_types::Timestamp { seconds, nanos }),
    }
}

/// The time from which a client wants stored events. Go's zero time means none, as none does.
pub(crate) fn since(timestamp: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Status> {
    let Some(prost_types::Timestamp { seconds, nanos }) = timestamp else { return Ok(None) };
    let parsed = Timestamp::from_parts(seconds, nanos).ok_or_else(|| {
        Status::unknown(format!("timestamp: seconds:{seconds} nanos:{nanos} is out of range"))
    })?;
    Ok(Some(parsed).filter(|t| *t != Timestamp::GO_ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_and_gos_zero_time_are_the_same() {
        let at = |seconds, nanos| since(Some(prost_types::Timestamp { seconds, nanos }));
        assert_eq!(since(None).unwrap(), None);
        assert_eq!(at(-62_135_596_800, 0).unwrap(), None);
        assert_eq!(at(0, 0).unwrap(), Some(Timestamp::default()));
        assert_eq!(at(0, -1).unwrap_err().code(), tonic::Code::Unknown);
    }
}
