//! Certificates of switches: who is enrolled, and what a switch needs to be.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Secret, Timestamp};

/// Whether a certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CertificateState {
    /// It counts.
    Valid,
    /// It is over.
    Expired,
    /// An administrator took it back.
    Revoked,
    /// The switch uses a newer one.
    Replaced,
}

impl CertificateState {
    /// The word used in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Replaced => "replaced",
        }
    }
}

/// A certificate that was issued for a switch. The node keeps no keys of certificates that it does not install itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// SHA-256 of the certificate, 64 hexadecimal digits.
    pub fingerprint: String,
    /// The datapath ids it is good for.
    pub dpids: Vec<String>,
    /// When it was issued.
    pub issued: Timestamp,
    /// By whom.
    pub issued_by: String,
    /// From when on it does not count any more.
    pub expires: Timestamp,
    /// Whether it counts now.
    pub state: CertificateState,
    /// True when the node installs and renews it itself.
    pub automatic: bool,
}

/// A switch of the configuration and its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolledView {
    /// The switch.
    pub name: String,
    /// Its datapath id, 16 hexadecimal digits.
    pub dpid: String,
    /// How it is connected now: `tls` or `tcp`; absent while it is not.
    pub transport: Option<String>,
    /// Its newest certificate, if it has one.
    pub certificate: Option<CertificateView>,
}

/// A connection that was turned away at the port for switches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TurnedAwayView {
    /// When, the last time.
    pub at: Timestamp,
    /// From where.
    pub peer: String,
    /// Why; a sentence that says what to do.
    pub reason: String,
    /// How often for this reason.
    pub count: u64,
}

/// Who is enrolled, and who was turned away lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Enrolments {
    /// Every switch of the configuration.
    pub switches: Vec<EnrolledView>,
    /// Connections that were turned away, the last one first.
    pub turned_away: Vec<TurnedAwayView>,
}

/// How to enrol a switch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolNew {
    /// For how many seconds the certificate counts, at least an hour; two years when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_seconds: Option<u64>,
}

/// A switch that is enrolled now. Key and certificate are shown this once; both are absent when the node has installed them
/// itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Enrolled {
    /// The switch.
    pub name: String,
    /// What was issued.
    pub view: CertificateView,
    /// The switch's private key, PEM.
    pub key: Option<Secret>,
    /// The switch's certificate, PEM.
    pub certificate: Option<String>,
    /// The certificate that vouches for the node, PEM: the switch must trust it and no other.
    pub authority: String,
    /// Shell commands for the switch, one each; `DIR` stands for the folder where key (`fseg.key`), certificate (`fseg.crt`)
    /// and authority (`node-ca.crt`) are.
    pub commands: Vec<String>,
}
