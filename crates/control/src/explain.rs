//! Answers to "may this talk to that, and why?" and "why is this row here?".

use std::net::IpAddr;

use fseg_model::{ClassId, Dpid, EndpointId, Flow, Location, MemberSet, Name, SliceId, WatchLevel};
use fseg_openflow::Field;
use fseg_pipeline::{Cookie, Owner, Row, bits};
use fseg_policy::{Decision, Permit};

use crate::controller::Controller;
use crate::link::Counter;

/// One side of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// How it is called.
    pub name: String,
    /// The endpoint, if it is one.
    pub endpoint: Option<EndpointId>,
    /// Its groups or externals.
    pub members: MemberSet,
    /// Its class on the switches.
    pub class: Option<ClassId>,
    /// Where it is.
    pub place: Option<Location>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// A row with what it counted.
#[derive(Debug, Clone)]
pub struct PathRow {
    /// On which switch.
    pub dpid: Dpid,
    /// The row.
    pub row: Row,
    /// What it counted when last read.
    pub counter: Counter,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Explained {
    /// May it?
    pub decision: Decision,
    /// The permit, if one allows it.
    pub permit: Option<Permit>,
    /// Who asks.
    pub from: Party,
    /// Who is asked.
    pub to: Party,
    /// For what.
    pub flow: Flow,
    /// The rows it would meet, in path order.
    pub rows: Vec<PathRow>,
}

/// Why a row is there.
#[derive(Debug, Clone)]
pub struct Why {
    /// Whose it is.
    pub owner: Owner,
    /// What kind of owner.
    pub kind: &'static str,
    /// Which.
    pub id: String,
    /// One sentence.
    pub sentence: String,
    /// All rows of that owner.
    pub rows: Vec<PathRow>,
}

impl Controller {
    /// Finds who is meant by a name, a MAC or IP address, or a subject. `None` when nobody is.
    pub fn party(&self, text: &str) -> Option<Party> {
        if let Ok(address) = text.parse::<IpAddr>() {
            if let Some(id) = self.endpoints.by_address(address) {
                return self.party_of(id);
            }
            let members = self.members_of_address(address)?;
            let class = self.classes.find(SliceId::DEFAULT, &members);
            return Some(Party {
                name: text.to_owned(),
                endpoint: None,
                members,
                class,
                place: None,
                addresses: vec![address],
            });
        }
        if let Ok(mac) = text.parse::<fseg_model::Mac>() {
            return self.party_of(self.endpoints.by_mac(mac)?);
        }
        if let Ok(subject) = text.parse::<fseg_model::Subject>() {
            let found = self
                .endpoints
                .iter()
                .find(|k| k.endpoint.session.as_ref().is_some_and(|s| s.identity.subject == subject))
                .map(|k| k.endpoint.id);
            return self.party_of(found?);
        }
        let name = Name::new(text).ok()?;
        if let Some(id) = self.endpoints.by_name(&name) {
            return self.party_of(id);
        }
        let external = self.policy.externals.get(&name)?;
        Some(Party {
            name: name.to_string(),
            endpoint: None,
            members: [name.clone()].into(),
            class: self.classes.find(SliceId::DEFAULT, &[name].into()),
            place: None,
            addresses: external.prefixes.first().map(|p| p.addr()).into_iter().collect(),
        })
    }

    fn party_of(&self, id: EndpointId) -> Option<Party> {
        let known = self.endpoints.get(id)?;
        Some(Party {
            name: self.label(id),
            endpoint: Some(id),
            members: self.members_of(id),
            class: known.class,
            place: known.endpoint.binding.as_ref().map(|b| b.location),
            addresses: known.endpoint.binding.as_ref().map(|b| b.addresses.clone()).unwrap_or_default(),
        })
    }

    /// What a service asks for: `tcp/80` itself, or of a named service the first port of each of its terms. `None` when
    /// there is no such service.
    pub fn flows_of(&self, service: &str) -> Option<Vec<Flow>> {
        if let Ok(flow) = service.parse() {
            return Some(vec![flow]);
        }
        let named = self.policy.services.get(&Name::new(service).ok()?)?;
        let flow = |t: &fseg_model::ServiceTerm| Some(Flow { protocol: t.protocol?, port: t.ports.first() });
        named.terms.iter().map(flow).collect::<Option<Vec<_>>>().filter(|flows| !flows.is_empty())
    }

    /// May `from` open a connection to `to`? With the permit, the classes, and the rows that do it.
    pub fn explain(&self, from: Party, to: Party, flow: Flow) -> Explained {
        let decision = self.policy.decide(&from.members, &to.members, flow, self.now.wall);
        let permit = match &decision {
            Decision::Permit { id } => self.policy.permits.iter().find(|p| p.id == *id).cloned(),
            Decision::Deny { .. } => None,
        };
        let rows = self.path(&from, &to, flow, permit.as_ref());
        Explained { decision, permit, from, to, flow, rows }
    }

