//! Enrolling switches: certificates, the commands to run on a switch, and what there is to say of their connections.

use std::collections::BTreeMap;
use std::time::Duration;

use fseg_api::{
    ApiError, CertificateState, CertificateView, EnrolNew, Enrolled, EnrolledView, Enrolments, HealthPart, Secret,
    TurnedAwayView,
};
use fseg_model::{Name, Wall};

use super::Node;
use crate::config::{SwitchAccess, Transport};
use crate::http::Caller;
use crate::trust::{EndReason, EnrolError, Enrolment, SWITCH_LIFE};

/// The shortest life of a certificate: a switch's clock may be wrong by more than less.
const SHORTEST: Duration = Duration::from_secs(3600);
/// The longest.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Where the node is, as far as it knows: where an administrator must fill it in.
const SOMEWHERE: &str = "NODE-ADDRESS";

impl Node {
    pub(super) fn enrolment_views(&self) -> Enrolments {
        let now = self.core.clock.now().wall;
        let switches = self.config.access.iter().map(|a| {
            let named_after = self.config.sharing(&a.switch).map_or_else(|| a.switch.clone(), |s| s.switch);
            let newest = self.trust.of(&named_after).into_iter().next();
            EnrolledView {
                name: a.switch.to_string(),
                dpid: a.dpid.to_string(),
                transport: self.trust.transport(a.dpid).map(Into::into),
                certificate: newest.map(|e| view(&e, now)),
            }
        });
        let turned_away = self.trust.refusals().into_iter().map(|r| TurnedAwayView {
            at: r.at.into(),
            peer: r.peer.to_string(),
            reason: r.reason,
            count: r.count,
        });
        Enrolments { switches: switches.collect(), turned_away: turned_away.collect() }
    }

    pub(super) async fn enrol_switch(&self, caller: Caller, name: Name, enrol: EnrolNew) -> Result<Enrolled, ApiError> {
        let unknown = || {
            ApiError::not_found("switch", &name).help("node.yaml names the switches; restart fsegd after changing it")
        };
        let access = self.config.access.iter().find(|a| a.switch == name).ok_or_else(unknown)?;
        let sharing = self.config.sharing(&name).ok_or_else(unknown)?;
        let now = self.core.clock.now().wall;
        if access.is_automatic() {
            if enrol.valid_seconds.is_some() {
                return Err(ApiError::bad_request("the node installs and renews this switch's certificate itself")
                    .help("leave out how long it counts"));
            }
            let e = self.trust.reinstall(&self.core, &caller.name, &sharing).await.map_err(failed)?;
            return Ok(Enrolled {
                name: name.to_string(),
                view: view(&e, now),
                key: None,
                certificate: None,
                authority: self.trust.node_authority().to_owned(),
                commands: vec![],
            });
        }
        let valid = enrol.valid_seconds.map_or(SWITCH_LIFE, Duration::from_secs);
        if !(SHORTEST..=LONGEST).contains(&valid) {
            return Err(ApiError::bad_request("a certificate counts for at least an hour and at most ten years"));
        }
        let (e, issued) = self.trust.enrol(&self.core, &caller.name, &sharing, valid).await.map_err(failed)?;
        Ok(Enrolled {
            name: name.to_string(),
            view: view(&e, now),
            key: Some(Secret::new(issued.key.expose())),
            certificate: Some(issued.certificate),
            authority: self.trust.node_authority().to_owned(),
            commands: commands(access),
        })
    }

    pub(super) async fn revoke_switch(&self, caller: Caller, name: Name) -> Result<(), ApiError> {
        // A switch that was taken out of the configuration can still be revoked.
        let named_after = self.config.sharing(&name).map_or(name, |s| s.switch);
        self.trust.revoke(&self.core, &caller.name, &named_after).await.map_err(failed)
    }

    /// What there is to say of how switches connect.
    pub(super) fn connection_health(&self) -> Vec<HealthPart> {
        let named: BTreeMap<_, _> = self
            .config
            .access
            .iter()
            .map(|a| (self.config.sharing(&a.switch).map_or_else(|| a.switch.clone(), |s| s.switch), a.dpid))
            .collect();
        let mut parts = Vec::new();
        let plain = |l: &&crate::config::OpenFlowListener| l.transport == Transport::Tcp;
        let addresses: Vec<_> = self.config.openflow.iter().filter(plain).map(|l| l.address.to_string()).collect();
        if !addresses.is_empty() {
            let at = addresses.join(", ");
            let detail = format!("plain TCP at {at}: whoever reaches it can say that it is a switch");
            parts.push(HealthPart::warning("openflow", detail));
        }
        let far = |d: &str| d.starts_with("tcp:") && !d.starts_with("tcp:127.") && !d.starts_with("tcp:[::1]");
        for a in self.config.access.iter().filter(|a| a.database.as_deref().is_some_and(far)) {
            let name = format!("database of {}", a.switch);
            parts.push(HealthPart::warning(name, "reached by plain TCP; use `ssl:` in node.yaml"));
        }
        if self.config.openflow.iter().any(|l| l.transport == Transport::Tls) {
            let conditions = self.trust.conditions(&named, self.core.clock.now().wall);
            parts.extend(conditions.into_iter().map(|(name, ok, detail)| match detail.strip_prefix("warning: ") {
                Some(detail) if ok => HealthPart::warning(name, detail),
                _ => HealthPart::new(name, ok, detail),
            }));
        }
        parts
    }
}

