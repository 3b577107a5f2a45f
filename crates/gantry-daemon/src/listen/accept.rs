//! Letting connections in, so many and no more.
//!
//! A client that connects and says nothing is shown the door after [`SILENCE`]; and when all places are taken, the
//! one that has been silent longest goes first, and then the one that has said something but asked for nothing, so that
//! a flood of connections does not keep anybody out. Descriptors are left for containers: only a part of those that the
//! daemon may open are for clients.

use super::Listener;
use super::connection::{Carrier, Connection};
use super::tls::Tls;
use gantry_api::server::{AnyAuthority, Client};
use rustix::net::sockopt;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep};
use tokio_stream::wrappers::ReceiverStream;
use tracing::{debug, warn};

/// How long a client may say nothing after it has connected.
const SILENCE: Duration = Duration::from_secs(10);
/// Connections at once, where there are descriptors enough.
const MAX_CONNECTIONS: usize = 8192;
/// Connections that may wait for the server to take them.
const READY: usize = 64;
/// How long to wait when the system has no descriptor or no memory for a connection.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a flood is worth a line in the log.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// TCP clients that have gone without a word are noticed after about this time.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// A connection for the server.
pub(crate) type Incoming = io::Result<AnyAuthority<Connection>>;

/// Accepts connections until the stream is dropped.
pub(crate) fn incoming(listener: Listener, tls: Option<Tls>) -> ReceiverStream<Incoming> {
    let (ready, receiver) = mpsc::channel(READY);
    let connections = Connections::new(max_connections());
    tokio::spawn(accept_all(listener, tls, connections, ready));
    ReceiverStream::new(receiver)
}

/// A quarter of the descriptors that may be open.
fn max_connections() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let quarter = limit.and_then(|limit| usize::try_from(limit / 4).ok());
    quarter.unwrap_or(MAX_CONNECTIONS).clamp(64, MAX_CONNECTIONS)
}

async fn accept_all(
    listener: Listener,
    tls: Option<Tls>,
    connections: Connections,
    ready: mpsc::Sender<Incoming>,
) {
    let mut complaints = Complaints::default();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = ready.closed() => return,
        };
        let carrier = match accepted {
            Ok(carrier) => carrier,
            Err(error) => {
                complaints.say(|| warn!(%error, "a connection cannot be accepted"));
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(guest) = connections.admit() else {
            complaints.say(|| {
                warn!(limit = connections.limit, "too many connections are open; a new one is closed");
            });
            continue;
        };
        match (&tls, carrier) {
            (Some(tls), Carrier::Tcp(stream)) => {
                let (tls, ready) = (tls.clone(), ready.clone());
                tokio::spawn(async move {
                    match tokio::time::timeout(SILENCE, tls.accept(stream)).await {
                        Ok(Ok(carrier)) => hand_over(&ready, carrier, guest).await,
                        Ok(Err(error)) => debug!(%error, "a client failed to establish TLS"),
                        Err(_) => debug!("a client took too long to establish TLS"),
                    }
                });
            }
            (_, carrier) => hand_over(&ready, carrier, guest).await,
        }
    }
}

async fn hand_over(ready: &mpsc::Sender<Incoming>, carrier: Carrier, guest: Guest) {
    // When the server has stopped, so have its connections.
    let _ = ready.send(Ok(AnyAuthority::new(Connection::new(carrier, guest)))).await;
}

async fn accept(listener: &Listener) -> io::Result<Carrier> {
    match listener {
        Listener::Unix(listener, _) => Ok(Carrier::Unix(listener.accept().await?.0)),
        Listener::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            prepare(&stream)?;
            Ok(Carrier::Tcp(stream))
        }
    }
}

/// Small messages go at once, and a host that has vanished is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, TCP_KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(stream, TCP_KEEPALIVE / 4)?;
    Ok(sockopt::set_tcp_keepcnt(stream, 4)?)
}

/// Says a thing at most every [`COMPLAIN_EVERY`].
#[derive(Default)]
struct Complaints(Option<Instant>);

impl Complaints {
    fn say(&mut self, what: impl FnOnce()) {
        if self.0.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            self.0 = Some(Instant::now());
            what();
        }
    }
}

// === who is in ===

/// Everybody who is connected.
#[derive(Clone, Debug)]
struct Connections {
    limit: usize,
    guests: Arc<Mutex<Guests>>,
}

#[derive(Debug, Default)]
struct Guests {
    present: usize,
    next: u64,
    /// Those who have said nothing yet, oldest first, and how to tell them to go.
    silent: BTreeMap<u64, oneshot::Sender<()>>,
    /// Those who have said something and had made no call the last time that anybody looked.
    idle: BTreeMap<u64, (oneshot::Sender<()>, Client)>,
}

