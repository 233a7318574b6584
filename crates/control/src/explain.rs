//! Answers to "may this talk to that, and why?" and "why is this row here?".

use std::net::IpAddr;

use fseg_model::{ClassId, Dpid, EndpointId, Flow, Location, MemberSet, Name, SliceId, Subject, WatchLevel};
use fseg_openflow::Field;
use fseg_pipeline::cookie::SystemRow;
use fseg_pipeline::{Cookie, Owner, Row, bits};
use fseg_policy::{Decision, Permit};

use crate::controller::Controller;
use crate::link::Counter;
use crate::trace::{Age, End, Traced, is_nobodys};

/// One side of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// How it is called.
    pub name: String,
    /// The endpoint, if it is one.
    pub endpoint: Option<EndpointId>,
    /// Its groups or externals.
    pub members: MemberSet,
    /// Who it is, where that is known by accounts and devices alone.
    pub subject: Option<Subject>,
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
    /// What the tables do with its first packet; why they cannot be asked, where they cannot.
    pub traced: Result<Traced, String>,
    /// Why nobody is reached there, although the policy permits it.
    pub unreachable: Option<String>,
    /// The tables do not do what the policy says: a defect of this program.
    pub defect: Option<String>,
    /// What else is to be known.
    pub notes: Vec<String>,
}

