//! Error texts as old clients can read them.
//!
//! A gRPC status travels in the header `grpc-message`, percent-encoded. tonic encodes blanks and quotes too;
//! dockerd 1.12 decodes nothing, and matches on texts such as `container not found`. So only what must be encoded
//! is: what is not in 0x20 to 0x7d, and `%` itself, exactly as grpc-go does it. And a call of a service or method
//! that is not there gets the words that grpc-go has for it, where tonic says nothing.

use super::client::Client;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::http::header::{HeaderMap, HeaderValue};
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tower::Layer;

const HEADER: &str = "grpc-message";
/// The services that there are.
const SERVICES: [&str; 3] = ["types.API", "grpc.health.v1.Health", "gantry.v1.Containers"];

/// Services whose error texts are encoded as little as may be.
#[derive(Clone, Debug)]
pub struct ReadableMessages<S>(pub S);

/// Puts [`ReadableMessages`] around all services of a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadableMessagesLayer;

impl<S> Layer<S> for ReadableMessagesLayer {
    type Service = ReadableMessages<S>;

    fn layer(&self, services: S) -> Self::Service {
        ReadableMessages(services)
    }
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<S> Service<Request<Body>> for ReadableMessages<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(client) = request.extensions().get::<Client>() {
            client.note_call();
        }
        let path = request.uri().path().to_owned();
        let answer = self.0.call(request);
        Box::pin(async move {
            let (mut head, body) = answer.await?.into_parts();
            name_the_unknown(&path, &mut head.headers);
            reencode(&mut head.headers);
            Ok(Response::from_parts(head, Body::new(ReadableTrailers(body))))
        })
    }
}

/// A body whose trailers are encoded as little as may be.
struct ReadableTrailers(Body);

impl http_body::Body for ReadableTrailers {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.0).poll_frame(context);
        polled.map_ok(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                reencode(trailers);
            }
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

/// Adds the text to an "unimplemented" that has none: it comes from the router, not from a service.
fn name_the_unknown(path: &str, headers: &mut HeaderMap) {
    if headers.get("grpc-status").is_none_or(|status| status != "12") || headers.contains_key(HEADER) {
        return;
    }
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let text = if SERVICES.contains(&service) {
        format!("unknown method {method}")
    } else {
        format!("unknown service {service}")
    };
    if let Ok(value) = HeaderValue::from_bytes(&encode(text.as_bytes())) {
        headers.insert(HEADER, value);
    }
}

fn reencode(headers: &mut HeaderMap) {
    let Some(message) = headers.get_mut(HEADER) else { return };
    // What comes out has only characters that a header may have.
    if let Ok(value) = HeaderValue::from_bytes(&encode(&decode(message.as_bytes()))) {
        *message = value;
    }
}

fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let byte = match (first, after) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded
}

fn encode(text: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'%' => encoded.extend_from_slice(b"%25"),
            0x20..=0x7d => encoded.push(*byte),
            other => encoded.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
    encoded
}

/// See [`crate::server::fuzzing`].
#[cfg(feature = "fuzzing")]
pub(super) fn fuzzing(text: &[u8]) {
    let encoded = encode(text);
    assert!(HeaderValue::from_bytes(&encoded).is_ok());
    assert_eq!(decode(&encoded), text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named() {
        for (path, expected) in [
            ("/types.API/Nope", "unknown method Nope"),
            ("/no.Service/Nope", "unknown service no.Service"),
            ("/", "unknown service "),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", HeaderValue::from_static("12"));
            name_the_unknown(path, &mut headers);
            assert_eq!(headers[HEADER], expected);
        }
        let mut fine = HeaderMap::new();
        fine.insert("grpc-status", HeaderValue::from_static("0"));
        name_the_unknown("/types.API/Nope", &mut fine);
        assert!(!fine.contains_key(HEADER));
    }

    #[test]
    fn plain_text_stays_plain() {
        for (from_tonic, expected) in [
            ("containerd:%20container%20not%20found", "containerd: container not found"),
            ("exec:%20%22x%22:%20no%20such%20file", "exec: \"x\": no such file"),
            ("100%25%0Asure%C3%A9%7E", "100%25%0Asure%C3%A9%7E"),
            ("%zz%2", "%25zz%252"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_static(from_tonic));
            reencode(&mut headers);
            assert_eq!(headers[HEADER], expected);
        }
    }
}
