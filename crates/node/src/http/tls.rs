//! The node's TLS identity: given files, or a self-signed certificate made on the first start.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// Where certificate and key come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSource {
    /// PEM files; the certificate file holds the chain, the node's own certificate first.
    Files {
        /// The certificate chain.
        certificate: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// `api.crt` and `api.key` in this folder, made there when absent. Operators pin the fingerprint.
    SelfSigned {
        /// The folder, which must exist.
        folder: PathBuf,
        /// DNS names and addresses that the certificate is for.
        names: Vec<String>,
    },
}

/// What a TLS server needs, and what operators pin.
#[derive(Debug, Clone)]
pub struct TlsIdentity {
    /// For [`super::serve_tls`]. TLS 1.3 and 1.2.
    pub config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, 64 hexadecimal digits: what `fseg --fingerprint` takes.
    pub fingerprint: String,
}

/// Why there is no TLS identity.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file that cannot be read or written.
    #[error("{}: {error}; check the path and the permissions of the user fsegd runs as", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file that is not PEM, or lacks what it should hold.
    #[error("{}: {reason}", path.display())]
    Pem {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Only one of the two files exists: somebody removed the other.
    #[error("{} exists but {} does not; restore it, or remove both and a new pair is made (clients must then pin the new fingerprint)", present.display(), absent.display())]
    Half {
        /// What is there.
        present: PathBuf,
        /// What is not.
        absent: PathBuf,
    },
    /// Certificate and key do not fit each other, or a name cannot stand in a certificate.
    #[error("the TLS identity cannot be used: {0}")]
    Unusable(String),
}

impl TlsIdentity {
    /// Reads the identity, or makes it.
    pub fn load(source: &TlsSource) -> Result<Self, TlsError> {
        match source {
            TlsSource::Files { certificate, key } => Self::read(certificate, key),
            TlsSource::SelfSigned { folder, names } => {
                let (certificate, key) = (folder.join("api.crt"), folder.join("api.key"));
                match (certificate.exists(), key.exists()) {
                    (true, true) => {}
                    (false, false) => make(&certificate, &key, names)?,
                    (true, false) => return Err(TlsError::Half { present: certificate, absent: key }),
                    (false, true) => return Err(TlsError::Half { present: key, absent: certificate }),
                }
                Self::read(&certificate, &key)
            }
        }
    }

    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let text = |path: &Path| fs::read(path).map_err(|error| TlsError::File { path: path.to_owned(), error });
        let pem = |path: &Path, reason: String| TlsError::Pem { path: path.to_owned(), reason };
        let chain = CertificateDer::pem_slice_iter(&text(certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| pem(certificate, format!("not a PEM certificate: {e}")))?;
        let Some(own) = chain.first() else {
            return Err(pem(certificate, "holds no certificate".to_owned()));
        };
        let fingerprint = hex(digest(&SHA256, own).as_ref());
        let key = PrivateKeyDer::from_pem_slice(&text(key)?)
            .map_err(|e| pem(key, format!("holds no private key that can be read: {e}")))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|b| b.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|e| TlsError::Unusable(e.to_string()))?;
        Ok(Self { config: Arc::new(config), fingerprint })
    }
}

fn make(certificate: &Path, key: &Path, names: &[String]) -> Result<(), TlsError> {
    let unusable = |e: rcgen::Error| TlsError::Unusable(e.to_string());
    let pair = KeyPair::generate().map_err(unusable)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(unusable)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "FSEG node");
    params.distinguished_name = subject;
    // The pin is the trust, not the date; RFC 5280, section 4.1.2.5 knows this date as "no expiry".
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    let made = params.self_signed(&pair).map_err(unusable)?;
    // The key first: a crash in between leaves no certificate that somebody might pin in vain.
    write(key, 0o600, &pair.serialize_pem())?;
    write(certificate, 0o644, &made.pem())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), TlsError> {
    let attempt = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    attempt().map_err(|error| TlsError::File { path: path.to_owned(), error })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn source(folder: &Path) -> TlsSource {
        TlsSource::SelfSigned { folder: folder.to_owned(), names: vec!["localhost".into(), "127.0.0.1".into()] }
    }

    #[test]
    fn an_identity_is_made_once_and_then_kept() {
        let folder = tempfile::tempdir().unwrap();
        let first = TlsIdentity::load(&source(folder.path())).unwrap();
        let again = TlsIdentity::load(&source(folder.path())).unwrap();
        assert_eq!(first.fingerprint, again.fingerprint);
        assert_eq!(first.fingerprint.len(), 64);
        let mode = fs::metadata(folder.path().join("api.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn broken_identities_say_which_file() {
        let folder = tempfile::tempdir().unwrap();
        TlsIdentity::load(&source(folder.path())).unwrap();
        fs::write(folder.path().join("api.crt"), "nothing").unwrap();
        let error = TlsIdentity::load(&source(folder.path())).unwrap_err().to_string();
        assert!(error.contains("api.crt") && error.contains("holds no certificate"), "{error}");
        fs::remove_file(folder.path().join("api.crt")).unwrap();
        let error = TlsIdentity::load(&source(folder.path())).unwrap_err();
        assert!(matches!(error, TlsError::Half { .. }), "{error}");
        let other = tempfile::tempdir().unwrap();
        TlsIdentity::load(&source(other.path())).unwrap();
        let mixed = TlsSource::Files { certificate: other.path().join("api.crt"), key: folder.path().join("api.key") };
        assert!(matches!(TlsIdentity::load(&mixed), Err(TlsError::Unusable(_))));
    }
}
