//! A site made of facts, and the rows the pipeline makes of it, as a switch would say it holds them.
#![allow(dead_code)] // each test program uses a part of it
#![allow(clippy::unwrap_used, clippy::panic)] // a measuring program uses it too

pub(crate) mod mutate;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use fseg_model::{
    ClassId, Dpid, EndpointId, Location, Mac, MemberSet, Name, PortKind, PortNo, SliceId, Wall, WatchLevel,
};
use fseg_openflow::FlowStats;
use fseg_pipeline::cookie::SystemRow;
use fseg_pipeline::profile::{Capabilities, Profile};
use fseg_pipeline::rows::{
    ObserveFacts, StreamFacts, StreamReceiver, StreamSender, endpoint_rows, exit_rows, external_rows, observe_rows,
    permit_rows_on, shown_rows, spoof_rows, stream_rows, system_rows,
};
use fseg_pipeline::{
    Cookie, Desired, EndpointFacts, Exit, ExternalFacts, Fabric, NatMode, Owner, PermitFacts, PortFacts, Row,
    SwitchFacts, SwitchRole,
};
use fseg_policy::Policy;
use fseg_verify::Facts;
use fseg_yaml::Source;

pub(crate) const NODE: Dpid = Dpid(1);
pub(crate) const SW1: Dpid = Dpid(11);
pub(crate) const SW2: Dpid = Dpid(12);

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn members(text: &str) -> MemberSet {
    text.split_whitespace().map(name).collect()
}

pub(crate) fn policy(text: &str) -> Policy {
    let checked = fseg_policy::check(&Source::new("test.yaml", text));
    let why: Vec<_> = checked.diagnostics.iter().map(ToString::to_string).collect();
    checked.policy.unwrap_or_else(|| panic!("{}\n{text}", why.join("\n")))
}

/// The node bridge with an exit by route and one by translation, and two access switches behind each other.
pub(crate) fn fabric() -> Fabric {
    let port = |number, kind| PortFacts { number: PortNo(number), kind, mac: None, exit: None };
    let exit = |number, n, address: [u8; 4], gateway: [u8; 4], last, mode| PortFacts {
        exit: Some(Exit {
            number: n,
            address: address.into(),
            gateway: gateway.into(),
            gateway_mac: Some(Mac([2, 0, 0, 0, 8, last])),
            mode,
        }),
        ..port(number, PortKind::Legacy)
    };
    let node = SwitchFacts {
        dpid: NODE,
        number: 1,
        role: SwitchRole::Node,
        ports: vec![
            port(1, PortKind::Uplink),
            PortFacts { mac: Some(Mac([2, 0, 0, 0, 9, 9])), ..port(10, PortKind::Service) },
            exit(11, 1, [192, 168, 50, 254], [192, 168, 50, 1], 1, NatMode::Route),
            exit(12, 2, [203, 0, 113, 2], [203, 0, 113, 1], 2, NatMode::Nat),
        ],
        via: [(SW1, PortNo(1)), (SW2, PortNo(1))].into(),
        profile: Default::default(),
    };
    // NODE - SW1 - SW2: frames between NODE and SW2 pass SW1.
    let access = |dpid, number, up: Vec<(u32, Dpid)>| SwitchFacts {
        dpid,
        number,
        role: SwitchRole::Access,
        ports: (1..=4)
            .map(|p| port(p, if p == 4 { PortKind::Shared } else { PortKind::Access }))
            .chain(
                up.iter()
                    .map(|(p, _)| *p)
                    .collect::<std::collections::BTreeSet<_>>()
                    .into_iter()
                    .map(|p| port(p, PortKind::Uplink)),
            )
            .collect(),
        via: up.into_iter().map(|(p, d)| (d, PortNo(p))).collect(),
        profile: Default::default(),
    };
    let switches = [
        (NODE, node),
        (SW1, access(SW1, 2, vec![(24, NODE), (23, SW2)])),
        (SW2, access(SW2, 3, vec![(24, NODE), (24, SW1)])),
    ];
    Fabric {
        router: Ipv4Addr::new(10, 0, 0, 1),
        inner: vec!["10.0.0.0/8".parse().unwrap()],
        switches: switches.into(),
        node: NODE,
    }
}

