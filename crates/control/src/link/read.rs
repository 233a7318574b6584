//! Reading a switch, comparing it with what it should hold, and putting the difference right.

use std::collections::{BTreeMap, HashMap, HashSet};

use fseg_model::{Mono, PortNo};
use fseg_openflow::meter::{self, Band, MeterCommand};
use fseg_openflow::multipart::{Answer, FlowQuery, Query};
use fseg_openflow::{Body, FlowMod, FlowStats, Message, MeterMod, MultipartReply, MultipartRequest, Port};
use fseg_pipeline::cookie::{MAGIC_MASK, MAGIC_VALUE};
use fseg_pipeline::repair::{self, Repair};
use fseg_pipeline::{Delta, Owner, Row, RowKey, Table, Unsent};

use super::{Counter, Link, LinkNews, LinkPhase};

#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The transactions that ask: answers to older questions, such as of counters, are not part of the reading.
    asked: HashSet<u32>,
    ports: HashSet<PortNo>,
    rows: Vec<FlowStats>,
    rows_done: bool,
    meters: HashMap<u32, (u32, u32)>,
    meters_done: bool,
    ports_done: bool,
}

impl Link {
    /// Starts reading the switch's tables; whatever was to be sent will come out of the comparison.
    pub(crate) fn read(&mut self) -> Vec<Message> {
        self.phase = LinkPhase::Reading;
        self.resync_at = None;
        self.unsent = Unsent::default();
        self.prepared = None;
        let questions: Vec<Message> =
            [Query::PortDesc, Query::MeterConfig(meter::ALL), Query::Flow(FlowQuery::default())]
                .into_iter()
                .map(|query| self.ask(query))
                .collect();
        self.reading = Reading { asked: questions.iter().map(|m| m.xid).collect(), ..Reading::default() };
        questions
    }

    pub(crate) fn ask(&mut self, query: Query) -> Message {
        self.message(Body::MultipartRequest(MultipartRequest { more: false, query }))
    }

    pub(super) fn multipart(
        &mut self,
        xid: u32,
        reply: &MultipartReply,
        now: Mono,
        round: u16,
        news: &mut Vec<LinkNews>,
        out: &mut Vec<Message>,
    ) {
        if self.hear_proof(xid, reply, news) {
            return;
        }
        let reading = self.phase == LinkPhase::Reading && self.reading.asked.contains(&xid);
        let more = reply.more;
        match &reply.answer {
            Answer::PortDesc(ports) if reading => {
                for port in ports {
                    self.reading.ports.insert(PortNo(port.port_no));
                    self.port(port, true, news);
                }
                if !more {
                    self.reading.ports_done = true;
                    // Ports that went while nobody could say so.
                    let gone: Vec<PortNo> =
                        self.port_up.keys().copied().filter(|p| !self.reading.ports.contains(p)).collect();
                    for number in gone {
                        self.port_up.remove(&number);
                        self.port_names.remove(&number);
                        news.push(LinkNews::Port { number, up: false });
                    }
                }
            }
            Answer::MeterConfig(meters) if reading => {
                for m in meters {
                    let band = match m.bands.first() {
                        Some(Band::Drop { rate, burst }) if m.flags & meter::FLAG_PACKETS != 0 => (*rate, *burst),
                        _ => (0, 0),
                    };
                    self.reading.meters.insert(m.meter_id, band);
                }
                self.reading.meters_done |= !more;
            }
            Answer::Flow(flows) if reading => {
                self.reading.rows.extend(flows.iter().cloned());
                self.reading.rows_done |= !more;
            }
            Answer::Flow(flows) if self.phase == LinkPhase::Up => news.push(LinkNews::Counted(flows.clone())),
            _ => {}
        }
        if reading && self.reading.rows_done && self.reading.meters_done && self.reading.ports_done {
            let read = std::mem::take(&mut self.reading);
            self.repair(read, now, round, news, out);
        }
    }

