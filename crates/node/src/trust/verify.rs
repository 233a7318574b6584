//! The two handshakes: a switch that connects (OpenFlow, the node is the server), and a switch's database that is connected
//! to (OVSDB, the node is the client). Both sides show certificates; the register has the last word on the switch's.

use std::io;
use std::sync::{Arc, OnceLock};

use fseg_model::{Dpid, Wall};
use fseg_ovsdb::Tls;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, InvalidMessage, RootCertStore,
    ServerConfig, SignatureScheme,
};
use thiserror::Error;

use super::register::{Enrolment, NotCounted, fingerprint};
use super::{Trust, TrustError, host};

/// Why a connection is not a switch's. Each is a sentence about the other side.
#[derive(Debug, Error)]
pub enum Refused {
    /// It does not speak TLS.
    #[error(
        "it speaks plain text where TLS is asked for: enrol the switch with `fseg switch enroll NAME`, or take plain TCP with `transport: tcp` in node.yaml"
    )]
    Plain,
    /// It shows no certificate.
    #[error("it shows no certificate: enrol the switch with `fseg switch enroll NAME`")]
    NoCertificate,
    /// Somebody else issued its certificate.
    #[error("its certificate was not issued by this node: enrol the switch with `fseg switch enroll NAME`")]
    OtherAuthority,
    /// Its certificate is over.
    #[error(
        "its certificate has expired, or is not valid yet by this node's clock: enrol the switch again with `fseg switch enroll NAME`"
    )]
    Expired,
    /// The register does not count it.
    #[error("{0}")]
    NotCounted(NotCounted),
    /// It is another switch's.
    #[error(
        "it says that its datapath id is {said}, and its certificate is for {switch} ({issued}): a switch's certificate is good for that switch only"
    )]
    OtherSwitch {
        /// The datapath id it claims.
        said: Dpid,
        /// Whose certificate it is.
        switch: String,
        /// The datapath ids it is for.
        issued: String,
    },
    /// It does not take the node's certificate.
    #[error(
        "it does not take this node's certificate ({0}): the switch must trust the file node-ca.crt that `fseg switch enroll` gave"
    )]
    NotTrusted(String),
    /// Anything else.
    #[error("no TLS handshake: {0}")]
    Handshake(String),
}

/// What one handshake with a switch needs, and what it finds out.
pub struct Handshake {
    /// For the acceptor.
    pub config: Arc<ServerConfig>,
    found: Arc<OnceLock<Result<Enrolment, NotCounted>>>,
}

impl Handshake {
    /// Whose certificate it was, once the handshake is done.
    pub fn enrolment(&self) -> Result<Enrolment, Refused> {
        match self.found.get() {
            Some(Ok(e)) => Ok(e.clone()),
            Some(Err(why)) => Err(Refused::NotCounted(why.clone())),
            None => Err(Refused::NoCertificate),
        }
    }

    /// Why it failed.
    pub fn explain(&self, error: &io::Error) -> Refused {
        if let Some(Err(why)) = self.found.get() {
            return Refused::NotCounted(why.clone());
        }
        let Some(error) = error.get_ref().and_then(|e| e.downcast_ref::<Error>()) else {
            return Refused::Handshake(error.to_string());
        };
        match error {
            Error::NoCertificatesPresented => Refused::NoCertificate,
            Error::InvalidCertificate(c) => match c {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Refused::Expired,
                // The last: an authority's own certificate, which stands for nobody (webpki says `CaUsedAsEndEntity`).
                CertificateError::UnknownIssuer | CertificateError::BadSignature | CertificateError::Other(_) => {
                    Refused::OtherAuthority
                }
                other => Refused::Handshake(format!("its certificate cannot be used: {other}")),
            },
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => Refused::Plain,
            Error::AlertReceived(alert) => Refused::NotTrusted(format!("{alert:?}")),
            other => Refused::Handshake(other.to_string()),
        }
    }
}

impl Enrolment {
    /// Whether this is the switch with that datapath id.
    ///
    /// # Errors
    /// When the certificate is another switch's.
    pub fn check(&self, said: Dpid) -> Result<(), Refused> {
        if self.dpids.contains(&said) {
            return Ok(());
        }
        let issued: Vec<String> = self.dpids.iter().map(ToString::to_string).collect();
        Err(Refused::OtherSwitch { said, switch: self.switch.to_string(), issued: issued.join(", ") })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn make(e: impl std::fmt::Display) -> TrustError {
    TrustError::Make(e.to_string())
}

impl Trust {
    fn roots(&self) -> Result<Arc<RootCertStore>, TrustError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.switches.certificate().clone()).map_err(make)?;
        Ok(Arc::new(roots))
    }

    /// For one connection of a switch. Sessions are not resumed: a revoked certificate must not live on in one.
    pub fn handshake(self: &Arc<Self>, now: Wall) -> Result<Handshake, TrustError> {
        let provider = provider();
        let inner =
            WebPkiClientVerifier::builder_with_provider(self.roots()?, provider.clone()).build().map_err(make)?;
        let found = Arc::new(OnceLock::new());
        let verifier = Arc::new(SwitchVerifier { inner, trust: self.clone(), found: found.clone() });
        let own: CertifiedKey = (*self.own(now)).clone();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(make)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Handshake { config: Arc::new(config), found })
    }

    /// For connections to the database of the switch with this datapath id.
    pub fn towards(self: &Arc<Self>, dpid: Dpid, now: Wall) -> Result<Tls, TrustError> {
        let provider = provider();
        let inner =
            WebPkiServerVerifier::builder_with_provider(self.roots()?, provider.clone()).build().map_err(make)?;
        let own: CertifiedKey = (*self.own(now)).clone();
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(make)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(DatabaseVerifier { inner, trust: self.clone() }))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
        config.resumption = rustls::client::Resumption::disabled();
        // The name is for the certificate; a switch need not be told it.
        config.enable_sni = false;
        Ok(Tls { config: Arc::new(config), name: ServerName::try_from(host(dpid)).map_err(make)? })
    }
}

/// A switch's certificate: of our authority, valid, and on the list.
struct SwitchVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    trust: Arc<Trust>,
    found: Arc<OnceLock<Result<Enrolment, NotCounted>>>,
}

impl std::fmt::Debug for SwitchVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SwitchVerifier")
    }
}

/// What the other side is told of a certificate that does not count (RFC 8446, section 6.2).
fn alert(why: &NotCounted) -> Error {
    Error::InvalidCertificate(match why {
        NotCounted::Unknown => CertificateError::UnknownIssuer,
        NotCounted::Ended { .. } => CertificateError::Revoked,
    })
}

impl ClientCertVerifier for SwitchVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }
    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(certificate, intermediates, now)?;
        let found = self.trust.judge(&fingerprint(certificate));
        let refused = found.as_ref().err().map(alert);
        // A handshake verifies one certificate, once.
        let _ = self.found.set(found);
        refused.map_or(Ok(verified), Err)
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The same for a switch's database.
struct DatabaseVerifier {
    inner: Arc<WebPkiServerVerifier>,
    trust: Arc<Trust>,
}

impl std::fmt::Debug for DatabaseVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseVerifier")
    }
}

impl ServerCertVerifier for DatabaseVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(certificate, intermediates, name, ocsp, now)?;
        self.trust.judge(&fingerprint(certificate)).map(|_| verified).map_err(|why| alert(&why))
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