/// Facts under construction.
pub(crate) struct Site {
    pub(crate) facts: Facts,
    numbers: BTreeMap<MemberSet, ClassId>,
}

impl Site {
    pub(crate) fn new(text: &str) -> Self {
        let facts = Facts {
            fabric: fabric(),
            endpoints: vec![],
            externals: vec![],
            classes: BTreeMap::new(),
            policy: Arc::new(policy(text)),
            now: Wall(0),
            shown: Default::default(),
            joined: BTreeMap::new(),
        };
        let mut this = Self { facts, numbers: BTreeMap::new() };
        for (prefix, names) in this.facts.policy.clone().external_prefixes() {
            let legacy = prefix.to_string().starts_with("192.168.");
            let port = PortNo(if legacy { 11 } else { 12 });
            let class = this.class(names);
            let exit = Some(Location { switch: NODE, port });
            this.facts.externals.push(ExternalFacts { prefix, class, slice: SliceId::DEFAULT, exit });
        }
        this
    }

    pub(crate) fn class(&mut self, set: MemberSet) -> ClassId {
        let next = ClassId::new(ClassId::FIRST.get() + self.numbers.len() as u32).unwrap();
        let class = *self.numbers.entry(set.clone()).or_insert(next);
        self.facts.classes.insert(class, set);
        class
    }