fn failed(e: EnrolError) -> ApiError {
    match e {
        EnrolError::Nothing(_) => ApiError::new(fseg_api::ErrorCode::NotFound, e.to_string()),
        EnrolError::Full | EnrolError::Revoked(_) => ApiError::conflict(e.to_string()),
        EnrolError::Store(_) => ApiError::unavailable(e.to_string()),
        EnrolError::Trust(_) => ApiError::internal(e.to_string()),
    }
}

fn view(e: &Enrolment, now: Wall) -> CertificateView {
    let state = match e.end.as_ref().map(|end| end.reason) {
        Some(EndReason::Revoked) => CertificateState::Revoked,
        Some(EndReason::Replaced) => CertificateState::Replaced,
        None if e.expires <= now => CertificateState::Expired,
        None => CertificateState::Valid,
    };
    CertificateView {
        serial: e.serial.clone(),
        fingerprint: e.fingerprint.clone(),
        dpids: e.dpids.iter().map(ToString::to_string).collect(),
        issued: e.issued.into(),
        issued_by: e.by.clone(),
        expires: e.expires.into(),
        state,
        automatic: e.automatic,
    }
}

/// A word for a shell, whatever is in it (POSIX.1-2017, section 2.2.2).
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=[]".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// What to run on a switch, whose files are in `DIR`.
fn commands(access: &SwitchAccess) -> Vec<String> {
    let mut out = vec!["ovs-vsctl set-ssl DIR/fseg.key DIR/fseg.crt DIR/node-ca.crt".to_owned()];
    match &access.database {
        // The node makes the bridge, with its controller, once it reaches the database.
        Some(database) => {
            if let Some((host, port)) = database.strip_prefix("ssl:").and_then(|rest| rest.rsplit_once(':')) {
                out.push(format!("ovs-vsctl set-manager {}", quoted(&format!("pssl:{port}:{host}"))));
            }
        }
        None => {
            let bridge = quoted(&access.bridge);
            out.push(format!(
                "ovs-vsctl set bridge {bridge} protocols=OpenFlow13,OpenFlow14,OpenFlow15 fail_mode=secure \
                 other-config:datapath-id={}",
                access.dpid
            ));
            let targets: Vec<_> = access.controllers.iter().map(|c| quoted(&named(c))).collect();
            out.push(format!("ovs-vsctl set-controller {bridge} {}", targets.join(" ")));
        }
    }
    out
}

/// A controller's target as another machine can use it.
fn named(target: &str) -> String {
    let address = target.split_once(':').and_then(|(_, rest)| rest.parse::<std::net::SocketAddr>().ok());
    match address {
        Some(a) if a.ip().is_loopback() || a.ip().is_unspecified() => {
            let scheme = target.split(':').next().unwrap_or("ssl");
            format!("{scheme}:{SOMEWHERE}:{}", a.port())
        }
        _ => target.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use fseg_model::Dpid;

    use super::*;

    fn access(database: Option<&str>, bridge: &str, controller: &str) -> SwitchAccess {
        SwitchAccess {
            switch: Name::new("sw1").unwrap(),
            dpid: Dpid(0x11),
            database: database.map(Into::into),
            bridge: bridge.into(),
            controllers: vec![controller.into()],
        }
    }

    #[test]
    fn commands_are_complete_and_quoted() {
        let own = commands(&access(None, "br 0'; reboot", "ssl:0.0.0.0:6653"));
        assert_eq!(own.len(), 3);
        assert!(own[1].contains(r"set bridge 'br 0'\''; reboot' protocols=") && own[1].ends_with("=0000000000000011"));
        assert!(own[2].ends_with("ssl:NODE-ADDRESS:6653"), "{}", own[2]);
        let kept = commands(&access(Some("ssl:[2001:db8::2]:6640"), "br0", "ssl:192.0.2.1:6653"));
        assert_eq!(kept[1], "ovs-vsctl set-manager pssl:6640:[2001:db8::2]");
        assert_eq!(kept.len(), 2, "the node makes the bridge");
        assert_eq!(commands(&access(Some("tcp:192.0.2.2:6640"), "br0", "ssl:192.0.2.1:6653")).len(), 1);
    }
}
