//! TLS as curl has it: the system's roots, else the built-in ones; `--cacert` may be a plain self-signed server certificate;
//! a key that does not fit its certificate is a sentence.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, InvalidMessage,
    OtherError, PeerIncompatible, RootCertStore, SignatureScheme,
};
use rustls_native_certs::ErrorKind;

use crate::files::from_start;
use crate::http::auth::{Identity, Tls, pem_file};
use crate::http::deadline::Timer;
use crate::http::error::{Fault, TlsFault};
use crate::http::pem::{certificates, private_key};
use crate::http::url::Host;

/// What TLS needs, read and checked once a delivery, and what has to be reported about it.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) details: Vec<String>,
}

/// Reads the files that `tls` names and the roots of the system.
pub(crate) fn prepare(tls: &Tls, timer: &Timer) -> Result<Prepared, Fault> {
    let provider = Arc::new(ring::default_provider());
    let mut details = Vec::new();
    let verifier = verifier(tls, &provider, timer, &mut details)?;
    let internal = |error: rustls::Error| Fault::Internal(error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(internal)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = read_identity(identity, timer)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| unusable(identity, &error))?
        }
    };
    Ok(Prepared { config: Arc::new(config), details })
}

/// A connection that will check the certificate for `host`.
pub(crate) fn client(config: &Arc<ClientConfig>, host: &Host) -> Result<ClientConnection, Fault> {
    let name = match host {
        Host::V6(address) => ServerName::from(std::net::IpAddr::V6(*address)),
        Host::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
            .map_err(|_| Fault::Setup(format!("'{name}' is no name that a certificate can have")))?,
    };
    ClientConnection::new(Arc::clone(config), name).map_err(|error| Fault::Internal(error.to_string()))
}

fn unusable(identity: &Identity, error: &rustls::Error) -> Fault {
    let key = identity.key.as_ref().unwrap_or(&identity.cert);
    let why = match error {
        rustls::Error::InconsistentKeys(_) => "they do not belong together".to_owned(),
        other => other.to_string(),
    };
    Fault::Setup(format!("cannot use certificate '{}' with key '{}': {why}", identity.cert.display(), key.display()))
}

fn read_identity(
    identity: &Identity,
    timer: &Timer,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Fault> {
    let cert_path = identity.cert.display();
    let pem = pem_file(&identity.cert, "certificate", timer)?;
    let chain = certificates(&pem).map_err(|why| Fault::Setup(format!("certificate file '{cert_path}' {why}")))?;
    let key_path = identity.key.as_ref().unwrap_or(&identity.cert);
    let key_pem = pem_file(key_path, "key", timer)?;
    let refuse = |why: String| Fault::Setup(format!("key file '{}' {why}", key_path.display()));
    let key = private_key(&key_pem).map_err(refuse)?;
    Ok((chain, key))
}

fn verifier(
    tls: &Tls,
    provider: &Arc<CryptoProvider>,
    timer: &Timer,
    details: &mut Vec<String>,
) -> Result<Verifier, Fault> {
    let provider = Arc::clone(provider);
    if tls.insecure {
        return Ok(Verifier { chains: None, pinned: Vec::new(), provider });
    }
    let mut roots = RootCertStore::empty();
    let mut pinned = Vec::new();
    if let Some(path) = &tls.ca {
        let pem = pem_file(path, "CA certificate", timer)?;
        let refuse = |why: &str| Fault::Setup(format!("CA certificate file '{}' {why}", path.display()));
        pinned = certificates(&pem).map_err(|why| refuse(&why))?;
        roots.add_parsable_certificates(pinned.iter().cloned());
        if roots.is_empty() {
            return Err(refuse("holds no certificate that can be used"));
        }
    } else {
        roots.add_parsable_certificates(system_roots(timer, details));
        if roots.is_empty() {
            // A scratch image has none.
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
    }
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| Fault::Internal(error.to_string()))?;
    Ok(Verifier { chains: Some(chains), pinned, provider })
}

/// The roots of `SSL_CERT_FILE` and `SSL_CERT_DIR`, which take the place of the system's as in curl(1), "ENVIRONMENT".
fn system_roots(timer: &Timer, details: &mut Vec<String>) -> Vec<CertificateDer<'static>> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let (file, directories) = (variable("SSL_CERT_FILE"), variable("SSL_CERT_DIR"));
    if file.is_none() && directories.is_none() {
        return rustls_native_certs::load_native_certs().certs;
    }
    let mut found = Vec::new();
    if let Some(path) = file.as_deref().map(Path::new) {
        let read = pem_file(&from_start(path), "SSL_CERT_FILE", timer).and_then(|pem| {
            let refuse = |why| Fault::Setup(format!("SSL_CERT_FILE '{}' {why}", path.display()));
            certificates(&pem).map_err(refuse)
        });
        match read {
            Ok(certificates) => found.extend(certificates),
            Err(fault) => details.push(fault.to_string()),
        }
    }
    for directory in std::env::split_paths(&directories.unwrap_or_default()).filter(|path| !path.as_os_str().is_empty())
    {
        let read = rustls_native_certs::load_certs_from_paths(None, Some(&from_start(&directory)));
        found.extend(read.certs);
        details.extend(read.errors.iter().map(|error| match &error.kind {
            // The library's text quotes the file, which may be a key.
            ErrorKind::Pem(_) => format!("SSL_CERT_DIR: a file in '{}' is not valid PEM", directory.display()),
            _ => format!("SSL_CERT_DIR: {error}"),
        }));
    }
    found
}