    /// An endpoint in these groups (`None`: a stranger); its number makes its addresses.
    pub(crate) fn endpoint(&mut self, n: u16, switch: Dpid, port: u32, groups: Option<&str>) -> &mut Self {
        let class = groups.map_or(ClassId::STRANGER, |g| self.class(members(g)));
        let [hi, lo] = n.to_be_bytes();
        self.facts.endpoints.push(EndpointFacts {
            id: EndpointId(u32::from(n)),
            slice: SliceId::DEFAULT,
            mac: Mac([2, 0, 0, 1, hi, lo]),
            addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 1, hi, lo))],
            location: Location { switch, port: PortNo(port) },
            class,
            watch: WatchLevel::Log,
        });
        self
    }

    /// These switches have no extensions.
    pub(crate) fn plain(mut self, dpids: &[Dpid], can: &Capabilities) -> Self {
        for dpid in dpids {
            self.facts.fabric.switches.get_mut(dpid).unwrap().profile = Profile::OpenFlow13(can.clone());
        }
        self
    }

    /// An endpoint wants a stream.
    pub(crate) fn join(&mut self, n: u32, group: Ipv4Addr) -> &mut Self {
        self.facts.joined.entry(group).or_default().insert(EndpointId(n));
        self
    }

    /// Who sends and receives an address.
    fn stream(&self, group: Ipv4Addr) -> StreamFacts {
        let f = &self.facts;
        let streams = f.policy.streams_of(group);
        let groups = |e: &EndpointFacts| f.classes.get(&e.class).cloned().unwrap_or_default();
        let senders = f.endpoints.iter().filter(|e| f.policy.may_send(&groups(e), &streams)).map(|e| StreamSender {
            location: e.location,
            address: match e.addresses[0] {
                IpAddr::V4(a) => a,
                IpAddr::V6(_) => panic!(),
            },
            slice: e.slice,
            class: e.class,
            watch: e.watch,
        });
        let joined = &f.joined[&group];
        let receivers = f.endpoints.iter().filter(|e| joined.contains(&e.id)).filter_map(|e| {
            let own = groups(e);
            let permits = f.policy.permits.iter().filter(|p| p.in_force(f.now) && p.joins(&own, &streams));
            let ports: Vec<_> = permits.flat_map(|p| &p.terms).map(|t| t.ports).collect();
            (!ports.is_empty()).then_some(StreamReceiver { location: e.location, mac: e.mac, ports })
        });
        StreamFacts { group, senders: senders.collect(), receivers: receivers.collect() }
    }

    /// What the pipeline makes of it for one switch.
    pub(crate) fn desired(&self, dpid: Dpid) -> Desired {
        let mut desired = Desired::new();
        let f = &self.facts;
        let switch = f.fabric.switch(dpid).unwrap();
        let mut put = |owner, rows| {
            let (rows, misfits) = switch.profile.fit(rows);
            // What a plain switch has no use for: connections.
            assert!(misfits.iter().all(|m| matches!(m.owner, Owner::System(_))), "{misfits:?}");
            drop(desired.replace(owner, rows));
        };
        for group in f.joined.keys() {
            put(Owner::Stream((*group).into()), stream_rows(&f.fabric, switch, &self.stream(*group)));
        }
        let watched = |set: &&MemberSet| f.policy.observed.groups.iter().any(|g| set.contains(g));
        let observed = ObserveFacts {
            everything: f.policy.observed.everything,
            classes: f.classes.iter().filter(|(_, set)| watched(set)).map(|(c, _)| *c).collect(),
            trials: f.policy.permits.iter().any(|p| p.mode == fseg_policy::Mode::Observe && p.in_force(f.now)),
        };
        put(Owner::System(SystemRow::Observe), observe_rows(switch, SliceId::DEFAULT, &observed));
        for (owner, rows) in shown_rows(&f.fabric, switch, &f.shown) {
            put(owner, rows);
        }
        for (owner, rows) in system_rows(&f.fabric, switch).into_iter().chain(exit_rows(&f.fabric, switch)) {
            put(owner, rows);
        }
        for who in &f.endpoints {
            put(Owner::Endpoint(who.id), endpoint_rows(&f.fabric, switch, who));
            put(Owner::Spoof(who.id), spoof_rows(switch, who));
        }
        let mut by_class: BTreeMap<ClassId, Vec<ExternalFacts>> = BTreeMap::new();
        for e in &f.externals {
            by_class.entry(e.class).or_default().push(e.clone());
        }
        for (class, list) in by_class {
            put(Owner::External(class.get()), external_rows(&f.fabric, switch, class.get(), &list));
        }
        for (n, permit) in (1..).zip(&f.policy.permits) {
            let side = |names: &[Name]| -> Vec<ClassId> {
                f.classes.iter().filter(|(_, set)| names.iter().any(|n| set.contains(n))).map(|(c, _)| *c).collect()
            };
            let facts = PermitFacts {
                number: n,
                slice: SliceId::DEFAULT,
                from: if permit.in_force(f.now) { side(&permit.from) } else { vec![] },
                to: side(&permit.to),
                terms: permit.terms.clone(),
                trial: (permit.mode == fseg_policy::Mode::Observe).then_some(n as u16),
            };
            put(Owner::Permit(n), permit_rows_on(switch, &facts).unwrap());
        }
        desired
    }
}

/// A row as a switch says it holds it.
pub(crate) fn held(row: &Row) -> FlowStats {
    FlowStats {
        table: row.key.table.number(),
        duration_sec: 0,
        duration_nsec: 0,
        priority: row.key.priority,
        idle_timeout: 0,
        hard_timeout: 0,
        flags: 0,
        cookie: Cookie { owner: row.owner, round: 1 }.to_u64(),
        packet_count: 0,
        byte_count: 0,
        matches: row.key.matches.clone(),
        instructions: row.instructions.clone(),
    }
}

pub(crate) fn all_held(desired: &Desired) -> Vec<FlowStats> {
    let mut rows: Vec<Row> = desired.iter().collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows.iter().map(held).collect()
}

/// A site with some of everything.
pub(crate) fn office() -> Site {
    office_with("")
}

