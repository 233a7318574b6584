//! A certificate authority of the node's own: key and certificate in two files, made at the first start.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fseg_api::Secret;
use fseg_model::Wall;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use thiserror::Error;
use time::OffsetDateTime;

use super::validity;

/// How long an authority lasts. What it vouches for lasts much less.
const LIFE: Duration = Duration::from_secs(20 * 365 * 86_400);
/// Certificates count from a while ago: the clocks of switches are not always right.
const EARLIER: Duration = Duration::from_secs(86_400);

/// Why there is no authority, or no certificate of it.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A file that cannot be read or written.
    #[error("{}: {error}; check the path and the permissions of the user fsegd runs as", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file that does not hold what it should.
    #[error("{}: {reason}; restore it from a copy of the state folder, or remove both files of this authority: then a new one is made, and every switch must be enrolled again", path.display())]
    Unusable {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A certificate could not be made.
    #[error("no certificate could be made: {0}")]
    Make(String),
}

fn make(e: impl std::fmt::Display) -> TrustError {
    TrustError::Make(e.to_string())
}

/// Key and certificate of an authority.
pub(super) struct Authority {
    key: KeyPair,
    params: CertificateParams,
    pem: String,
    certificate: CertificateDer<'static>,
    expires: Wall,
}

/// What a new certificate says.
pub(super) struct Leaf<'a> {
    /// The subject's common name: for people.
    pub(super) name: &'a str,
    /// DNS names (subject alternative names): for programs.
    pub(super) hosts: Vec<String>,
    /// For how long.
    pub(super) valid: Duration,
}

/// A certificate that was just made, with its key.
pub struct Issued {
    /// The certificate, PEM.
    pub certificate: String,
    /// The certificate, DER.
    pub der: CertificateDer<'static>,
    /// Its private key, PEM (PKCS #8).
    pub key: Secret,
    /// Its serial number, 32 hexadecimal digits.
    pub serial: String,
    /// From when on it does not count any more.
    pub expires: Wall,
}

impl Authority {
    /// Reads `NAME.crt` and `NAME.key` in this folder, or makes them there (the key with mode 0600).
    pub(super) fn open(folder: &Path, name: &str, title: &str, now: Wall) -> Result<Self, TrustError> {
        let (certificate, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        match (certificate.exists(), key.exists()) {
            (true, true) => Self::read(&certificate, &key, title),
            (true, false) => Err(TrustError::Unusable { path: key, reason: "is missing".into() }),
            // With the key alone, as a crash in between leaves it, the certificate is made again: whatever the key has
            // signed stays good, since the authority's name is made from the key.
            (false, has_key) => {
                if !has_key {
                    write(&key, 0o600, &KeyPair::generate().map_err(make)?.serialize_pem())?;
                }
                let pair = Self::key(&key)?;
                let made = params(title, &pair, now).self_signed(&pair).map_err(make)?;
                write(&certificate, 0o644, &made.pem())?;
                Self::read(&certificate, &key, title)
            }
        }
    }

    fn key(path: &Path) -> Result<KeyPair, TrustError> {
        let text = fs::read_to_string(path).map_err(|error| TrustError::File { path: path.into(), error })?;
        KeyPair::from_pem(&text).map_err(|e| TrustError::Unusable {
            path: path.into(),
            reason: format!("holds no private key that can be read ({e})"),
        })
    }

    fn read(certificate: &Path, key: &Path, title: &str) -> Result<Self, TrustError> {
        let bad = |path: &Path, reason: String| TrustError::Unusable { path: path.into(), reason };
        let unread = |error| TrustError::File { path: certificate.into(), error };
        let pem = fs::read_to_string(certificate).map_err(unread)?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|e| bad(certificate, format!("holds no certificate ({e})")))?;
        let pair = Self::key(key)?;
        if !der.windows(pair.public_key_raw().len()).any(|part| part == pair.public_key_raw()) {
            return Err(bad(key, format!("is not the key of {}", certificate.display())));
        }
        let expires =
            validity::expires(&der).ok_or_else(|| bad(certificate, "has no validity that can be read".into()))?;
        // Only the names count for signing: the dates are those of the file.
        let params = params(title, &pair, Wall(0));
        Ok(Self { key: pair, params, pem, certificate: der, expires })
    }

    /// The authority's own certificate, PEM.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// The authority's own certificate, DER.
    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// When the authority ends.
    pub(super) fn expires(&self) -> Wall {
        self.expires
    }