/// Judges a gateway's certificate.
#[derive(Debug)]
struct Verifier {
    /// By the chain to a root; `None` trusts anybody.
    chains: Option<Arc<WebPkiServerVerifier>>,
    /// Certificates of `--cacert`, trusted for themselves when a server shows exactly one of them.
    pinned: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chains) = &self.chains else { return Ok(ServerCertVerified::assertion()) };
        match chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // webpki has checked the validity before it comes to either of these. OpenSSL, and so curl, trusts what is in the
            // CA file for itself (X509_V_FLAG_PARTIAL_CHAIN), whatever its basic constraints say.
            Err(error) if chain_only(&error) && self.pinned.iter().any(|pinned| pinned == end_entity) => {
                if !serves_as_server(end_entity) {
                    return Err(CertificateError::InvalidPurpose.into());
                }
                match verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name) {
                    Err(error) if is_nameless(&error) && common_name_is(end_entity, server_name) => {}
                    verdict => verdict?,
                }
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether only the way to a root is missing.
fn chain_only(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
            other.to_string().contains("CaUsedAsEndEntity")
        }
        _ => false,
    }
}

/// Whether the certificate has no `subjectAltName`.
fn is_nameless(error: &rustls::Error) -> bool {
    use CertificateError::NotValidForNameContext;
    matches!(error, rustls::Error::InvalidCertificate(NotValidForNameContext { presented, .. }) if presented.is_empty())
}

/// The object identifier of the common name, 2.5.4.3 (RFC 5280, appendix A.1), in DER.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];

/// Whether a self-signed certificate, whose issuer is its subject, has this common name. OpenSSL, and so curl, takes it where
/// there is no `subjectAltName`; webpki does not, and `openssl req -x509 -subj /CN=gw` writes no other.
fn common_name_is(certificate: &CertificateDer<'_>, wanted: &ServerName<'_>) -> bool {
    let is_wanted = |found: &[u8]| {
        let (length, name) = match found.get(COMMON_NAME.len()..) {
            // One of the string types, and a length that is one byte.
            Some([0x0c | 0x13 | 0x16, length @ ..0x80, name @ ..]) => (usize::from(*length), name),
            _ => return false,
        };
        let name = name.get(..length).and_then(|name| std::str::from_utf8(name).ok());
        name.is_some_and(|name| name.eq_ignore_ascii_case(&wanted.to_str()))
    };
    let starts = certificate.windows(COMMON_NAME.len()).enumerate().filter(|(_, window)| *window == COMMON_NAME);
    let mut names = starts.filter_map(|(at, _)| certificate.get(at..)).peekable();
    names.peek().is_some() && names.all(is_wanted)
}

/// The object identifiers of the extension and of its two values that allow a server, in DER (RFC 5280, section 4.2.1.12).
const EXTENDED_KEY_USAGE: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x25];
const SERVER_AUTH: [u8; 10] = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const ANY_USAGE: [u8; 6] = [0x06, 0x04, 0x55, 0x1d, 0x25, 0x00];

/// Whether a certificate may be a server's: it names no purpose, or this one. webpki gives up before it checks that.
fn serves_as_server(certificate: &[u8]) -> bool {
    let holds = |part: &[u8]| memchr::memmem::find(certificate, part).is_some();
    !holds(&EXTENDED_KEY_USAGE) || holds(&SERVER_AUTH) || holds(&ANY_USAGE)
}

/// The fault for an error of rustls.
pub(crate) fn fault(error: &rustls::Error) -> TlsFault {
    use AlertDescription as Alert;
    match error {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => TlsFault::NotTls,
        rustls::Error::InvalidCertificate(error) => certificate_fault(error),
        rustls::Error::AlertReceived(Alert::CertificateRequired) => TlsFault::WantsCertificate,
        rustls::Error::AlertReceived(
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::UnsupportedCertificate
            | Alert::AccessDenied
            | Alert::DecryptError,
        ) => TlsFault::RefusedCertificate,
        rustls::Error::AlertReceived(Alert::ProtocolVersion)
        | rustls::Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig) => {
            TlsFault::OldVersion
        }
        rustls::Error::AlertReceived(Alert::HandshakeFailure | Alert::InsufficientSecurity)
        | rustls::Error::PeerIncompatible(_) => TlsFault::NoCommonCipher,
        other => TlsFault::Other(other.to_string()),
    }
}

fn certificate_fault(error: &CertificateError) -> TlsFault {
    match error {
        CertificateError::UnknownIssuer => TlsFault::Untrusted,
        CertificateError::Other(_) if chain_only(&rustls::Error::InvalidCertificate(error.clone())) => {
            TlsFault::Untrusted
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => TlsFault::WrongPurpose,
        CertificateError::Other(OtherError(other)) if other.to_string().contains("UnsupportedCertVersion") => {
            TlsFault::OldCertificate
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => TlsFault::UnsupportedKey,
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => TlsFault::Expired,
        CertificateError::NotValidForName => TlsFault::WrongName("another name".to_owned()),
        CertificateError::NotValidForNameContext { presented, .. } => TlsFault::WrongName(names(presented)),
        other => TlsFault::Other(other.to_string()),
    }
}

/// rustls writes `DnsName("gw")` and `IpAddress(10.0.0.1)`.
fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no name (a certificate needs a subjectAltName; the CN counts only where --cacert names that very certificate)".to_owned();
    }
    let bare = presented.iter().take(5).map(|name| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner.trim_end_matches(')'));
        format!("'{}'", inner.trim_matches('"').escape_debug())
    });
    bare.collect::<Vec<_>>().join(", ")
}
