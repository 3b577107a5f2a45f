//! What one connection has, so that a client that takes all it can leaves something to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tonic::{Request, Status};

/// Event streams at once on one connection. Clients such as dockerd have one connection for all that they do.
const MAX_OF_CONNECTION: usize = 4096;
/// Event streams at once, all connections together: each may come to be two thousand events behind.
const MAX_OF_ALL: usize = 8192;

/// A connected client; each of its requests carries it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Client(Arc<Has>);

#[derive(Debug, Default)]
struct Has {
    called: AtomicBool,
    streams: Arc<AtomicUsize>,
}

impl Client {
    /// Whether it has ever asked for anything.
    #[must_use]
    pub fn has_called(&self) -> bool {
        self.0.called.load(Ordering::Relaxed)
    }

    /// Notes that it has.
    pub fn note_call(&self) {
        self.0.called.store(true, Ordering::Relaxed);
    }
}

/// The event streams that there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<AtomicUsize>);

/// Places that one stream takes, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _of_connection: Taken,
    _of_all: Taken,
}

#[derive(Debug)]
struct Taken(Arc<AtomicUsize>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn take(count: &Arc<AtomicUsize>, limit: usize, whose: &str) -> Result<Taken, Status> {
    let more = |streams| if streams < limit { Some(streams + 1) } else { None };
    match count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
        Ok(_) => Ok(Taken(Arc::clone(count))),
        Err(_) => Err(Status::resource_exhausted(format!(
            "too many event streams: {whose} has {limit}, the most that there can be; end one and subscribe again"
        ))),
    }
}

impl Streams {
    /// Takes a place for one more stream.
    pub(super) fn enter<T>(&self, request: &Request<T>) -> Result<Place, Status> {
        // A server that does not say who is connected counts each stream as a connection's only one.
        let client = request.extensions().get::<Client>().cloned().unwrap_or_default();
        Ok(Place {
            _of_connection: take(&client.0.streams, MAX_OF_CONNECTION, "this connection")?,
            _of_all: take(&self.0, MAX_OF_ALL, "the daemon")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(client: &Client) -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(client.clone());
        request
    }

    #[test]
    fn one_connection_leaves_places_for_others_and_all_give_theirs_back() {
        let (streams, clients) = (Streams::default(), [(); 3].map(|()| Client::default()));
        let fill = |client: &Client| {
            let mut places = Vec::new();
            while let Ok(place) = streams.enter(&of(client)) {
                places.push(place);
            }
            places
        };
        let first = fill(&clients[0]);
        assert_eq!(first.len(), MAX_OF_CONNECTION);
        let refused = streams.enter(&of(&clients[0])).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        let second = fill(&clients[1]);
        assert_eq!(first.len() + second.len(), MAX_OF_ALL);
        assert!(streams.enter(&of(&clients[2])).unwrap_err().message().contains("the daemon has"));
        drop(first);
        assert_eq!(fill(&clients[2]).len(), MAX_OF_CONNECTION);
        drop(second);
        assert_eq!(streams.0.load(Ordering::Relaxed), 0);
    }
}
