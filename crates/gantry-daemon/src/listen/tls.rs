//! TLS for a tcp listener, with or without certificates of clients.

use super::connection::Carrier;
use crate::args::Args;
use crate::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// How connections are encrypted.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    proves_clients: bool,
}

impl Tls {
    /// What the settings ask for.
    pub(crate) fn of(args: &Args) -> Result<Option<Self>, Error> {
        let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) else { return Ok(None) };
        let chain = certificates(cert)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|reason| bad(key, &reason))?;
        let builder = ServerConfig::builder();
        let builder = match &args.tls_client_ca {
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(authorities)? {
                    roots.add(certificate).map_err(|reason| bad(authorities, &reason))?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                builder.with_client_cert_verifier(verifier.map_err(|reason| bad(authorities, &reason))?)
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, private).map_err(|reason| bad(cert, &reason))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Some(Self { acceptor, proves_clients: args.tls_client_ca.is_some() }))
    }

    /// Establishes TLS with a client that has just connected.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<Carrier> {
        Ok(Carrier::Tls(Box::new(self.acceptor.accept(stream).await?)))
    }

    /// Whether clients have to prove who they are.
    pub(crate) fn proves_clients(&self) -> bool {
        self.proves_clients
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(bad(path, &"there is no certificate in it")),
        Ok(certificates) => Ok(certificates),
        Err(reason) => Err(bad(path, &reason)),
    }
}

fn bad(path: &Path, reason: &impl ToString) -> Error {
    Error::Tls { path: path.to_owned(), reason: reason.to_string() }
}
