//! Who is a switch of this node, and who is this node: certificates for both sides of OpenFlow and OVSDB.
//!
//! Two authorities, both the node's own (`tls/` in the state folder): one vouches for the node, one for switches. A switch
//! trusts only the first, so that no switch's key can play the node to another. See `docs/decisions/0019-two-authorities.md`.

mod authority;
mod register;
mod validity;
mod verify;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use fseg_model::{Dpid, Name, Wall};
use fseg_ovsdb::TlsFiles;
use fseg_store::{Change, Record};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio::sync::watch;
use tracing::warn;

use crate::core::{Core, NoAnswer};
use authority::{Authority, Leaf};
use register::Register;

pub use authority::{Issued, TrustError};
pub use register::{End, EndReason, Enrolment, NotCounted};
pub use verify::{Handshake, Refused};

const DAY: Duration = Duration::from_secs(86_400);
/// How long the node's own certificate counts. Its key never leaves memory, and a new one is made in good time.
const OWN_LIFE: Duration = Duration::from_secs(90 * 86_400);
/// How long a switch's certificate counts, unless the administrator says otherwise.
pub const SWITCH_LIFE: Duration = Duration::from_secs(2 * 365 * 86_400);
/// How long before its end a certificate is warned of.
const WARN_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// The same for the authorities: then every switch must be enrolled again, which takes planning.
const WARN_BEFORE_AUTHORITY: Duration = Duration::from_secs(365 * 86_400);
/// Connections that were refused lately and are still told about, by address.
const REFUSALS: usize = 64;
/// How long the same refusal of the same address is not written to the log again.
const SAID: Duration = Duration::from_secs(60);

/// Why a switch was not enrolled, or its certificate not revoked.
#[derive(Debug, Error)]
pub enum EnrolError {
    /// Making or keeping files.
    #[error("{0}")]
    Trust(#[from] TrustError),
    /// The store.
    #[error("{0}")]
    Store(String),
    /// There are too many certificates.
    #[error("too many certificates are kept already; revoke what is not used, and wait until it has expired")]
    Full,
    /// There is nothing to revoke.
    #[error("switch {0} has no certificate that counts")]
    Nothing(Name),
    /// It was revoked, and only an administrator lets it in again.
    #[error("the certificate of {0} is revoked; `fseg switch enroll {0}` lets it in again")]
    Revoked(Name),
}

impl From<NoAnswer> for EnrolError {
    fn from(e: NoAnswer) -> Self {
        Self::Store(e.to_string())
    }
}

/// The switches that share one Open vSwitch, and with it one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// The switch the certificate is named after.
    pub switch: Name,
    /// The datapath ids it is good for.
    pub dpids: Vec<Dpid>,
}

/// A connection that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When, the last time.
    pub at: Wall,
    /// Who.
    pub peer: SocketAddr,
    /// Why.
    pub reason: String,
    /// How often, since it was refused for this reason.
    pub count: u64,
}

struct Own {
    key: Arc<CertifiedKey>,
    made: Wall,
}

/// Everything about certificates of switches and of the node towards them.
pub struct Trust {
    folder: PathBuf,
    node: Authority,
    switches: Authority,
    own: RwLock<Own>,
    register: Register,
    refusals: Mutex<VecDeque<Refusal>>,
    /// By what the connected switches are connected.
    connected: Mutex<HashMap<Dpid, &'static str>>,
    /// Told when the node's own installation of certificates should be looked at at once.
    again: watch::Sender<u64>,
}

/// What `fseg health` says of certificates: the part's name, whether it is well, and a sentence.
pub type Condition = (String, bool, String);