    fn path(&self, from: &Party, to: &Party, flow: Flow, permit: Option<&Permit>) -> Vec<PathRow> {
        let mut out = Vec::new();
        let mut switches: Vec<Dpid> = Vec::new();
        let exit = self.fabric.switches.values().find(|s| s.ports.iter().any(|p| p.exit.is_some())).map(|s| s.dpid);
        for place in [from.place.map(|p| p.switch).or(exit), to.place.map(|p| p.switch).or(exit)].into_iter().flatten()
        {
            if !switches.contains(&place) {
                switches.push(place);
            }
        }
        let classes = from.class.zip(to.class);
        for dpid in switches {
            let Some(link) = self.links.get(&dpid) else { continue };
            let mut owners = Vec::new();
            for party in [from, to] {
                match (party.endpoint, party.class) {
                    (Some(id), _) => owners.push(Owner::Endpoint(id)),
                    (None, Some(class)) => owners.push(Owner::External(class.get())),
                    _ => {}
                }
            }
            let mut rows: Vec<&Row> = Vec::new();
            for (i, owner) in owners.iter().enumerate() {
                // Guarded as the source, located as the destination.
                let (table, field, party) = if i == 0 {
                    (fseg_pipeline::Table::Guard, Field::Ipv4Src, from)
                } else {
                    (fseg_pipeline::Table::Locate, Field::Ipv4Dst, to)
                };
                rows.extend(
                    link.desired.of_owner(*owner).filter(|r| r.key.table == table && concerns(r, field, party)),
                );
            }
            if let (Some(permit), Some((f, t))) = (permit, classes) {
                if let Some(number) = self.permit_numbers.get(&permit.id) {
                    let metadata =
                        bits::source(SliceId::DEFAULT, WatchLevel::Log, f) | bits::destination(WatchLevel::Log, t);
                    let owned = link.desired.of_owner(Owner::Permit(*number));
                    rows.extend(owned.filter(|r| serves(r, metadata, flow)));
                }
            } else {
                let deny = Owner::System(fseg_pipeline::cookie::SystemRow::DefaultDeny);
                rows.extend(link.desired.of_owner(deny));
            }
            rows.sort_by_key(|r| (r.key.table, r.key.priority));
            out.extend(rows.into_iter().map(|r| self.path_row(dpid, r)));
        }
        out
    }

    fn path_row(&self, dpid: Dpid, row: &Row) -> PathRow {
        let counter = self.links.get(&dpid).and_then(|l| l.counters.get(&row.key)).copied().unwrap_or_default();
        PathRow { dpid, row: row.clone(), counter }
    }

    /// Whose a row is, and why it exists. `None` for a cookie that is not of this network.
    pub fn why(&self, cookie: u64) -> Option<Why> {
        let owner = Cookie::from_u64(cookie)?.owner;
        let (kind, id) = self.owner_label(owner);
        let sentence = self.owner_sentence(owner, &id);
        let mut rows: Vec<PathRow> = self
            .links
            .iter()
            .flat_map(|(dpid, l)| l.desired.of_owner(owner).map(|r| self.path_row(*dpid, r)))
            .collect();
        rows.sort_by(|a, b| (a.dpid, &a.row.key).cmp(&(b.dpid, &b.row.key)));
        Some(Why { owner, kind, id, sentence, rows })
    }

    /// What kind of owner, and which: short, for listings.
    pub fn owner_label(&self, owner: Owner) -> (&'static str, String) {
        match owner {
            Owner::System(s) => ("system", format!("{s:?}")),
            Owner::Endpoint(e) => ("endpoint", self.label(e)),
            Owner::Spoof(e) => ("spoof", self.label(e)),
            Owner::Permit(n) => {
                let id = self.permit_numbers.iter().find(|(_, m)| **m == n).map(|(id, _)| id.to_string());
                ("permit", id.unwrap_or_else(|| n.to_string()))
            }
            Owner::External(n) => {
                let class = ClassId::new(n).ok().and_then(|c| self.classes.get(c));
                let names = class.map(|c| c.members.iter().map(Name::as_str).collect::<Vec<_>>().join(", "));
                ("external", names.unwrap_or_else(|| n.to_string()))
            }
        }
    }

    fn owner_sentence(&self, owner: Owner, id: &str) -> String {
        match owner {
            Owner::System(s) => s.sentence().to_owned(),
            Owner::Endpoint(_) => format!("it says where {id} is and which class it has"),
            Owner::Spoof(_) => format!("it drops packets that {id} sends with addresses that are not its own"),
            Owner::External(_) => format!("it says which addresses belong to {id} and how they are reached"),
            Owner::Permit(_) => match self.policy.permits.iter().find(|p| p.id.as_str() == id) {
                Some(p) => {
                    let list = |names: &[Name]| names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
                    let mut text =
                        format!("permit {} lets {} use {} of {}", p.id, list(&p.from), list(&p.services), list(&p.to));
                    if let Some(owner) = &p.owner {
                        text.push_str(&format!("; owner: {owner}"));
                    }
                    if let Some(reason) = &p.reason {
                        text.push_str(&format!("; reason: {reason}"));
                    }
                    text
                }
                None => "a permit that the policy no longer has".to_owned(),
            },
        }
    }
}

fn concerns(row: &Row, field: Field, party: &Party) -> bool {
    let Some(value) = row.key.matches.get(field) else { return false };
    party.addresses.iter().any(|a| match a {
        IpAddr::V4(v4) => value.matches(u128::from(u32::from(*v4))),
        IpAddr::V6(_) => false,
    })
}

/// True when a permit's row plays a part in judging a packet with this metadata and service.
fn serves(row: &Row, metadata: u64, flow: Flow) -> bool {
    row.key.matches.iter().all(|(field, value)| match *field {
        Field::Metadata => value.matches(u128::from(metadata)),
        f if f == bits::SERVICE_PROTOCOL => value.matches(u128::from(flow.protocol.0)),
        f if f == bits::FRAGMENT => false,
        f if f == bits::SERVICE_PORT => value.matches(u128::from(flow.port)),
        _ => true,
    })
}
