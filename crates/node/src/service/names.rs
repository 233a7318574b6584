//! Who is behind an address, for those who must answer at once: a snapshot that follows the controller.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use fseg_control::Presence;
use fseg_model::EndpointId;

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

impl DnsPolicy for NodeNames {
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
