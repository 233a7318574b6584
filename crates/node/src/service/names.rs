//! Who is behind an address, for those who must answer at once: a snapshot that follows the controller.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use fseg_control::{Answer, Input, Presence};
use fseg_model::EndpointId;
use futures::future::BoxFuture;

use crate::core::Core;
use crate::dns::{Client, DnsPolicy};

#[derive(Default)]
struct Maps {
    by_id: HashMap<EndpointId, Presence>,
    by_address: HashMap<IpAddr, EndpointId>,
    by_name: HashMap<String, EndpointId>,
}

/// The snapshot.
#[derive(Default)]
pub struct NodeNames(RwLock<Maps>);

impl NodeNames {
    /// Takes in a change.
    pub fn change(&self, presence: &Presence) {
        let mut maps = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let id = presence.id;
        if let Some(old) = maps.by_id.remove(&id) {
            for a in &old.addresses {
                if maps.by_address.get(a) == Some(&id) {
                    maps.by_address.remove(a);
                }
            }
            if let Some(name) = &old.name
                && maps.by_name.get(name.as_str()) == Some(&id)
            {
                maps.by_name.remove(name.as_str());
            }
        }
        for a in &presence.addresses {
            maps.by_address.insert(*a, id);
        }
        if let Some(name) = &presence.name {
            maps.by_name.insert(name.to_string(), id);
        }
        if presence.name.is_some() || !presence.addresses.is_empty() {
            maps.by_id.insert(id, presence.clone());
        }
    }
}

/// How long an answer to an endpoint may wait for the switches.
const LEARN: Duration = Duration::from_secs(3);

/// What the resolver asks: the snapshot, and the controller where names of externals are concerned.
pub struct Resolving {
    names: Arc<NodeNames>,
    core: Core,
}

impl Resolving {
    /// With both.
    pub fn new(names: Arc<NodeNames>, core: Core) -> Self {
        Self { names, core }
    }
}

impl DnsPolicy for Resolving {
    fn who(&self, client: IpAddr) -> Client {
        self.names.who(client)
    }

    fn lookup(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.names.lookup(name)
    }

    fn reverse(&self, address: IpAddr) -> Option<String> {
        self.names.reverse(address)
    }

    fn is_watched(&self, name: &str) -> bool {
        let domains = self.core.domains.read().unwrap_or_else(PoisonError::into_inner);
        domains.iter().any(|pattern| fseg_policy::domain_covers(pattern, name))
    }

    fn learn(
        &self,
        client: IpAddr,
        name: String,
        addresses: Vec<(Ipv4Addr, u32)>,
    ) -> BoxFuture<'_, Option<Vec<Ipv4Addr>>> {
        Box::pin(async move {
            let IpAddr::V4(asker) = client else { return None };
            let asked = name.clone();
            let input = |ticket| Input::Resolved { ticket, asker, name, addresses };
            match tokio::time::timeout(LEARN, self.core.submit(input)).await {
                Ok(Ok(Answer::Resolved { refused })) => Some(refused),
                Ok(other) => {
                    tracing::debug!(name = asked, answer = ?other, "an outside name was not learned");
                    None
                }
                Err(_) => {
                    tracing::warn!(name = asked, "the switches are slow to take in the addresses of an outside name");
                    None
                }
            }
        })
    }
}

impl NodeNames {
    fn who(&self, client: IpAddr) -> Client {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match maps.by_address.get(&client).and_then(|id| maps.by_id.get(id)) {
            Some(p) if p.admitted => Client::Admitted,
            Some(_) => Client::Stranger,
            None => Client::Unknown,
        }
    }

    fn lookup(&self, name: &str) -> Option<Vec<IpAddr>> {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(maps.by_id.get(maps.by_name.get(name)?)?.addresses.clone())
    }

    fn reverse(&self, address: IpAddr) -> Option<String> {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        maps.by_id.get(maps.by_address.get(&address)?)?.name.as_ref().map(ToString::to_string)
    }
}
