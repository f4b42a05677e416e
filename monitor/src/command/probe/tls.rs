//! TLS: which certificates count, and what is wrong with the others in words.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::failure::ProbeUsageError;
use super::tap::RawEnd;
use super::target::Target;
use crate::terminal::{printable, words};

/// Which certificates are believed.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// Those of this host.
    System,
    /// Those that lead to one in this file (PEM).
    File(&'a Path),
    /// All.
    Anything,
}

/// Settings for a connection; `None` when this host has no certificates to check with.
pub fn config(trust: Trust<'_>, is_http: bool) -> Result<Option<Arc<ClientConfig>>, ProbeUsageError> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    // The provider has cipher suites for all of them.
    let Ok(builder) = builder else { return Ok(None) };
    let mut config = match trust {
        Trust::Anything => {
            let verifier = Arc::new(Anything(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        Trust::File(file) => builder.with_root_certificates(roots_in(file)?).with_no_client_auth(),
        Trust::System => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Ok(None);
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    // Each connection makes its whole handshake, as the first one of a client does.
    config.resumption = rustls::client::Resumption::disabled();
    if is_http {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    Ok(Some(Arc::new(config)))
}

fn roots_in(file: &Path) -> Result<RootCertStore, ProbeUsageError> {
    let wrong = |why: String| ProbeUsageError::Certificates { file: file.to_owned(), why };
    let text = std::fs::read(file).map_err(|error| wrong(words(&error)))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("there is none in it; it must be PEM".to_owned())) } else { Ok(roots) }
}

/// Whose certificate it must be. Not all that the name system can be asked is a name in TLS, such as `10.0.0.256`.
pub fn name(target: &Target) -> Result<ServerName<'static>, ProbeUsageError> {
    let host = target.without_zone().trim_end_matches('.').to_owned();
    ServerName::try_from(host).ok().ok_or_else(|| ProbeUsageError::NoName { host: target.host.clone() })
}

/// Why there is no TLS, and what to do.
pub fn why(error: &io::Error, end: Option<RawEnd>, name: &ServerName<'_>) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let text = match inner {
        Some(Error::InvalidCertificate(wrong)) => format!(
            "{}; name whom to believe with --ca FILE, or believe anything with --insecure",
            what_is_wrong(wrong, name)
        ),
        Some(Error::InvalidMessage(_)) => {
            "what it says is no TLS; use http://, or leave --tls out".to_owned()
        }
        Some(other) => other.to_string(),
        None => match end {
            Some(RawEnd::Reset) => {
                "it reset the connection during the handshake; does it speak TLS?".to_owned()
            }
            Some(RawEnd::Fin) => {
                "it closed the connection during the handshake; does it speak TLS?".to_owned()
            }
            None => words(error),
        },
    };
    printable(&text).into_owned()
}

fn what_is_wrong(certificate: &CertificateError, name: &ServerName<'_>) -> String {
    use CertificateError as Wrong;
    if matches!(certificate, Wrong::UnknownIssuer) {
        "nobody known here has signed its certificate".to_owned()
    } else if matches!(certificate, Wrong::Expired | Wrong::ExpiredContext { .. }) {
        "its certificate has expired".to_owned()
    } else if matches!(certificate, Wrong::NotValidYet | Wrong::NotValidYetContext { .. }) {
        "its certificate is not valid yet; is the clock of this host right?".to_owned()
    } else if matches!(certificate, Wrong::NotValidForName | Wrong::NotValidForNameContext { .. }) {
        format!("its certificate is not for {}", name.to_str())
    } else {
        format!("its certificate is not valid ({certificate})")
    }
}

/// Believes any certificate, also one that cannot be read, as those of version 1 that `openssl req -x509` makes without extensions. So
/// whose signature it is under the handshake is not asked either: nothing is sent that is not for everybody's eyes.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
