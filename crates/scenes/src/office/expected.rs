//! What the policy says of everybody against everybody, asked of the reference `decide()` and nothing else: neither
//! the compiler nor the node has a part in it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use fseg_lab::probe::Service;
use fseg_model::{Flow, Identity, MemberSet, Name, Subject, Wall};
use fseg_policy::Policy;
use fseg_yaml::Source;

use super::{Kind, PLANS};
use crate::SceneError;

/// The policy with everybody's groups.
pub struct Expected {
    policy: Policy,
    members: BTreeMap<&'static str, MemberSet>,
}

impl Expected {
    /// Of a policy text.
    pub fn of(text: &str) -> Result<Self, SceneError> {
        let checked = fseg_policy::check(&Source::new("office.yaml", text));
        let policy = checked.policy.ok_or_else(|| SceneError::wrong("the policy of the scene has errors"))?;
        let bad = |e: fseg_model::ModelError| SceneError::wrong(e.to_string());
        let mut members = BTreeMap::new();
        for p in &PLANS {
            let name = Name::new(p.name).map_err(bad)?;
            let set = match p.kind {
                Kind::Person(role) => policy.groups_of(&Identity {
                    subject: Subject::User(name),
                    roles: role.into_iter().filter_map(|r| Name::new(r).ok()).collect(),
                }),
                Kind::Server => policy.groups_of(&Identity::plain(Subject::Device(name))),
                Kind::Printer => {
                    let place = format!("tokyo/{}", p.port.replace('-', "/")).parse().map_err(bad)?;
                    policy.groups_of(&Identity::plain(Subject::Location(place)))
                }
                Kind::Stranger => MemberSet::new(),
                Kind::Outside(cidr, _) => {
                    let address = cidr.split('/').next().and_then(|a| a.parse::<IpAddr>().ok());
                    address.map(|a| policy.externals_of(a)).unwrap_or_default()
                }
            };
            members.insert(p.name, set);
        }
        Ok(Self { policy, members })
    }

    /// May this pass? Outside hosts reach each other, or not, without us.
    pub fn permits(&self, from: &str, to: &str, service: Service) -> bool {
        let flow = match service {
            Service::Tcp(port) => Flow::tcp(port),
            Service::Udp(port) => Flow::udp(port),
            Service::Echo => Flow::PING,
        };
        let (Some(from), Some(to)) = (self.members.get(from), self.members.get(to)) else { return false };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.policy.decide(from, to, flow, Wall(now.as_millis() as u64)).is_permit()
    }
}