impl Explained {
    /// Whether the connection may be opened.
    pub fn is_permit(&self) -> bool {
        self.decision.is_permit() && self.unreachable.is_none()
    }
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
                subject: None,
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
            return found.and_then(|id| self.party_of(id)).or_else(|| self.party_by_subject(subject));
        }
        // `crm-1.office.example` is what the node's own DNS calls crm-1, and nobody outside.
        let own = self.config.address.domain.as_deref().and_then(|domain| {
            let text = text.strip_suffix('.').unwrap_or(text);
            let (head, tail) = text.split_at_checked(text.len().checked_sub(domain.len())?)?;
            head.strip_suffix('.').filter(|_| tail.eq_ignore_ascii_case(domain))
        });
        if let Some(own) = own {
            return if own.contains('.') { None } else { self.party(own) };
        }
        let name = Name::new(text).ok();
        if let Some(id) = name.as_ref().and_then(|name| self.endpoints.by_name(name)) {
            return self.party_of(id);
        }
        let of_name = |name: &Name| [Subject::User(name.clone()), Subject::Device(name.clone())];
        if let Some(party) = name.iter().flat_map(of_name).find_map(|subject| self.party_by_subject(subject)) {
            return Some(party);
        }
        if let Some(stream) = name.as_ref().and_then(|name| self.policy.streams.get(name)) {
            return Some(outside(text, [stream.name.clone()].into(), vec![]));
        }
        let Some((name, external)) = name.and_then(|name| Some((name.clone(), self.policy.externals.get(&name)?)))
        else {
            return self.party_by_domain(text);
        };
        Some(Party {
            name: name.to_string(),
            endpoint: None,
            members: [name.clone()].into(),
            subject: None,
            class: self.classes.find(SliceId::DEFAULT, &[name].into()),
            place: None,
            addresses: external.prefixes.first().map(|p| p.addr()).into_iter().collect(),
        })
    }

    /// An outside party by domain name: with the addresses that endpoints were told, or as nothing but the name.
    fn party_by_domain(&self, text: &str) -> Option<Party> {
        let domain = text.strip_suffix('.').unwrap_or(text).to_lowercase();
        if !domain.contains('.') || !fseg_policy::is_domain(&domain) {
            return None;
        }
        let addresses = self.learned.of_name(&domain);
        let Some(first) = addresses.first() else {
            let members = Some(self.policy.externals_of_name(&domain)).filter(|m| !m.is_empty())?;
            return Some(outside(&domain, members, vec![]));
        };
        let members = self.members_of_address(IpAddr::V4(*first))?;
        let class = self.learned.class_of(*first);
        Some(Party { class, ..outside(&domain, members, addresses.into_iter().map(IpAddr::V4).collect()) })
    }

    /// Somebody of the accounts or the device list: as an endpoint where one is logged in, otherwise with the groups it would
    /// have.
    fn party_by_subject(&self, subject: Subject) -> Option<Party> {
        let roles = match &subject {
            Subject::User(name) => self.admission.account(name)?.roles.clone(),
            Subject::Device(name) => self.admission.device(name)?.roles.clone(),
            Subject::Location(_) => return None,
        };
        let is_it =
            |k: &&crate::world::Known| k.endpoint.session.as_ref().is_some_and(|s| s.identity.subject == subject);
        let there = self.endpoints.iter().filter(|k| k.endpoint.binding.is_some()).find(is_it).map(|k| k.endpoint.id);
        if let Some(id) = there {
            return self.party_of(id);
        }
        let identity = fseg_model::Identity { subject: subject.clone(), roles };
        let members = self.policy.groups_of(&identity);
        let class = self.classes.find(SliceId::DEFAULT, &members);
        let name = subject.to_string();
        Some(Party { name, endpoint: None, members, subject: Some(subject), class, place: None, addresses: vec![] })
    }

    fn party_of(&self, id: EndpointId) -> Option<Party> {
        let known = self.endpoints.get(id)?;
        Some(Party {
            name: self.label(id),
            endpoint: Some(id),
            members: self.members_of(id),
            subject: known.endpoint.session.as_ref().map(|s| s.identity.subject.clone()),
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
        let terms = self.policy.service_terms(&Name::new(service).ok()?)?;
        let flow = |t: &fseg_model::ServiceTerm| Some(Flow { protocol: t.protocol?, port: t.ports.first() });
        terms.iter().map(flow).collect::<Option<Vec<_>>>().filter(|flows| !flows.is_empty())
    }

    /// May `from` open a connection to `to`? With the permit, the classes, and the rows that do it.
    pub fn explain(&self, from: Party, to: Party, flow: Flow) -> Explained {
        let decision = self.policy.decide(&from.members, &to.members, flow, self.now.wall);
        let permit = match &decision {
            Decision::Permit { id } | Decision::Observe { permit: Some(id), .. } => {
                self.policy.permits.iter().find(|p| p.id == *id).cloned()
            }
            Decision::Observe { permit: None, .. } | Decision::Deny { .. } => None,
        };
        let traced = self.trace_connection(&from, &to, flow, Age::First);
        let mut out = Explained {
            rows: Vec::new(),
            decision,
            permit,
            from,
            to,
            flow,
            traced: Err(String::new()),
            unreachable: None,
            defect: None,
            notes: Vec::new(),
        };
        for party in [&out.from, &out.to] {
            if party.place.is_none() && (party.endpoint.is_some() || party.subject.is_some()) {
                out.notes.push(format!("{} is not connected now: answered by the policy alone", party.name));
            }
        }
        match &traced {
            Ok(traced) => {
                out.rows = traced.hops.iter().flat_map(|hop| &hop.steps).filter_map(|s| s.row.clone()).collect();
                self.judge(&mut out, traced);
            }
            Err(_) => {
                out.rows = self.path(&out.from, &out.to, flow, out.permit.as_ref());
                let never = |address: &IpAddr| match address {
                    IpAddr::V4(v4) => fseg_pipeline::fabric::is_never_forwarded(*v4),
                    IpAddr::V6(_) => false,
                };
                // A stream's receivers are not reached by routing.
                if out.decision.is_permit() && out.to.addresses.iter().any(never) && out.to.endpoint.is_none() {
                    out.unreachable = Some(SystemRow::Unwanted.sentence().to_owned());
                }
            }
        }
        out.traced = traced;
        out
    }

    /// Compares what the tables do with what the policy says.
    fn judge(&self, out: &mut Explained, traced: &Traced) {
        let there = |end: &End| match end {
            End::Delivered { place, .. } => match out.to.place {
                Some(wanted) => *place == wanted,
                None => {
                    self.fabric.switch(place.switch).and_then(|s| s.port(place.port)).is_some_and(|p| p.exit.is_some())
                }
            },
            End::Dropped { .. } => false,
        };
        let delivered = traced.ends.iter().any(there);
        let dropped = traced.ends.iter().find_map(|end| match end {
            End::Dropped { dpid, owner, reason } => Some((*dpid, *owner, reason.clone())),
            End::Delivered { .. } => None,
        });
        if !out.decision.is_permit() && !delivered && traced.delivered() {
            out.notes.push("the packet is not lost: the node answers it, with the login page or a refusal".to_owned());
        }
        let dropped = dropped.map(|(dpid, owner, reason)| {
            (owner.is_none_or(is_nobodys), format!("{reason} (on {})", self.config.switch_name(dpid)))
        });
        (out.unreachable, out.defect) = compare(out.decision.is_permit(), delivered, dropped);
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
            for (source, party) in [(true, from), (false, to)] {
                let mut own = |owner| owners.push((source, owner));
                match (party.endpoint, party.class) {
                    (Some(id), _) => own(Owner::Endpoint(id)),
                    (None, Some(class)) => {
                        own(Owner::External(class.get()));
                        learned_of(party).for_each(own);
                    }
                    _ => {}
                }
            }
            let mut rows: Vec<Row> = Vec::new();
            for (source, owner) in &owners {
                // Guarded as the source, located as the destination.
                let (table, field, party) = if *source {
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
            out.extend(rows.into_iter().map(|r| self.path_row(dpid, &r)));
        }
        out
    }

    pub(crate) fn path_row(&self, dpid: Dpid, row: &Row) -> PathRow {
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
            .flat_map(|(dpid, l)| l.desired.of_owner(owner).map(|r| self.path_row(*dpid, &r)))
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
            Owner::Learned(n) => {
                let address = std::net::Ipv4Addr::from(n);
                let names: Vec<&str> = self.learned.names_of(address).collect();
                ("learned", format!("{} ({address})", names.join(", ")))
            }
            Owner::Stream(n) => {
                let group = std::net::Ipv4Addr::from(n);
                let names: Vec<String> = self.policy.streams_of(group).iter().map(ToString::to_string).collect();
                ("stream", format!("{} ({group})", names.join(", ")))
            }
        }
    }

    fn owner_sentence(&self, owner: Owner, id: &str) -> String {
        match owner {
            Owner::System(s) => s.sentence().to_owned(),
            Owner::Endpoint(_) => format!("it says where {id} is and which class it has"),
            Owner::Spoof(_) => format!("it drops packets that {id} sends with addresses that are not its own"),
            Owner::External(_) => format!("it says which addresses belong to {id} and how they are reached"),
            Owner::Learned(_) => {
                format!(
                    "the node's DNS answered an endpoint's question with this address: {id}; it says which external it belongs to and how it is reached"
                )
            }
            Owner::Stream(_) => format!("it sends the stream {id} to the endpoints that joined it and may have it"),
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

/// A party that is no endpoint.
fn outside(name: &str, members: MemberSet, addresses: Vec<IpAddr>) -> Party {
    Party { name: name.to_owned(), endpoint: None, members, subject: None, class: None, place: None, addresses }
}

/// The owners of an outside party's addresses, if they were learned by name.
fn learned_of(party: &Party) -> impl Iterator<Item = Owner> {
    party.addresses.iter().filter_map(|a| match a {
        IpAddr::V4(v4) => Some(Owner::Learned((*v4).into())),
        IpAddr::V6(_) => None,
    })
}

/// Why nobody is reached, or what is wrong, when the policy says `permit` and the tables deliver or not. What was dropped
/// comes with whether it is no question of permits, and why.
fn compare(permit: bool, delivered: bool, dropped: Option<(bool, String)>) -> (Option<String>, Option<String>) {
    match (permit, delivered, dropped) {
        (true, true, _) | (false, false, _) => (None, None),
        (true, false, Some((true, reason))) => (Some(reason), None),
        (true, false, Some((false, reason))) => {
            (None, Some(format!("the policy permits it, but the tables drop it: {reason}")))
        }
        (true, false, None) => (None, Some("the policy permits it, but the tables send it elsewhere".to_owned())),
        (false, true, _) => (None, Some("the policy denies it, but the tables deliver it".to_owned())),
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
        // The same on switches without registers. Rows for answers match the source port, which the question does not have.
        Field::IpProto => value.matches(u128::from(flow.protocol.0)),
        Field::TcpDst | Field::UdpDst | Field::SctpDst | Field::Icmpv4Type => value.matches(u128::from(flow.port)),
        Field::TcpSrc | Field::UdpSrc | Field::SctpSrc => false,
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_differ_from_the_policy_are_a_defect() {
        let dropped = |nobodys| Some((nobodys, "why".to_owned()));
        assert_eq!(compare(true, true, None), (None, None));
        assert_eq!(compare(false, false, dropped(false)), (None, None));
        assert_eq!(compare(true, false, dropped(true)), (Some("why".to_owned()), None));
        for (permit, delivered, dropped) in [(true, false, dropped(false)), (true, false, None), (false, true, None)] {
            let (unreachable, defect) = compare(permit, delivered, dropped);
            assert!(unreachable.is_none() && defect.is_some());
        }
    }
}
