//! One packet through both, compared step by step.

use fseg_openflow::simulate::{Departure, Given, Packet, Simulator, To, Trace, state};
use fseg_openflow::{Field, parse_match};

use super::Oracle;
use super::said::{Pass, Search, call, list, passes};

/// A packet to be run through the rows.
#[derive(Debug, Clone)]
pub struct Question {
    /// By which port it comes in.
    pub in_port: u32,
    /// All of it.
    pub frame: Vec<u8>,
    /// `ct_state` for each time it goes through connection tracking; `TRACKED` is understood.
    pub states: Vec<u32>,
}

/// Something that left, in terms of both: a port, or a controller's row.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Left {
    Port(u32, Vec<u8>),
    Controller(u64, u16, u8, Vec<u8>),
}

impl Oracle {
    /// Runs a packet through the simulator alone.
    pub fn simulate(&self, question: &Question) -> Trace {
        let ports: std::collections::BTreeMap<u32, bool> = self.ports.values().map(|port| (*port, true)).collect();
        let mut given = Given { states: question.states.clone(), original: false, copies_only: true, used: 0 };
        // What Open vSwitch takes when no more are given.
        given.states.push(state::NEW);
        let packet = Packet::new(&question.frame, question.in_port);
        let simulator = Simulator::new(&self.tables).with_groups(&self.groups).with_ports(&ports);
        simulator.run(packet, &mut given)
    }

    /// Runs a packet through the simulator and through Open vSwitch. The simulator's trace, or where they differ.
    pub fn compare(&mut self, question: &Question) -> Result<Trace, String> {
        let trace = self.simulate(question);
        let hex: String = question.frame.iter().map(|byte| format!("{byte:02x}")).collect();
        let flow = format!("in_port={}", question.in_port);
        let states: Vec<String> = question.states.iter().map(|state| state_text(*state)).collect();
        let mut parameters = vec!["br0", &flow, &hex];
        for state in &states {
            parameters.extend(["--ct-next", state]);
        }
        let text = self.ask("ofproto/trace", &parameters);
        match self.differ(question, &trace, &passes(&text)) {
            None => Ok(trace),
            Some(what) => {
                let row = |step: &fseg_openflow::simulate::Step| {
                    let row = self.tables.row(step.row?)?;
                    Some(format!("{} priority={},{}", row.0, row.1, row.2))
                };
                let step = |step| format!("{:?}: {step:?}", row(step));
                let steps: Vec<String> = trace.steps.iter().map(step).collect();
                Err(format!("{what}\n--- Open vSwitch:\n{text}\n--- here:\n{}", steps.join("\n")))
            }
        }
    }

    fn differ(&self, question: &Question, trace: &Trace, theirs: &[Pass]) -> Option<String> {
        if let Some(what) = trace.not_simulated().next() {
            return Some(format!("not simulated: {what}"));
        }
        let failed = theirs.iter().any(|pass| pass.failed);
        if failed || trace.abandoned.is_some() {
            let both = failed && trace.abandoned.is_some();
            return (!both).then(|| format!("given up: here {:?}, there {failed}", trace.abandoned));
        }
        let count = trace.ends.len();
        if count != theirs.len() {
            return Some(format!("{count} passes here, {} there", theirs.len()));
        }
        let mut departures = trace.departures.iter();
        for (number, (theirs, end)) in theirs.iter().zip(&trace.ends).enumerate() {
            let here: Vec<Search> = trace
                .steps
                .iter()
                .filter(|step| step.pass == number)
                .map(|step| (step.table, step.row.map(|_| step.cookie)))
                .collect();
            if here != theirs.searches {
                return Some(format!("pass {number}: rows here {here:x?}, there {:x?}", theirs.searches));
            }
            let first = match number {
                0 => Packet::new(&question.frame, question.in_port),
                // The oracle says what the packet is when it comes back; that it is so here is seen by the rows it meets.
                _ => trace.starts.get(number)?.clone(),
            };
            for (which, packet, flow) in [("first", &first, &theirs.flow), ("last", end, &theirs.end)] {
                if let Some(what) = fields_differ(packet, flow) {
                    return Some(format!("pass {number}, {which}: {what}"));
                }
            }
            let mut there = Vec::new();
            self.datapath(first, &theirs.actions, &mut there);
            let here: Vec<Left> = departures.by_ref().take(there.len()).map(left).collect();
            if here != there {
                return Some(format!("pass {number}: leaves here {here:x?}, there {there:x?}"));
            }
        }
        departures.next().map(|more| format!("leaves here and not there: {:?}", more.to))
    }

    /// What the datapath's actions send, read and carried out anew.
    fn datapath(&self, mut packet: Packet, actions: &[String], out: &mut Vec<Left>) {
        for action in actions {
            if let Ok(port) = action.parse::<u32>() {
                out.push(Left::Port(self.ports[&port], packet.frame()));
                continue;
            }
            let (name, inside) = call(action).unwrap_or((action, ""));
            match name {
                "drop" | "pop_vlan" | "ct_clear" | "recirc" | "ct" | "meter" => {
                    if name == "pop_vlan" {
                        packet.pop_tag();
                    }
                }
                "push_vlan" => {
                    packet.push_tag(0x8100);
                    for (key, value) in pairs(inside) {
                        match key {
                            "vid" => packet.set(Field::VlanVid, number(value) | 0x1000, u128::MAX),
                            "pcp" => packet.set(Field::VlanPcp, number(value), u128::MAX),
                            "tpid" | "cfi" => continue,
                            other => panic!("{other} in {action}"),
                        };
                    }
                }
                "set" => self.set(&mut packet, inside),
                "clone" => self.datapath(packet.clone(), &list(inside), out),
                "userspace" => {
                    let controller = list(inside).into_iter().find(|part| part.starts_with("controller"));
                    let controller = controller.unwrap_or_else(|| panic!("{action}"));
                    let mut left = (0, 0, 0);
                    for (key, value) in pairs(call(&controller).unwrap().1) {
                        match key {
                            "rule_cookie" => left.0 = number(value) as u64,
                            "max_len" => left.1 = number(value) as u16,
                            // OpenFlow 1.3 says "action" for action sets, groups and packet-outs, too.
                            "reason" => left.2 = Some(number(value) as u8).filter(|r| *r < 3).unwrap_or(1),
                            _ => {}
                        }
                    }
                    out.push(Left::Controller(left.0, left.1, left.2, packet.frame()));
                }
                other => panic!("the datapath's action {other} is not known: {action}"),
            }
        }
    }

