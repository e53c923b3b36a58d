//! TLS as a client has it: whom to trust in, a configuration out.
//!
//! The provider is ring, named explicitly, so that nothing depends on a process-wide default. Every error names the
//! file and what is wrong with it.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whose certificates are accepted.
#[derive(Debug)]
pub enum Trust<'a> {
    /// Those that the authorities in this PEM file vouch for.
    Authorities(&'a Path),
    /// Those that these authorities vouch for.
    Roots(RootCertStore),
    /// All, which protects from listeners but not from someone in between.
    Anybody,
}

/// Why there is no TLS. Stop, and show the text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {}: {cause}", path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("{} is not PEM: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("{} contains no certificate", path.display())]
    Empty { path: PathBuf },
    #[error("certificate {} cannot be trusted as an authority: {cause}", path.display())]
    Authority { path: PathBuf, cause: rustls::Error },
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// What connections are made with.
///
/// # Errors
/// A file that cannot be read or used.
pub fn config(trust: Trust<'_>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(Error::Setup)?;
    let builder = match trust {
        Trust::Authorities(path) => builder.with_root_certificates(authorities(path)?),
        Trust::Roots(roots) => builder.with_root_certificates(roots),
        Trust::Anybody => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
    };
    Ok(builder.with_no_client_auth())
}

fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut store = RootCertStore::empty();
    for certificate in certificates.map_err(|error| pem_error(path, error))? {
        store.add(certificate).map_err(|cause| Error::Authority { path: path.to_owned(), cause })?;
    }
    if store.is_empty() { Err(Error::Empty { path: path.to_owned() }) } else { Ok(store) }
}

fn pem_error(path: &Path, error: pem::Error) -> Error {
    let path = path.to_owned();
    match error {
        pem::Error::Io(cause) => Error::Read { path, cause },
        pem::Error::NoItemsFound => Error::Empty { path },
        other => Error::Malformed { path, reason: other.to_string() },
    }
}

/// Accepts any certificate; still checks that the server holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file_and_what_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let check = |name: &str, text: Option<&str>, expected: &str| {
            let path = directory.path().join(name);
            text.into_iter().for_each(|text| std::fs::write(&path, text).unwrap());
            let said = config(Trust::Authorities(&path)).map(drop).unwrap_err().to_string();
            assert!(said.contains(expected) && said.contains(name), "{said}");
        };
        check("missing.pem", None, "cannot read");
        check("empty.pem", Some(""), "contains no certificate");
        check("cut.pem", Some("-----BEGIN CERTIFICATE-----\nMIIB\n"), "is not PEM");
        check("nonsense.pem", Some("-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n"), "is not PEM");
    }
}