    fn repair(&mut self, read: Reading, now: Mono, round: u16, news: &mut Vec<LinkNews>, out: &mut Vec<Message>) {
        for meter in self.meters.clone() {
            if !self.metered {
                break;
            }
            let there = read.meters.get(&meter.id);
            if there != Some(&(meter.rate, meter.burst)) {
                let body = MeterMod {
                    command: if there.is_some() { MeterCommand::Modify } else { MeterCommand::Add },
                    flags: meter::FLAG_PACKETS | meter::FLAG_BURST,
                    meter_id: meter.id,
                    bands: vec![Band::Drop { rate: meter.rate, burst: meter.burst }],
                };
                let m = self.message(Body::MeterMod(body));
                out.push(m);
            }
        }
        let Repair { delta, intact, strangers, foreign } = repair::compare(&self.desired, &read.rows);
        self.counters = read
            .rows
            .iter()
            .filter_map(|s| {
                let table = Table::from_number(s.table)?;
                let key = RowKey { table, priority: s.priority, matches: s.matches.clone() };
                Some((key, Counter { packets: s.packet_count, bytes: s.byte_count }))
            })
            .collect();
        self.phase = LinkPhase::Up;
        self.foreign = foreign;
        let (added, removed) = (delta.add.len(), delta.remove.len() + strangers.len());
        let strangers: Vec<FlowMod> =
            strangers.iter().map(|s| FlowMod::delete_strict(s.table, s.priority, s.matches.clone())).collect();
        out.extend(self.put_right(strangers, delta, now, round));
        self.settled(news);
        news.push(LinkNews::Repaired { intact, added, removed, foreign });
    }

    /// What makes the switch right, in one change, or in several where it refuses something: then removals go first, what was
    /// refused goes last and by itself, and the rest by owner, so that nobody waits for what is wrong with another.
    fn put_right(&mut self, strangers: Vec<FlowMod>, mut delta: Delta, now: Mono, round: u16) -> Vec<Message> {
        let missing: HashSet<&RowKey> = delta.add.iter().map(|row| &row.key).collect();
        self.turned_down.retain(|key, _| missing.contains(key));
        let mut again: BTreeMap<Owner, Vec<Row>> = BTreeMap::new();
        if !self.turned_down.is_empty() {
            for row in std::mem::take(&mut delta.add) {
                match self.turned_down.get(&row.key) {
                    None => delta.add.push(row),
                    Some(t) if t.at <= now => again.entry(row.owner).or_default().push(row),
                    Some(_) => {}
                }
            }
            self.resync_at = self.turned_down.values().map(|t| t.at).filter(|at| *at > now).min();
        }
        self.split &= !delta.add.is_empty();
        let careful = self.failures > 0 || self.split || !again.is_empty();
        let mut out = Vec::new();
        if self.plain || !careful {
            delta.add.extend(again.into_values().flatten());
            if !(strangers.is_empty() && delta.is_empty()) {
                out = self.send(strangers, delta, round, true);
            }
            return out;
        }
        let additions = std::mem::take(&mut delta.add);
        if !(strangers.is_empty() && delta.is_empty()) {
            out = self.send(strangers, delta, round, true);
        }
        let parts: Vec<Vec<Row>> = if self.split { by_owner(additions) } else { vec![additions] };
        for add in parts.into_iter().chain(again.into_values()).filter(|rows| !rows.is_empty()) {
            out.extend(self.send(vec![], Delta { remove: vec![], add }, round, true));
        }
        out
    }

    pub(super) fn port(&mut self, port: &Port, there: bool, news: &mut Vec<LinkNews>) {
        let number = PortNo(port.port_no);
        let up = there && port.is_up();
        self.port_names.insert(number, port.name.clone());
        if self.port_up.insert(number, up) != Some(up) {
            news.push(LinkNews::Port { number, up });
        }
    }

    /// Asks for the counters of permits often, of endpoints less often.
    pub(crate) fn poll(&mut self) -> Vec<Message> {
        if self.phase != LinkPhase::Up {
            return vec![];
        }
        self.poll_round = self.poll_round.wrapping_add(1);
        const KIND_MASK: u64 = MAGIC_MASK | 0xff << 48;
        let kinds: &[u64] = if self.poll_round % 4 == 1 { &[4, 2, 3, 1, 6, 7] } else { &[4] };
        kinds
            .iter()
            .map(|kind| {
                let cookie = MAGIC_VALUE | kind << 48;
                self.ask(Query::Flow(FlowQuery { cookie, cookie_mask: KIND_MASK, ..FlowQuery::default() }))
            })
            .collect()
    }
}

/// How many parts a refused repair is cut into at most: again and again, until what is wrong is alone.
const MOST_PARTS: usize = 256;

fn by_owner(rows: Vec<Row>) -> Vec<Vec<Row>> {
    let mut owners: BTreeMap<Owner, Vec<Row>> = BTreeMap::new();
    for row in rows {
        owners.entry(row.owner).or_default().push(row);
    }
    let size = owners.len().div_ceil(MOST_PARTS).max(1);
    let mut parts: Vec<Vec<Row>> = Vec::new();
    for (index, rows) in owners.into_values().enumerate() {
        match parts.last_mut() {
            Some(part) if index % size != 0 => part.extend(rows),
            _ => parts.push(rows),
        }
    }
    parts
}
