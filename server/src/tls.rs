//! TLS of a node: PEM files in, a ready acceptor out.
//!
//! The provider is ring, named explicitly, so that nothing depends on a process-wide default. Certificates are read
//! at start and when the settings are read again. Every error names the file and what is wrong with it.

use crate::config;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What a TLS handshake begins with, and no message of ours or of HTTP.
pub const FIRST_BYTE: u8 = 0x16;

/// Why there is no TLS. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}: {cause}", path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("{} is not PEM: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("{} contains no {expected}", path.display())]
    Empty { path: PathBuf, expected: &'static str },
    #[error("certificate {} and key {} cannot be used: {cause}", certificate.display(), key.display())]
    Pair { certificate: PathBuf, key: PathBuf, cause: rustls::Error },
    #[error("certificate {} cannot be trusted as an authority: {cause}", path.display())]
    Authority { path: PathBuf, cause: rustls::Error },
    #[error("tls.certificate and tls.key go together: only one of them is set")]
    Incomplete,
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// The node's side; `None` where no certificate is configured.
///
/// # Errors
/// A file that cannot be read or used, or a certificate without its key.
pub fn acceptor(tls: &config::Tls) -> Result<Option<TlsAcceptor>, Error> {
    let (certificate, key) = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return Ok(None),
        _ => return Err(Error::Incomplete),
    };
    let chain = certificates(certificate)?;
    let private_key = PrivateKeyDer::from_pem_file(key).map_err(|error| pem_error(key, "private key", error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::Setup)?
        .with_no_client_auth()
        .with_single_cert(chain, private_key)
        .map_err(|cause| Error::Pair { certificate: certificate.clone(), key: key.clone(), cause })?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// The side of one who connects to a node: whom to trust is in the PEM file `ca`, or else known to the system.
///
/// # Errors
/// A file that cannot be read or used.
pub fn connector(ca: Option<&Path>) -> Result<TlsConnector, Error> {
    let roots = match ca {
        Some(path) => authorities(path)?,
        None => {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            store
        }
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The PEM file `ca` as it is, for a client that makes its own connections; checked to hold usable authorities.
///
/// # Errors
/// A file that cannot be read or used.
pub fn authorities_pem(ca: &Path) -> Result<Vec<u8>, Error> {
    authorities(ca)?;
    std::fs::read(ca).map_err(|cause| Error::Read { path: ca.to_owned(), cause })
}

fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|cause| Error::Authority { path: path.to_owned(), cause })?;
    }
    Ok(store)
}

/// All certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let expected = "certificate";
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem_error(path, expected, error))?;
    if chain.is_empty() {
        return Err(pem_error(path, expected, pem::Error::NoItemsFound));
    }
    Ok(chain)
}

fn pem_error(path: &Path, expected: &'static str, error: pem::Error) -> Error {
    let path = path.to_owned();
    match error {
        pem::Error::Io(cause) => Error::Read { path, cause },
        pem::Error::NoItemsFound => Error::Empty { path, expected },
        other => Error::Malformed { path, reason: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_client::tls::Trust;
    use rustls::pki_types::ServerName;
    use std::fs;
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// A directory with a self-signed certificate for `localhost`, which is its own authority.
    struct Files {
        directory: TempDir,
    }

    impl Files {
        fn new() -> Self {
            let files = Files { directory: TempDir::new().unwrap() };
            let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            files.write("certificate.pem", &pair.cert.pem());
            files.write("key.pem", &pair.signing_key.serialize_pem());
            files
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).unwrap();
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn config(&self, certificate: &str, key: &str) -> config::Tls {
            config::Tls { certificate: Some(self.path(certificate)), key: Some(self.path(key)), required: false }
        }

        fn acceptor(&self) -> TlsAcceptor {
            acceptor(&self.config("certificate.pem", "key.pem")).unwrap().unwrap()
        }
    }

    fn trusting(trust: Trust<'_>) -> TlsConnector {
        Arc::new(chat_client::tls::config(trust).unwrap()).into()
    }

    /// Sends one word through a handshake of both; an error is the client's.
    async fn talk(acceptor: TlsAcceptor, connector: TlsConnector, host: &'static str) -> std::io::Result<String> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let server = async {
            if let Ok(mut stream) = acceptor.accept(theirs).await {
                let _ = stream.write_all(b"hello").await;
                let _ = stream.shutdown().await;
            }
        };
        let client = async {
            let mut stream = connector.connect(ServerName::try_from(host).unwrap(), ours).await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            Ok(text)
        };
        tokio::join!(server, client).1
    }

    #[tokio::test]
    async fn client_trusts_its_authority_and_no_other() {
        let files = Files::new();
        let own = trusting(Trust::Authorities(&files.path("certificate.pem")));
        let other = trusting(Trust::Authorities(&Files::new().path("certificate.pem")));

        assert_eq!(talk(files.acceptor(), own.clone(), "localhost").await.unwrap(), "hello");
        assert!(talk(files.acceptor(), own, "example.org").await.is_err());
        assert!(talk(files.acceptor(), other, "localhost").await.is_err());
    }

    #[tokio::test]
    async fn insecure_client_takes_any_certificate() {
        let files = Files::new();

        let insecure = trusting(Trust::Anybody);

        assert_eq!(talk(files.acceptor(), insecure, "example.org").await.unwrap(), "hello");
    }

    #[test]
    fn without_a_certificate_there_is_no_tls() {
        assert!(acceptor(&config::Tls::default()).unwrap().is_none());
    }

    #[track_caller]
    fn refused<T>(result: Result<T, Error>, expected: &[&str]) {
        let text = result.err().expect("an error").to_string();
        for part in expected {
            assert!(text.contains(part), "{text:?} does not contain {part:?}");
        }
    }

    #[test]
    fn errors_name_the_file_and_what_is_wrong() {
        let files = Files::new();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        files.write("other.pem", &other.signing_key.serialize_pem());
        files.write("empty.pem", "");
        files.write("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
        files.write("nonsense.pem", "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n");

        let node = |certificate, key| acceptor(&files.config(certificate, key));
        refused(node("missing.pem", "key.pem"), &["cannot read", "missing.pem"]);
        refused(node("certificate.pem", "missing.pem"), &["cannot read", "missing.pem"]);
        refused(node("empty.pem", "key.pem"), &["empty.pem", "no certificate"]);
        refused(node("key.pem", "key.pem"), &["key.pem", "no certificate"]);
        refused(node("certificate.pem", "certificate.pem"), &["certificate.pem", "no private key"]);
        refused(node("cut.pem", "key.pem"), &["cut.pem", "not PEM"]);
        refused(node("nonsense.pem", "key.pem"), &["nonsense.pem", "not PEM"]);
        refused(node("certificate.pem", "other.pem"), &["certificate.pem", "other.pem", "cannot be used"]);
        refused(authorities_pem(&files.path("missing.pem")), &["cannot read", "missing.pem"]);
        let half = config::Tls { key: None, ..files.config("certificate.pem", "key.pem") };
        refused(acceptor(&half), &["go together"]);
    }
}