    fn set(&self, packet: &mut Packet, inside: &str) {
        let (header, fields) = call(inside).unwrap();
        for (key, text) in pairs(fields) {
            let field = match (header, key) {
                ("eth", "src") => Field::EthSrc,
                ("eth", "dst") => Field::EthDst,
                ("ipv4", "src") => Field::Ipv4Src,
                ("ipv4", "dst") => Field::Ipv4Dst,
                ("ipv6", "src") => Field::Ipv6Src,
                ("ipv6", "dst") => Field::Ipv6Dst,
                ("ipv4", "ttl") | ("ipv6", "hlimit") => Field::IpTtl,
                ("ipv4", "tos") | ("ipv6", "tclass") => {
                    let (value, mask) = text.split_once('/').unwrap_or((text, "0xff"));
                    let (value, mask) = (number(value), number(mask));
                    packet.set(Field::IpDscp, value >> 2, mask >> 2);
                    packet.set(Field::IpEcn, value & 3, mask & 3);
                    continue;
                }
                ("tcp", "src") => Field::TcpSrc,
                ("tcp", "dst") => Field::TcpDst,
                ("udp", "src") => Field::UdpSrc,
                ("udp", "dst") => Field::UdpDst,
                ("icmp", "type") => Field::Icmpv4Type,
                ("icmp", "code") => Field::Icmpv4Code,
                ("arp", "sip") => Field::ArpSpa,
                ("arp", "tip") => Field::ArpTpa,
                ("arp", "op") => Field::ArpOp,
                ("arp", "sha") => Field::ArpSha,
                ("arp", "tha") => Field::ArpTha,
                _ => panic!("set({inside}): {key} is not known"),
            };
            let (value, mask) = text.split_once('/').unwrap_or((text, ""));
            let mask = if mask.is_empty() { u128::MAX } else { value_of(field, mask) };
            packet.set(field, value_of(field, value), mask);
        }
    }
}

fn left(departure: &Departure) -> Left {
    let frame = departure.packet.frame();
    match &departure.to {
        To::Port(port) => Left::Port(*port, frame),
        To::Controller { reason, max_len, .. } => Left::Controller(departure.cookie, *max_len, *reason, frame),
        other => panic!("{other:?} is not compared"),
    }
}

fn pairs(text: &str) -> Vec<(&str, &str)> {
    let mut out = Vec::new();
    for item in text.split(',') {
        out.push(item.split_once('=').unwrap_or((item, "")));
    }
    out
}

fn number(text: &str) -> u128 {
    match text.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16).unwrap(),
        None => text.parse().unwrap(),
    }
}

fn value_of(field: Field, text: &str) -> u128 {
    if text.starts_with("0x") || text.bytes().all(|byte| byte.is_ascii_digit()) {
        return number(text);
    }
    if text.contains('.') {
        return u32::from(text.parse::<std::net::Ipv4Addr>().unwrap()).into();
    }
    match field {
        Field::Ipv6Src | Field::Ipv6Dst => u128::from(text.parse::<std::net::Ipv6Addr>().unwrap()),
        _ => text.split(':').fold(0, |all, octet| all << 8 | u128::from_str_radix(octet, 16).unwrap()),
    }
}

fn state_text(bits: u32) -> String {
    let names = [
        (state::NEW, "new"),
        (state::ESTABLISHED, "est"),
        (state::RELATED, "rel"),
        (state::REPLY, "rpl"),
        (state::INVALID, "inv"),
    ];
    let set = names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name);
    ["trk"].into_iter().chain(set).collect::<Vec<_>>().join(",")
}

/// The first field that Open vSwitch says otherwise.
fn fields_differ(packet: &Packet, flow: &str) -> Option<String> {
    let other = ["eth", "unchanged"];
    let skipped = ["recirc_id=", "vlan_tci1=", "dl_vlan1=", "dl_vlan_pcp1=", "vlan_tci=0x0000", "nw_tos="];
    let ours = |part: &&str| !other.contains(part) && !skipped.iter().any(|skip| part.starts_with(skip));
    let kept: Vec<&str> = flow.split(',').filter(ours).collect();
    let fields = parse_match(&kept.join(",")).unwrap_or_else(|error| panic!("{flow}: {error}"));
    for (field, value) in fields.iter() {
        // The tag is printed as its parts; the id's own bit says that it is there.
        let actual = packet.value(*field);
        if !value.matches(actual) {
            return Some(format!("{field} is {actual:#x} here, there {flow}"));
        }
    }
    for (field, value) in packet.luggage() {
        let silent = matches!(field, Field::RecircId) || fields.get(field).is_some();
        if !silent {
            return Some(format!("{field} is {value:#x} here, and not there: {flow}"));
        }
    }
    None
}