    /// Makes a key and its certificate, for either side of a connection. It does not outlast the authority.
    pub(super) fn issue(&self, leaf: Leaf<'_>, now: Wall) -> Result<Issued, TrustError> {
        let pair = KeyPair::generate().map_err(make)?;
        let mut params = CertificateParams::new(leaf.hosts).map_err(make)?;
        let mut serial = [0; 16];
        getrandom::fill(&mut serial).map_err(make)?;
        // Positive and of full length (RFC 5280, section 4.1.2.2).
        serial[0] = serial[0] & 0x7f | 0x40;
        let expires = now.plus(leaf.valid).min(self.expires);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, leaf.name);
        params.not_before = date(Wall(now.0.saturating_sub(EARLIER.as_millis() as u64)));
        params.not_after = date(expires);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A switch is the client of OpenFlow and the server of OVSDB, with one certificate.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_params(&self.params, &self.key);
        let made = params.signed_by(&pair, &issuer).map_err(make)?;
        Ok(Issued {
            certificate: made.pem(),
            der: made.der().clone(),
            key: Secret::new(pair.serialize_pem()),
            serial: hex(&serial),
            expires,
        })
    }
}

/// What an authority's certificate says. The name is made from its key, so that two authorities are never confused.
fn params(title: &str, key: &KeyPair, now: Wall) -> CertificateParams {
    let mut params = CertificateParams::default();
    let id = hex(digest(&SHA256, key.public_key_raw()).as_ref());
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{title} {}", id.get(..12).unwrap_or_default()));
    params.not_before = date(Wall(now.0.saturating_sub(EARLIER.as_millis() as u64)));
    params.not_after = date(now.plus(LIFE));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn date(at: Wall) -> OffsetDateTime {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(rcgen::date_time_ymd(9999, 12, 31))
}

/// Writes a new file, durably.
pub(super) fn write(path: &Path, mode: u32, text: &str) -> Result<(), TrustError> {
    let attempt = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    };
    attempt().map_err(|error| TrustError::File { path: path.to_owned(), error })
}

pub(super) fn hex(bytes: &[u8]) -> String {
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

    const NOW: Wall = Wall(1_795_000_000_000);

    #[test]
    fn an_authority_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(folder.path(), "node-ca", "FSEG node", NOW).unwrap();
        let again = Authority::open(folder.path(), "node-ca", "FSEG node", NOW.plus(LIFE)).unwrap();
        assert_eq!(first.pem(), again.pem());
        assert_eq!(first.expires(), NOW.plus(LIFE), "the file's own dates count");
        assert_eq!(again.expires(), first.expires());
        let mode = fs::metadata(folder.path().join("node-ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_it_issues_ends_before_it_and_has_a_serial_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), "a", "A", NOW).unwrap();
        let issue = |days: u64, now| {
            let leaf = Leaf { name: "sw1", hosts: vec!["x.example".into()], valid: Duration::from_secs(days * 86_400) };
            authority.issue(leaf, now).unwrap()
        };
        let (a, b) = (issue(10, NOW), issue(10, NOW));
        assert_ne!(a.serial, b.serial);
        assert_eq!(a.serial.len(), 32);
        assert_eq!(a.expires, NOW.plus(Duration::from_secs(864_000)));
        assert_eq!(validity::expires(&a.der), Some(a.expires));
        assert_eq!(issue(100_000, NOW).expires, authority.expires());
        assert!(!format!("{:?}", a.key).contains("PRIVATE"));
    }

    #[test]
    fn halves_and_strangers_are_refused_with_their_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        Authority::open(path, "a", "A", NOW).unwrap();
        Authority::open(path, "b", "B", NOW).unwrap();
        let open = || Authority::open(path, "a", "A", NOW).err().map(|e| e.to_string()).unwrap_or_default();
        fs::rename(path.join("a.key"), path.join("kept")).unwrap();
        fs::copy(path.join("b.key"), path.join("a.key")).unwrap();
        assert!(open().contains("a.key: is not the key of"), "{}", open());
        fs::write(path.join("a.key"), "nothing").unwrap();
        assert!(open().contains("a.key: holds no private key"), "{}", open());
        fs::remove_file(path.join("a.key")).unwrap();
        assert!(open().contains("a.key: is missing") && open().contains("enrolled again"), "{}", open());
        // The key is what counts: with it alone the authority goes on under its name.
        let before = fs::read(path.join("a.crt")).unwrap();
        fs::remove_file(path.join("a.crt")).unwrap();
        fs::rename(path.join("kept"), path.join("a.key")).unwrap();
        assert_eq!(open(), "");
        let again = fs::read(path.join("a.crt")).unwrap();
        assert_ne!(before, again, "a serial number of its own");
    }
}