impl Trust {
    /// Reads the authorities and the certificates that were issued, or makes the authorities.
    ///
    /// # Errors
    /// When a file of an authority cannot be used. The rows that cannot be read are named beside the result.
    pub fn open(state: &Path, rows: &[Record], now: Wall) -> Result<(Self, Vec<String>), TrustError> {
        use std::os::unix::fs::DirBuilderExt as _;
        let folder = state.join("tls");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder.join("switches"));
        made.map_err(|error| TrustError::File { path: folder.clone(), error })?;
        let node = Authority::open(&folder, "node-ca", "FSEG node", now)?;
        let switches = Authority::open(&folder, "switch-ca", "FSEG switches", now)?;
        let own = RwLock::new(own(&node, now)?);
        let (register, bad) = Register::load(rows);
        let trust = Self {
            folder,
            node,
            switches,
            own,
            register,
            refusals: Mutex::default(),
            connected: Mutex::default(),
            again: watch::channel(0).0,
        };
        Ok((trust, bad))
    }

    /// The certificate that vouches for the node, PEM: what a switch must trust.
    pub fn node_authority(&self) -> &str {
        self.node.pem()
    }

    /// The node's own certificate and key, renewed when it is time. The clock may have jumped either way.
    fn own(&self, now: Wall) -> Arc<CertifiedKey> {
        {
            let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
            if own.made <= now && now < own.made.plus(OWN_LIFE / 3) {
                return own.key.clone();
            }
        }
        let mut current = self.own.write().unwrap_or_else(PoisonError::into_inner);
        match own(&self.node, now) {
            Ok(new) => *current = new,
            Err(e) => warn!(error = %e, "the node's certificate could not be renewed"),
        }
        current.key.clone()
    }

    /// Issues a certificate for a switch; durable when it returns. Older ones count until the new one is used.
    pub async fn enrol(
        &self,
        core: &Core,
        by: &str,
        whom: &Sharing,
        valid: Duration,
    ) -> Result<(Enrolment, Issued), EnrolError> {
        self.issue(core, by, whom, valid, false).await
    }

    async fn issue(
        &self,
        core: &Core,
        by: &str,
        whom: &Sharing,
        valid: Duration,
        automatic: bool,
    ) -> Result<(Enrolment, Issued), EnrolError> {
        let now = core.clock.now().wall;
        let mut changes = self.register.sweep(now);
        if self.register.is_full() {
            return Err(EnrolError::Full);
        }
        let hosts = whom.dpids.iter().map(|d| host(*d)).collect();
        let issued = self.switches.issue(Leaf { name: whom.switch.as_str(), hosts, valid }, now)?;
        let enrolment = Enrolment {
            switch: whom.switch.clone(),
            dpids: whom.dpids.clone(),
            fingerprint: register::fingerprint(&issued.der),
            serial: issued.serial.clone(),
            issued: now,
            by: by.to_owned(),
            expires: issued.expires,
            automatic,
            end: None,
        };
        if automatic {
            let path = |kind: &str| self.installed(&enrolment.serial, kind);
            authority::write(&path("key"), 0o600, issued.key.expose())?;
            authority::write(&path("crt"), 0o644, &issued.certificate)?;
        }
        changes.extend([register::put(&enrolment), register::audit(&enrolment, now, by, "switch.enroll")]);
        commit(core, changes).await?;
        self.register.put([enrolment.clone()]);
        Ok((enrolment, issued))
    }

    fn installed(&self, serial: &str, kind: &str) -> PathBuf {
        self.folder.join("switches").join(format!("{serial}.{kind}"))
    }

    /// The files for an Open vSwitch of this machine, whose settings the node itself makes: those in use as long as they
    /// count and are not near their end, else new ones.
    pub async fn installation(&self, core: &Core, whom: &Sharing) -> Result<TlsFiles, EnrolError> {
        let now = core.clock.now().wall;
        let known = self.register.of(&whom.switch);
        let newest = known.first();
        if newest.is_some_and(|e| e.end.as_ref().is_some_and(|end| end.reason == EndReason::Revoked)) {
            return Err(EnrolError::Revoked(whom.switch.clone()));
        }
        let fresh = |e: &&Enrolment| {
            let life = e.expires.since(e.issued);
            e.automatic && e.end.is_none() && e.dpids == whom.dpids && e.expires.since(now) > life / 3
        };
        let there = |e: &&Enrolment| {
            let certificate = fs::read(self.installed(&e.serial, "crt")).ok();
            let der = certificate.and_then(|pem| rustls::pki_types::CertificateDer::from_pem_slice(&pem).ok());
            self.installed(&e.serial, "key").exists() && der.is_some_and(|d| register::fingerprint(&d) == e.fingerprint)
        };
        let serial = match known.iter().find(|e| fresh(e) && there(e)) {
            Some(e) => e.serial.clone(),
            None => self.issue(core, "node", whom, SWITCH_LIFE, true).await?.0.serial,
        };
        Ok(TlsFiles {
            key: self.installed(&serial, "key"),
            certificate: self.installed(&serial, "crt"),
            authority: self.folder.join("node-ca.crt"),
        })
    }

    /// Lets a switch whose settings the node makes itself in again, or renews its certificate.
    pub async fn reinstall(&self, core: &Core, by: &str, whom: &Sharing) -> Result<Enrolment, EnrolError> {
        let (enrolment, _) = self.issue(core, by, whom, SWITCH_LIFE, true).await?;
        self.again.send_modify(|n| *n += 1);
        Ok(enrolment)
    }

    /// Tells when installations should be looked at at once.
    pub fn again(&self) -> watch::Receiver<u64> {
        self.again.subscribe()
    }

    /// Takes every certificate of a switch back; connections with them end.
    pub async fn revoke(&self, core: &Core, by: &str, switch: &Name) -> Result<(), EnrolError> {
        let list: Vec<_> = self.register.of(switch).into_iter().filter(|e| e.end.is_none()).collect();
        if list.is_empty() {
            return Err(EnrolError::Nothing(switch.clone()));
        }
        self.end(core, by, list, EndReason::Revoked, "switch.revoke").await
    }

    /// A switch is connected with this certificate: older ones of the same switch have had their time.
    pub async fn used(&self, core: &Core, enrolment: &Enrolment) {
        let older = self.register.older(enrolment);
        if older.is_empty() {
            return;
        }
        if let Err(e) = self.end(core, "node", older, EndReason::Replaced, "switch.replace").await {
            warn!(switch = %enrolment.switch, error = %e, "the switch's older certificates still count");
        }
    }

    async fn end(
        &self,
        core: &Core,
        by: &str,
        list: Vec<Enrolment>,
        reason: EndReason,
        what: &str,
    ) -> Result<(), EnrolError> {
        let at = core.clock.now().wall;
        let ended: Vec<Enrolment> =
            list.into_iter().map(|e| Enrolment { end: Some(End { at, by: by.to_owned(), reason }), ..e }).collect();
        let changes = ended.iter().flat_map(|e| [register::put(e), register::audit(e, at, by, what)]).collect();
        commit(core, changes).await?;
        for e in ended.iter().filter(|e| e.automatic) {
            for kind in ["key", "crt"] {
                // What is not there any more need not be removed.
                let _ = fs::remove_file(self.installed(&e.serial, kind));
            }
        }
        self.register.put(ended);
        Ok(())
    }

    /// Every certificate of a switch, the newest first.
    pub fn of(&self, switch: &Name) -> Vec<Enrolment> {
        self.register.of(switch)
    }

    /// Whether a certificate still counts.
    pub fn judge(&self, fingerprint: &str) -> Result<Enrolment, NotCounted> {
        self.register.judge(fingerprint)
    }

    /// Resolves when a certificate ceases to count, and says why.
    pub async fn ended(&self, fingerprint: &str) -> NotCounted {
        let mut changes = self.register.changes();
        loop {
            if let Err(why) = self.register.judge(fingerprint) {
                return why;
            }
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Notes that a connection was refused; true when that should be written to the log, false when it was lately.
    pub fn refused(&self, now: Wall, peer: SocketAddr, reason: &str) -> bool {
        let mut all = lock(&self.refusals);
        let same = all.iter().position(|r| r.peer.ip() == peer.ip() && r.reason == reason);
        let before = same.and_then(|at| all.remove(at));
        let say = before.as_ref().is_none_or(|b| now.since(b.at) >= SAID || (b.count + 1).is_power_of_two());
        let count = before.map_or(1, |b| b.count + 1);
        all.push_back(Refusal { at: now, peer, reason: reason.to_owned(), count });
        while all.len() > REFUSALS {
            all.pop_front();
        }
        say
    }

    /// Connections that were refused, the last one first.
    pub fn refusals(&self) -> Vec<Refusal> {
        lock(&self.refusals).iter().rev().cloned().collect()
    }

    /// A switch is connected now, over `transport`; or is not any more.
    pub fn connected(&self, dpid: Dpid, transport: Option<&'static str>) {
        let mut all = lock(&self.connected);
        match transport {
            Some(t) => drop(all.insert(dpid, t)),
            None => drop(all.remove(&dpid)),
        }
    }

    /// By what a switch is connected: `tls` or `tcp`.
    pub fn transport(&self, dpid: Dpid) -> Option<&'static str> {
        lock(&self.connected).get(&dpid).copied()
    }

    /// What there is to say of certificates: those that end soon, and the authorities.
    pub fn conditions(&self, switches: &BTreeMap<Name, Dpid>, now: Wall) -> Vec<Condition> {
        let mut out = Vec::new();
        for switch in switches.keys() {
            let Some(e) = self.register.of(switch).into_iter().find(|e| e.end.is_none()) else { continue };
            let left = e.expires.since(now);
            let days = left.as_secs() / DAY.as_secs();
            // The node renews those it installs itself, long before this.
            let advice = format!("`fseg switch enroll {switch}` issues another");
            if left.is_zero() {
                let text = format!("expired; the switch cannot connect again: {advice}");
                out.push((format!("certificate of {switch}"), false, text));
            } else if left < WARN_BEFORE {
                let text = format!("warning: expires in {days} days: {advice}");
                out.push((format!("certificate of {switch}"), true, text));
            }
        }
        let ends = self.node.expires().min(self.switches.expires());
        let left = ends.since(now);
        let days = left.as_secs() / DAY.as_secs();
        out.push(if left.is_zero() {
            let text = "expired: move the folder `tls` of the state folder away, restart, and enrol every switch again";
            ("certificate authority".into(), false, text.into())
        } else if left < WARN_BEFORE_AUTHORITY {
            let text = format!("warning: ends in {days} days; plan to renew it and to enrol every switch again");
            ("certificate authority".into(), true, text)
        } else {
            ("certificate authority".into(), true, format!("good for {} more years", days / 365))
        });
        out
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn own(authority: &Authority, now: Wall) -> Result<Own, TrustError> {
    let leaf = Leaf { name: "FSEG node", hosts: vec![NODE_HOST.into()], valid: OWN_LIFE };
    let issued = authority.issue(leaf, now)?;
    let unusable = |e: String| TrustError::Make(e);
    let key = PrivateKeyDer::from_pem_slice(issued.key.expose().as_bytes()).map_err(|e| unusable(e.to_string()))?;
    let signer = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|e| unusable(e.to_string()))?;
    let chain = vec![issued.der, authority.certificate().clone()];
    Ok(Own { key: Arc::new(CertifiedKey::new(chain, signer)), made: now })
}

/// The DNS name in the node's own certificate. Open vSwitch looks at none.
const NODE_HOST: &str = "node.fseg.internal";

/// The DNS name in a switch's certificate. Its own name may hold letters that a DNS name cannot.
pub fn host(dpid: Dpid) -> String {
    format!("dpid-{dpid}.switch.fseg.internal")
}

async fn commit(core: &Core, changes: Vec<Change>) -> Result<(), EnrolError> {
    core.store(move |store| store.commit(&changes)).await?.map_err(|e| EnrolError::Store(e.to_string()))
}

#[cfg(test)]
mod tests;