/// The same, with more lines in the policy, and what endpoints ask by multicast shown to the node.
pub(crate) fn office_with(more: &str) -> Site {
    let mut site = policed(more);
    site.facts.shown = fseg_pipeline::rows::ShownFacts {
        discovery: vec![(Ipv4Addr::new(224, 0, 0, 251), 5353), (Ipv4Addr::new(239, 255, 255, 250), 1900)],
        memberships: true,
        wake: true,
    };
    site
}

/// The address of the office's television.
pub(crate) const TELEVISION: Ipv4Addr = Ipv4Addr::new(239, 10, 1, 1);

/// The office, with a stream that some may send, some receive, and some have asked for in vain.
pub(crate) fn office_with_streams() -> Site {
    let mut site = office_with(
        "streams:\n  tv: { addresses: [239.10.0.0/16], from: [crm, team1, team2] }\n  radio: { addresses: [239.10.1.1/32], from: [printers] }\n",
    );
    // crm is at sw1, printers at sw2, teams behind the shared ports of both.
    site.join(1, TELEVISION).join(2, TELEVISION).join(3, TELEVISION).join(4, TELEVISION).join(5, TELEVISION);
    for n in 20..32 {
        site.join(n, TELEVISION).join(n, Ipv4Addr::new(239, 10, 2, 2));
    }
    site
}

fn policed(more: &str) -> Site {
    let mut text = String::from(more);
    text.push_str(
        "groups:\n  sales: { members: [user:a] }\n  crm: { members: [user:b] }\n  staff: { members: [user:c] }\n  printers: { members: [user:d] }\n",
    );
    let many: Vec<String> = (0..12).map(|n| format!("team{n}")).collect();
    for n in &many {
        text.push_str(&format!("  {n}: {{ members: [user:{n}] }}\n"));
    }
    text.push_str(
        "externals:\n  old-hq: { cidr: [192.168.50.0/24] }\n  hq-server: { cidr: [192.168.50.8/32] }\n  internet: { cidr: [0.0.0.0/0] }\n",
    );
    text.push_str("permits:\n");
    text.push_str("  - { id: sales-crm, from: sales, to: crm, services: [tcp/80, tcp/443, udp/5000-5100] }\n");
    text.push_str("  - { id: staff-print, from: staff, to: printers, services: [tcp/9100, icmp/echo] }\n");
    text.push_str("  - { id: staff-web, from: staff, to: internet, services: [tcp/80, tcp/443] }\n");
    text.push_str("  - { id: hq-crm, from: old-hq, to: crm, services: [any] }\n");
    text.push_str("  - { id: crm-hq, from: crm, to: hq-server, services: [ip/47, sctp/100-200] }\n");
    text.push_str("  - { id: trial, from: crm, to: printers, services: [tcp/9100, tcp/515], mode: observe }\n");
    let list = many.join(", ");
    if more.contains("streams:") {
        text.push_str("  - { id: staff-tv, from: staff, to: tv, services: [udp/5004-5005, tcp/80] }\n");
        text.push_str("  - { id: staff-radio, from: staff, to: radio, services: [udp/5003-5004] }\n");
        text.push_str("  - { id: teams-tv, from: [team0, team1, team3], to: tv, services: [any] }\n");
        text.push_str("  - { id: team2-radio, from: [team2, team4], to: radio, services: [udp/5000-5100] }\n");
    }
    text.push_str(&format!("  - {{ id: teams, from: [{list}], to: [{list}], services: [tcp/8000-8010, udp/53] }}\n"));
    let mut site = Site::new(&text);
    site.endpoint(1, SW1, 1, Some("sales staff")).endpoint(2, SW1, 2, Some("crm")).endpoint(3, SW2, 1, Some("staff"));
    site.endpoint(4, SW2, 2, Some("printers")).endpoint(5, SW1, 3, None).endpoint(6, SW2, 3, None);
    for n in 0..12_u16 {
        let switch = if n % 2 == 0 { SW1 } else { SW2 };
        site.endpoint(20 + n, switch, 4, Some(&format!("team{n}")));
    }
    site
}