/// A client's place among all.
#[derive(Debug)]
pub(super) struct Guest {
    number: u64,
    guests: Arc<Mutex<Guests>>,
    client: Client,
    /// When it has to have spoken.
    silence_ends: Option<Pin<Box<Sleep>>>,
    /// How it is told to go, until it has made a call.
    evicted: Option<oneshot::Receiver<()>>,
}

fn lock(guests: &Mutex<Guests>) -> MutexGuard<'_, Guests> {
    // Every change is of numbers or of one entry: a panic elsewhere leaves it whole.
    guests.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    fn new(limit: usize) -> Self {
        Self { limit, guests: Arc::default() }
    }

    /// Gives a place to a new client; if there is none, it takes that of the one who has been silent longest.
    fn admit(&self) -> Option<Guest> {
        let mut guests = lock(&self.guests);
        if guests.present >= self.limit {
            let evict = guests.pop()?;
            // It gives its place back when it is gone; one that has gone already has done so.
            let _ = evict.send(());
        }
        guests.present += 1;
        let number = guests.next;
        guests.next += 1;
        let (evict, evicted) = oneshot::channel();
        guests.silent.insert(number, evict);
        Some(Guest {
            number,
            guests: Arc::clone(&self.guests),
            client: Client::default(),
            silence_ends: Some(Box::pin(tokio::time::sleep(SILENCE))),
            evicted: Some(evicted),
        })
    }
}

impl Guests {
    /// Whoever can best be spared.
    fn pop(&mut self) -> Option<oneshot::Sender<()>> {
        if let Some((_, evict)) = self.silent.pop_first() {
            return Some(evict);
        }
        while let Some((_, (evict, client))) = self.idle.pop_first() {
            if !client.has_called() {
                return Some(evict);
            }
        }
        None
    }
}

impl Guest {
    /// Who that is.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// From now on it may be silent as long as it likes, and as long as its place is not needed.
    pub(super) fn has_spoken(&mut self) {
        if self.silence_ends.take().is_some() {
            let mut guests = lock(&self.guests);
            // Otherwise it has been told to go already.
            if let Some(evict) = guests.silent.remove(&self.number) {
                guests.idle.insert(self.number, (evict, self.client.clone()));
            }
        }
    }

    /// Whether it has been silent for too long, or has to make room; wakes the task when that becomes so.
    pub(super) fn must_go(&mut self, context: &mut Context<'_>) -> bool {
        if self.silence_ends.as_mut().is_some_and(|ends| ends.as_mut().poll(context).is_ready()) {
            return true;
        }
        // Whoever has called is not in the way; its sender goes with the next who looks.
        if self.client.has_called() && self.evicted.take().is_some() {
            lock(&self.guests).idle.remove(&self.number);
        }
        self.evicted.as_mut().is_some_and(|evicted| !matches!(Pin::new(evicted).poll(context), Poll::Pending))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut guests = lock(&self.guests);
        guests.present -= 1;
        guests.silent.remove(&self.number);
        guests.idle.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tonic::transport::server::Connected;

    async fn pair(connections: &Connections) -> (UnixStream, Connection) {
        let (client, server) = UnixStream::pair().unwrap();
        (client, Connection::new(Carrier::Unix(server), connections.admit().unwrap()))
    }

    #[tokio::test]
    async fn the_longest_silent_makes_room_then_who_asks_for_nothing_and_who_has_called_stays() {
        let connections = Connections::new(2);
        let (mut speaker, mut heard) = pair(&connections).await;
        speaker.write_all(b"x").await.unwrap();
        heard.read_u8().await.unwrap();
        let (_silent, mut unheard) = pair(&connections).await;
        let read = tokio::spawn(async move { unheard.read(&mut [0]).await });
        tokio::task::yield_now().await;
        let third = connections.admit().unwrap();
        assert_eq!(read.await.unwrap().unwrap(), 0, "it looks as if the client had gone");
        drop(third);

        let (mut other, mut also_heard) = pair(&connections).await;
        other.write_all(b"x").await.unwrap();
        also_heard.read_u8().await.unwrap();
        heard.connect_info().note_call();
        let read = tokio::spawn(async move { also_heard.read(&mut [0]).await });
        tokio::task::yield_now().await;
        let mut fourth = connections.admit().unwrap();
        assert_eq!(read.await.unwrap().unwrap(), 0, "it has said something and asked for nothing");
        fourth.has_spoken();
        fourth.client().note_call();
        assert!(connections.admit().is_none());
        drop(heard);
        assert!(connections.admit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_has_to_go() {
        let connections = Connections::new(2);
        let (_silent, mut unheard) = pair(&connections).await;
        assert_eq!(unheard.read(&mut [0]).await.unwrap(), 0);
        drop(unheard);
        assert_eq!(lock(&connections.guests).present, 0);
    }
}
