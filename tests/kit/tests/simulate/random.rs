//! Random rows, groups and packets, of few values so that they meet.

use fseg_openflow::simulate::{Group, Packet, state};
use fseg_openflow::{Action, Bucket, FlowMod, GroupType, parse_flow};
use fseg_test_kit::oracle::Question;

/// Numbers that are the same for the same seed (xorshift64*, Vigna 2016).
pub(crate) struct Random {
    state: u64,
    /// Rows use connection tracking, or else action sets: Open vSwitch 3.1 ends itself by an assertion when a packet with
    /// an action set goes through connection tracking.
    tracking: bool,
}

const TABLES: u64 = 7;
const MACS: [&str; 4] = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:01:01", "03:00:00:00:00:01"];
const ADDRESSES: [&str; 5] = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.1.0.9", "192.0.2.7"];
const PORTS: [u16; 5] = [80, 81, 443, 53, 40_000];
const REGISTERS: [&str; 4] = ["reg0", "reg1", "reg2", "reg15"];
const STATES: [u32; 6] = [
    state::NEW,
    state::ESTABLISHED,
    state::ESTABLISHED | state::REPLY,
    state::RELATED,
    state::RELATED | state::REPLY,
    state::INVALID,
];

/// What a row is known to match, by which its actions are chosen.
#[derive(Clone, Copy, Default)]
struct Known {
    ip: bool,
    arp: bool,
    /// 6, 17, 1, or 0.
    protocol: u8,
    tagged: Option<bool>,
    tracked: bool,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random =
            Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, tracking: !seed.is_multiple_of(3) };
        (0..8).for_each(|_| {
            random.next();
        });
        random
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    pub(crate) fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    pub(crate) fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// Groups 1 (all), 2 (indirect), 3 (fast failover).
    pub(crate) fn groups(&mut self) -> Vec<(u32, Group)> {
        let mut bucket = |watch: bool| {
            let mac = self.of(&MACS);
            let mut actions = actions(&format!("set_field:{mac}->eth_src,load:{}->NXM_NX_REG1[0..7]", self.below(4)));
            actions.push(Action::output(1 + self.below(4) as u32));
            let mut bucket = Bucket::new(actions);
            if watch {
                bucket.watch_port = 1 + self.below(4) as u32;
            }
            bucket
        };
        let buckets = [vec![bucket(false), bucket(false)], vec![bucket(false)], vec![bucket(true), bucket(true)]];
        let types = [GroupType::All, GroupType::Indirect, GroupType::FastFailover];
        let made = types.into_iter().zip(buckets).zip(1..);
        made.map(|((type_, buckets), number)| (number, Group { type_, buckets })).collect()
    }

    /// Rows in all tables; those of one table have different priorities, but for the rows of a conjunction.
    pub(crate) fn rows(&mut self) -> Vec<FlowMod> {
        let mut out = Vec::new();
        let mut cookie = 0x1000;
        for table in 0..TABLES {
            let count = 6 + self.below(10);
            for priority in 0..count {
                cookie += 1;
                let head = format!("table={table},priority={},cookie={cookie:#x},", 10 * (priority + 1));
                // The lower the priority, the more it matches.
                let fields = if priority == 0 { 0 } else { 1 + self.below(3) };
                let (text, known) = self.fields(fields);
                let actions = self.actions(table, known);
                out.push(parsed(&format!("{head}{text}actions={actions}")));
            }
            for number in 0..self.below(3) {
                let priority = 10 * (2 + self.below(count + 2)) + number + 1;
                let rows = self.conjunction(table, priority, &mut cookie);
                out.extend(rows);
            }
        }
        out
    }

    fn conjunction(&mut self, table: u64, priority: u64, cookie: &mut u64) -> Vec<FlowMod> {
        let (id, of) = (self.below(1 << 16) + table + 1, 2 + self.below(2));
        let mut out = Vec::new();
        let mut add = |text: String| {
            *cookie += 1;
            out.push(parsed(&format!("table={table},cookie={cookie:#x},{text}")));
        };
        for clause in 1..=of {
            for _ in 0..1 + self.below(3) {
                let field = match clause {
                    1 => format!("nw_src={}", self.masked_address()),
                    2 => format!("nw_dst={}", self.masked_address()),
                    _ => format!("reg1={}/3", self.below(4)),
                };
                add(format!("priority={priority},ip,{field},actions=conjunction({id},{clause}/{of})"));
            }
        }
        let known = Known { ip: true, ..Known::default() };
        let actions = self.actions(table, known);
        // Sometimes at another priority than its clauses, which counts for nothing.
        let priority = if self.one_in(4) { priority + 1000 } else { priority };
        add(format!("priority={priority},ip,conj_id={id},actions={actions}"));
        out
    }

    fn masked_address(&mut self) -> String {
        let address = self.of(&ADDRESSES);
        match self.below(4) {
            0 => address.to_owned(),
            1 => format!("{address}/24"),
            2 => format!("{address}/8"),
            _ => format!("{address}/255.0.0.255"),
        }
    }

    fn port(&mut self) -> String {
        let port = self.of(&PORTS);
        let mask = self.of(&[0xffff_u16, 0xffff, 0xfff0, 0xff00, 1]);
        if mask == 0xffff { port.to_string() } else { format!("{:#x}/{mask:#x}", port & mask) }
    }

    fn fields(&mut self, count: u64) -> (String, Known) {
        let mut known = Known::default();
        let mut text = String::new();
        if count > 0 {
            text = match self.below(8) {
                0 => {
                    known.arp = true;
                    "arp,".to_owned()
                }
                1 => String::new(),
                kind => {
                    known.ip = true;
                    known.protocol = [0, 0, 6, 6, 17, 1][kind as usize - 2];
                    ["ip,", "ip,", "tcp,", "tcp,", "udp,", "icmp,"][kind as usize - 2].to_owned()
                }
            };
        }
        let mut used = Vec::new();
        for _ in 0..count {
            let kind = self.below(15);
            if used.contains(&kind) {
                continue;
            }
            used.push(kind);
            text += &match kind {
                0 => format!("in_port={},", self.of(&[1, 2, 3])),
                1 => format!("dl_src={},", self.of(&MACS)),
                2 => format!("dl_dst={}/ff:00:00:00:ff:00,", self.of(&MACS)),
                3 => match self.below(3) {
                    0 => {
                        known.tagged = Some(false);
                        "vlan_tci=0x0000/0x1fff,".to_owned()
                    }
                    1 => {
                        known.tagged = Some(true);
                        "vlan_tci=0x1000/0x1000,".to_owned()
                    }
                    _ => {
                        known.tagged = Some(true);
                        format!("dl_vlan={},", self.of(&[5, 7]))
                    }
                },
                4 => format!("{}={}/{},", self.of(&REGISTERS), self.below(4), self.of(&[1, 3, 3])),
                5 => format!("metadata={:#x}/{:#x},", self.below(16), self.of(&[0xf_u64, 0x1_0001, 3])),
                6 => {
                    known.tracked = true;
                    format!("ct_state={},", self.of(&["+trk+new", "+trk+est", "+trk+rpl", "+trk-inv", "+trk+rel-inv"]))
                }
                7 => format!("ct_mark={}/3,", self.below(4)),
                8 | 9 if known.arp => match self.below(4) {
                    0 => format!("arp_op={},", self.of(&[1, 2])),
                    1 => format!("arp_spa={},", self.masked_address()),
                    2 => format!("arp_tpa={},", self.masked_address()),
                    _ => format!("arp_sha={},", self.of(&MACS)),
                },
                8 | 9 if known.ip => format!("nw_{}={},", if kind == 8 { "src" } else { "dst" }, self.masked_address()),
                10 | 11 if matches!(known.protocol, 6 | 17) => {
                    format!("tp_{}={},", if kind == 10 { "src" } else { "dst" }, self.port())
                }
                10 | 11 if known.protocol == 1 => {
                    format!("icmp_{}={},", if kind == 10 { "type" } else { "code" }, self.of(&[0, 3, 8]))
                }
                12 if known.ip => format!("nw_frag={},", self.of(&["no", "yes", "first", "later", "not_later"])),
                13 if known.ip => match self.below(3) {
                    0 => format!("nw_ttl={},", self.of(&[0, 1, 2, 64])),
                    1 => format!("nw_ecn={},", self.below(4)),
                    _ => format!("nw_tos={},", self.of(&[0, 32, 184])),
                },
                14 if known.protocol == 6 => format!("tcp_flags={},", self.of(&["+syn-ack", "+ack", "-fin"])),
                _ => String::new(),
            };
        }
        (text, known)
    }

    /// One thing done to a packet, without end.
    fn change(&mut self, known: &mut Known) -> String {
        let register = self.of(&REGISTERS);
        let upper = register.to_uppercase();
        match self.below(16) {
            0 => format!("load:{}->NXM_NX_{upper}[0..3]", self.below(16)),
            1 => format!("set_field:{:#x}/{:#x}->{register}", self.below(4), 0xf),
            2 => format!("move:NXM_NX_{upper}[0..7]->NXM_NX_REG1[8..15]"),
            3 => format!("move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:{}->eth_src", self.of(&MACS)),
            4 => format!("set_field:{:#x}/0xff->metadata", self.below(256)),
            5 => {
                format!("push:NXM_NX_{upper}[0..9],push:NXM_OF_IN_PORT[],pop:NXM_NX_REG2[],pop:OXM_OF_METADATA[3..12]")
            }
            6 if self.one_in(3) => format!("pop:NXM_NX_{upper}[]"),
            6 => format!("load:{}->NXM_OF_IN_PORT[]", self.below(4)),
            7 | 8 if known.ip && self.one_in(2) => {
                format!("set_field:{}->{}", self.of(&ADDRESSES), self.of(&["ip_src", "ip_dst"]))
            }
            7 if known.ip => {
                self.of(&["dec_ttl", "mod_nw_ttl:7", "set_field:20->ip_dscp", "set_field:2->nw_ecn"]).into()
            }
            8 if known.ip => "move:NXM_OF_IP_SRC[0..15]->NXM_OF_IP_DST[16..31]".to_owned(),
            9 | 10 if matches!(known.protocol, 6 | 17) => {
                let name = if known.protocol == 6 { "tcp" } else { "udp" };
                format!("set_field:{}->{name}_{}", self.of(&PORTS), self.of(&["src", "dst"]))
            }
            9 if known.arp => format!(
                "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:{0}->eth_src,set_field:2->arp_op,\
                 move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],push:NXM_OF_ARP_TPA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],\
                 pop:NXM_OF_ARP_SPA[],set_field:{0}->arp_sha",
                self.of(&MACS)
            ),
            11 if known.tagged == Some(true) => {
                if self.one_in(2) {
                    known.tagged = Some(false);
                    "pop_vlan".to_owned()
                } else {
                    format!("set_field:{}->vlan_vid", self.of(&[4101, 4103]))
                }
            }
            11 if known.tagged == Some(false) => {
                known.tagged = Some(true);
                format!(
                    "push_vlan:0x8100,set_field:{}->vlan_vid,set_field:{}->vlan_pcp",
                    self.of(&[4101, 4105]),
                    self.below(8)
                )
            }
            12 => "note:01.02.03.04.05.06".to_owned(),
            13 => "ct_clear".to_owned(),
            14 if known.tracked => "move:NXM_NX_CT_MARK[]->NXM_NX_REG0[]".to_owned(),
            _ => format!("set_field:{}->eth_dst", self.of(&MACS)),
        }
    }

    fn output(&mut self) -> String {
        match self.below(9) {
            0 => "IN_PORT".to_owned(),
            1 => format!("CONTROLLER:{}", self.of(&[65535, 128])),
            2 => "output:NXM_NX_REG0[0..15]".to_owned(),
            3 => "output:99".to_owned(),
            4 => "LOCAL".to_owned(),
            _ => format!("output:{}", 1 + self.below(4)),
        }
    }

    fn actions(&mut self, table: u64, mut known: Known) -> String {
        let mut list = Vec::new();
        if self.one_in(12) {
            return "drop".to_owned();
        }
        let meter = self.one_in(10);
        for _ in 0..self.below(5) {
            match self.below(14) {
                0..=5 => list.push(self.change(&mut known)),
                6 => list.push(self.output()),
                7 | 8 => {
                    // Forward mostly: going back takes thousands of searches before it is given up.
                    let to = if self.one_in(60) { self.below(TABLES) } else { table + 1 + self.below(TABLES - table) };
                    let port = if self.one_in(4) { self.below(4).to_string() } else { String::new() };
                    list.push(format!("resubmit({port},{to})"));
                }
                9 if known.ip && self.tracking => list.push(self.ct(table, known)),
                10 => {
                    let inner = (self.change(&mut known.clone()), self.output());
                    list.push(format!("clone({},{})", inner.0, inner.1));
                }
                11 => list.push(format!("group:{}", 1 + self.below(3))),
                12 => list.push("learn(table=9,priority=7,NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])".to_owned()),
                13 if self.one_in(3) => list.push("exit".to_owned()),
                _ => list.push(self.change(&mut known)),
            }
        }
        if meter {
            list.insert(0, "meter:1".to_owned());
        }
        if self.one_in(10) {
            list.push("clear_actions".to_owned());
        }
        if !self.tracking && self.one_in(3) {
            let mut set = vec![format!("set_field:{}->eth_src", self.of(&MACS))];
            if known.ip && self.one_in(2) {
                set.push("dec_ttl".to_owned());
            }
            if !self.one_in(4) {
                set.push(if self.one_in(5) { "group:1".to_owned() } else { self.output() });
            }
            list.push(format!("write_actions({})", set.join(",")));
        }
        if self.one_in(4) {
            list.push(format!("write_metadata:{:#x}/{:#x}", self.below(16), 0xf));
        }
        if table + 1 < TABLES && !self.one_in(4) {
            list.push(format!("goto_table:{}", table + 1 + self.below(TABLES - table - 1)));
        }
        if list.is_empty() { self.output() } else { list.join(",") }
    }

    fn ct(&mut self, table: u64, known: Known) -> String {
        let mut inner = vec![if self.one_in(4) { "zone=NXM_NX_REG1[0..15]".to_owned() } else { "zone=5".to_owned() }];
        let commit = self.one_in(2);
        if commit {
            inner.push("commit".to_owned());
        }
        if !self.one_in(5) {
            // A packet that goes back to where it came from may go round for ever.
            inner.push(format!("table={}", (table + 1 + self.below(2)).min(TABLES)));
        }
        match (self.below(6), commit) {
            (0, true) => inner.push("nat(src=192.0.2.99)".to_owned()),
            (1, true) if matches!(known.protocol, 6 | 17) => inner.push("nat(dst=10.9.9.9:8080)".to_owned()),
            (1, true) => inner.push("nat(dst=10.9.9.9)".to_owned()),
            (2, _) => inner.push("nat".to_owned()),
            _ => {}
        }
        match self.below(4) {
            0 if commit => inner.push(format!("exec(set_field:{:#x}->ct_mark)", self.below(4))),
            1 if commit => inner.push("exec(move:NXM_NX_REG0[0..1]->NXM_NX_CT_MARK[0..1])".to_owned()),
            _ => {}
        }
        format!("ct({})", inner.join(","))
    }

    /// A packet as hosts send them: ARP, or IPv4 with TCP, UDP, ICMP or something else, some with a tag, some in pieces.
    pub(crate) fn question(&mut self) -> Question {
        let tag = match self.below(4) {
            0 => format!("dl_vlan={},dl_vlan_pcp={},", self.of(&[5, 7, 9]), self.below(8)),
            _ => String::new(),
        };
        let link = format!("dl_src={},dl_dst={},{tag}", self.of(&MACS), self.of(&MACS));
        let (source, destination) = (self.of(&ADDRESSES), self.of(&ADDRESSES));
        let network = format!(
            "nw_src={source},nw_dst={destination},nw_tos={},nw_ecn={},nw_ttl={},",
            self.of(&[0, 32, 184]),
            self.below(4),
            self.of(&[0, 1, 2, 64, 64])
        );
        let ports = format!("tp_src={},tp_dst={}", self.of(&PORTS), self.of(&PORTS));
        let fragment = self.of(&["", "", "", "", ",nw_frag=first", ",nw_frag=later"]);
        let ports = if fragment == ",nw_frag=later" { String::new() } else { ports };
        let text = match self.below(9) {
            0 | 1 => format!(
                "arp,{link}arp_op={},arp_spa={source},arp_tpa={destination},arp_sha={},arp_tha={}",
                self.of(&[1, 2]),
                self.of(&MACS),
                self.of(&MACS)
            ),
            2 | 3 => format!("udp,{link}{network}{ports}{fragment}"),
            4 if fragment != ",nw_frag=later" => {
                format!("icmp,{link}{network}icmp_type={},icmp_code={}", self.of(&[0, 8, 3]), self.of(&[0, 3]))
            }
            5 => format!("ip,nw_proto={},{link}{network}", self.of(&[47, 50, 89])),
            6 if self.one_in(3) => format!("{link}dl_type={}", self.of(&["0x88cc", "0x86dd"])),
            _ => {
                format!("tcp,{link}{network}{ports},tcp_flags={}{fragment}", self.of(&["0x2", "0x10", "0x11", "0x12"]))
            }
        };
        let text =
            if fragment == ",nw_frag=later" { text.replace(",,", ",").replace("tcp_flags", "reg9") } else { text };
        let packet = Packet::from_text(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let states = (0..self.below(3)).map(|_| self.of(&STATES)).collect();
        Question { in_port: self.of(&[1, 2, 3]), frame: packet.with_right_checksums().frame(), states }
    }
}

fn parsed(text: &str) -> FlowMod {
    parse_flow(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn actions(text: &str) -> Vec<Action> {
    match parsed(&format!("actions={text}")).instructions.pop() {
        Some(fseg_openflow::Instruction::ApplyActions(actions)) => actions,
        other => panic!("{other:?}"),
    }
}
