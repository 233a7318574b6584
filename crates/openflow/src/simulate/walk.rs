//! A packet's way through the tables.

use std::collections::{BTreeMap, VecDeque};

use crate::action::{Action, CtAction, CtZone, MAX_LEN_WHOLE};
use crate::field::Field;
use crate::group::{Bucket, GroupType};
use crate::instruction::{Instruction, in_order};
use crate::packet::{REASON_ACTION, REASON_INVALID_TTL};
use crate::port;
use crate::simulate::connection::{Question, Tracker};
use crate::simulate::learn;
use crate::simulate::packet::Packet;
use crate::simulate::set;
use crate::simulate::tables::{RowId, Tables};
use crate::simulate::trace::{Abandoned, Departure, Event, Idle, Step, To, Trace};
use crate::subfield::Subfield;
use crate::text::widen_port;

/// Levels of `resubmit` to tables that do not come later.
const DEEPEST: usize = 64;
/// Actions within actions: what a thread's stack has room for.
const MOST_NESTED: usize = 128;
/// Searches in one pass.
const MOST_SEARCHES: usize = 4096;
/// Values on the stack.
const MOST_STACKED: usize = 4096;
/// Passes through the tables.
const MOST_PASSES: usize = 64;

/// How a group uses its buckets, and these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// How.
    pub type_: GroupType,
    /// These.
    pub buckets: Vec<Bucket>,
}

/// A switch: what packets are run through.
#[derive(Debug, Clone, Copy)]
pub struct Simulator<'a> {
    tables: &'a Tables,
    groups: Option<&'a BTreeMap<u32, Group>>,
    ports: Option<&'a BTreeMap<u32, bool>>,
}

/// What a list of actions says about those that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// Go on.
    On,
    /// Nothing more of this row or bucket.
    Stop,
}

/// A packet that goes on in a table.
struct Fork {
    packet: Packet,
    set: Vec<Action>,
    table: u8,
}

impl<'a> Simulator<'a> {
    /// A switch with these rows, no groups, and every port there is.
    pub fn new(tables: &'a Tables) -> Self {
        Self { tables, groups: None, ports: None }
    }

    /// … with these groups.
    #[must_use]
    pub fn with_groups(self, groups: &'a BTreeMap<u32, Group>) -> Self {
        Self { groups: Some(groups), ..self }
    }

    /// … with these ports only, and whether each has a link: a packet leaves by any of them, and fast-failover groups see
    /// the link.
    #[must_use]
    pub fn with_ports(self, ports: &'a BTreeMap<u32, bool>) -> Self {
        Self { ports: Some(ports), ..self }
    }

    /// Runs a packet through the tables from table 0 on.
    pub fn run(&self, packet: Packet, tracker: &mut dyn Tracker) -> Trace {
        let mut walk = Walk::new(*self, packet, tracker);
        walk.queue.push_back(Fork { packet: walk.packet.clone(), set: Vec::new(), table: 0 });
        walk.finish()
    }

    /// Executes a list of actions, as a packet-out does; `TABLE` leads into table 0.
    pub fn execute(&self, packet: Packet, actions: &[Action], tracker: &mut dyn Tracker) -> Trace {
        let mut walk = Walk::new(*self, packet, tracker);
        walk.trace.steps.push(Step {
            pass: 0,
            depth: 0,
            table: 0,
            row: None,
            priority: 0,
            cookie: u64::MAX,
            events: Vec::new(),
        });
        walk.actions(actions);
        walk.execute_set();
        walk.finish()
    }
}

struct Walk<'a, 't> {
    switch: Simulator<'a>,
    tracker: &'t mut dyn Tracker,
    trace: Trace,
    queue: VecDeque<Fork>,
    packet: Packet,
    set: Vec<Action>,
    /// Of the row whose actions are executed: table, cookie, place among the steps.
    table: u8,
    cookie: u64,
    step: usize,
    pass: usize,
    depth: usize,
    nested: usize,
    searches: usize,
    exit: bool,
}

impl<'a, 't> Walk<'a, 't> {
    fn new(switch: Simulator<'a>, packet: Packet, tracker: &'t mut dyn Tracker) -> Self {
        Self {
            switch,
            tracker,
            trace: Trace::default(),
            queue: VecDeque::new(),
            packet,
            set: Vec::new(),
            table: 0,
            cookie: u64::MAX,
            step: 0,
            pass: 0,
            depth: 0,
            nested: 0,
            searches: 0,
            exit: false,
        }
    }

    fn finish(mut self) -> Trace {
        while let (Some(fork), None) = (self.queue.pop_front(), self.trace.abandoned) {
            (self.packet, self.set, self.table) = (fork.packet, fork.set, fork.table);
            self.pass = self.trace.starts.len();
            (self.depth, self.searches, self.exit) = (0, 0, false);
            let left = self.trace.departures.len();
            self.trace.starts.push(self.packet.clone());
            let first = self.trace.steps.len();
            self.search(fork.table, None);
            // What the action set sends is sent in the name of the first row.
            self.step = first;
            self.cookie = self.trace.steps.get(first).map_or(0, |step| step.cookie);
            if self.trace.abandoned.is_none() {
                self.execute_set();
            }
            if self.trace.abandoned.is_some() {
                // What the pass has done so far is undone; what left in earlier passes has left.
                self.trace.departures.truncate(left);
            }
            self.trace.ends.push(self.packet.clone());
        }
        self.trace
    }

    fn event(&mut self, event: Event) {
        if let Some(step) = self.trace.steps.get_mut(self.step) {
            step.events.push(event);
        }
    }

    fn idle(&mut self, why: Idle) {
        self.event(Event::Idle(why));
    }

    fn abandon(&mut self, why: Abandoned) {
        self.trace.abandoned.get_or_insert(why);
    }

    fn over(&self) -> bool {
        self.exit || self.trace.abandoned.is_some()
    }

    /// Searches a table, does what the row found says, and goes on where it leads. `in_port` counts for the first search
    /// only.
    fn search(&mut self, table: u8, mut in_port: Option<u32>) {
        let before = (self.table, self.cookie, self.step);
        let mut next = Some(table);
        while let Some(table) = next.filter(|_| !self.over()) {
            self.searches += 1;
            if self.searches > MOST_SEARCHES {
                self.abandon(Abandoned::TooLong);
                break;
            }
            let row = self.find(table, in_port.take());
            self.table = table;
            self.step = self.trace.steps.len();
            next = self.meet(table, row);
            if next.is_some() && self.depth >= DEEPEST {
                self.abandon(Abandoned::TooDeep);
            }
        }
        (self.table, self.cookie, self.step) = before;
    }

    fn find(&mut self, table: u8, in_port: Option<u32>) -> Option<RowId> {
        let tables = self.switch.tables;
        match in_port.filter(|port| *port != self.packet.in_port()) {
            None => tables.find(table, &self.packet),
            Some(port) => {
                let real = self.packet.value(Field::InPort);
                self.packet.set(Field::InPort, port.into(), u128::MAX);
                let row = tables.find(table, &self.packet);
                self.packet.set(Field::InPort, real, u128::MAX);
                row
            }
        }
    }

    /// Does what a row says; the table it leads to.
    fn meet(&mut self, table: u8, row: Option<RowId>) -> Option<u8> {
        let found = row.and_then(|id| self.switch.tables.row(id));
        let (priority, cookie) = found.map_or((0, 0), |(_, priority, _, stored)| (priority, stored.cookie));
        let (pass, depth) = (self.pass, self.nested);
        self.trace.steps.push(Step { pass, depth, table, row, priority, cookie, events: Vec::new() });
        let (.., stored) = found?;
        self.cookie = cookie;
        for instruction in in_order(&stored.instructions) {
            if self.over() {
                return None;
            }
            match instruction {
                Instruction::Meter(meter) => self.event(Event::Metered(*meter)),
                Instruction::ApplyActions(actions) => {
                    if self.actions(actions) == After::Stop {
                        return None;
                    }
                }
                Instruction::ClearActions => {
                    self.set.clear();
                    self.event(Event::Cleared);
                }
                Instruction::WriteActions(actions) => {
                    for action in actions {
                        self.event(Event::Written(action.clone()));
                        self.set.push(action.clone());
                    }
                    let out = set::output(&self.set).map_or(0xffff_fff7, u128::from);
                    self.packet.set(Field::ActsetOutput, out, u128::MAX);
                }
                Instruction::WriteMetadata { value, mask } => {
                    self.change(Field::Metadata, (*value).into(), (*mask).into());
                }
                Instruction::GotoTable(next) => return Some(*next),
                Instruction::Unknown { type_, .. } => {
                    self.idle(Idle::NotSimulated(format!("instruction {type_:#x}")));
                }
            }
        }
        None
    }

    fn execute_set(&mut self) {
        let written = std::mem::take(&mut self.set);
        if written.is_empty() {
            return;
        }
        let list = set::in_order(&written);
        if list.is_empty() {
            return self.idle(Idle::NoOutput);
        }
        // After `exit` nothing of it is done: so does Open vSwitch 3.1, against its manual.
        self.actions(&list);
    }

    fn actions(&mut self, actions: &[Action]) -> After {
        for action in actions {
            if self.over() || self.act(action) == After::Stop {
                return After::Stop;
            }
        }
        After::On
    }

    fn change(&mut self, field: Field, value: u128, mask: u128) {
        let from = self.packet.value(field);
        if !self.packet.has(field) || !self.packet.set(field, value, mask) {
            return self.idle(Idle::NoField(field));
        }
        let to = self.packet.value(field);
        if from != to {
            self.event(Event::Changed { field, from, to });
        }
    }

    fn change_bits(&mut self, to: Subfield, value: u128) {
        self.change(to.field, value.checked_shl(to.offset.into()).unwrap_or(0), to.mask());
    }

    fn act(&mut self, action: &Action) -> After {
        match action {
            Action::Output { port, max_len } => self.output(*port, *max_len),
            Action::OutputReg { src, max_len } => match self.packet.read(*src) {
                number @ 0..=0xffff => self.output(widen_port(number as u16), *max_len),
                number => self.idle(Idle::NoPort(number as u64)),
            },
            Action::Controller(to) => {
                let (controller, userdata) = (to.controller_id, to.userdata.clone());
                self.depart(To::Controller { reason: to.reason, max_len: to.max_len, controller, userdata });
                if to.pause {
                    self.exit = true; // the rest waits for the controller
                }
            }
            Action::Group(group) => self.group(*group),
            Action::PushVlan(kind) => {
                self.packet.push_tag(*kind);
                self.event(Event::TagPushed);
            }
            Action::PopVlan => {
                self.packet.pop_tag();
                self.event(Event::TagPopped);
            }
            Action::SetNwTtl(ttl) => self.change(Field::IpTtl, (*ttl).into(), u128::MAX),
            Action::SetMplsTtl(ttl) => self.change(Field::MplsTtl, (*ttl).into(), u128::MAX),
            Action::DecNwTtl | Action::DecNwTtlFor(_) => return self.decrement(Field::IpTtl),
            Action::CheckPktLarger { len, dst } => {
                let larger = self.packet.len() > usize::from(*len);
                self.change_bits(*dst, larger.into());
            }
            Action::OutputTrunc { port, max_len } => self.truncated(widen_port(*port), *max_len),
            Action::DeleteField(field) => self.change(*field, 0, u128::MAX),
            Action::DecMplsTtl => return self.decrement(Field::MplsTtl),
            Action::SetField { field, value, mask } => self.change(*field, *value, mask.unwrap_or(u128::MAX)),
            Action::Load { dst, value } => self.change_bits(*dst, (*value).into()),
            Action::Move { src, dst } => {
                if !self.packet.has(src.field) {
                    self.idle(Idle::NoField(src.field));
                } else {
                    let value = self.packet.read(*src);
                    self.change_bits(*dst, value);
                }
            }
            Action::Push(from) => {
                if self.packet.stacked() >= MOST_STACKED {
                    self.abandon(Abandoned::StackFull);
                }
                self.packet.push(*from);
            }
            Action::Pop(to) => match self.packet.pop() {
                Some(value) => self.change_bits(*to, value),
                None => self.idle(Idle::EmptyStack),
            },
            Action::Resubmit { port, table } => self.resubmit(*port, *table),
            Action::Ct(ct) => self.track(ct),
            Action::CtClear => self.packet.forget_connection(),
            Action::Clone(actions) => {
                let (packet, set, exit) = (self.packet.clone(), self.set.clone(), self.exit);
                self.nested += 1;
                self.actions(actions);
                // Open vSwitch sends the copy away by the action set, too.
                self.execute_set();
                self.nested -= 1;
                (self.packet, self.set, self.exit) = (packet, set, exit);
            }
            Action::Learn(learned) => {
                self.trace.learned.push(learn::row(learned, &self.packet));
                self.event(Event::Learned);
            }
            Action::Exit => self.exit = true,
            Action::SetQueue(_)
            | Action::PopQueue
            | Action::Note(_)
            | Action::Sample { .. }
            | Action::SampleAt { .. }
            | Action::FinTimeout { .. }
            | Action::Conjunction { .. } => {}
            other => self.idle(Idle::NotSimulated(other.to_string())),
        }
        After::On
    }

    fn decrement(&mut self, field: Field) -> After {
        if !self.packet.has(field) {
            self.idle(Idle::NoField(field));
            return After::On;
        }
        let ttl = self.packet.value(field);
        if ttl > 1 {
            self.change(field, ttl - 1, u128::MAX);
            return After::On;
        }
        // The switch asks the controller (OpenFlow 1.3.5, A.4.1), and no more of this row is done.
        self.idle(Idle::TtlUsedUp);
        let max_len = MAX_LEN_WHOLE;
        self.depart(To::Controller { reason: REASON_INVALID_TTL, max_len, controller: 0, userdata: Vec::new() });
        After::Stop
    }

    fn depart(&mut self, to: To) {
        self.event(Event::Departed(to.clone()));
        let (packet, table, cookie) = (self.packet.clone(), self.table, self.cookie);
        self.trace.departures.push(Departure { to, packet, octets: None, table, cookie });
    }

    fn output(&mut self, port: u32, max_len: u16) {
        match port {
            port::IN_PORT => self.leave_by(self.packet.in_port()),
            port::TABLE => self.search(0, None),
            port::NORMAL => self.depart(To::Normal),
            port::CONTROLLER => {
                let reason = REASON_ACTION;
                self.depart(To::Controller { reason, max_len, controller: 0, userdata: Vec::new() });
            }
            port::FLOOD | port::ALL => match self.switch.ports {
                Some(ports) => {
                    let own = self.packet.in_port();
                    ports.keys().filter(|port| **port != own).for_each(|port| self.leave_by(*port));
                }
                None => self.depart(To::Flood),
            },
            port::ANY => {}
            port if self.packet.may_leave_by(port) => self.leave_by(port),
            port => self.idle(Idle::InPort(port)),
        }
    }

    /// Sends the packet's first octets out of a port.
    fn truncated(&mut self, port: u32, octets: u32) {
        let left = self.trace.departures.len();
        self.output(port, MAX_LEN_WHOLE);
        for departure in self.trace.departures.iter_mut().skip(left) {
            departure.octets = Some(octets);
        }
    }

    fn leave_by(&mut self, port: u32) {
        // Port 0 and the reserved numbers name no port.
        let there = port == port::LOCAL || port != 0 && port < port::MAX;
        if !there || self.switch.ports.is_some_and(|ports| !ports.contains_key(&port)) {
            return self.idle(Idle::NoPort(port.into()));
        }
        self.depart(To::Port(port));
    }

    fn resubmit(&mut self, port: Option<u16>, table: Option<u8>) {
        let table = table.unwrap_or(self.table);
        let deeper = usize::from(table <= self.table);
        if self.depth >= DEEPEST || self.nested >= MOST_NESTED {
            return self.abandon(Abandoned::TooDeep);
        }
        self.depth += deeper;
        self.nested += 1;
        self.search(table, port.map(widen_port));
        self.nested -= 1;
        self.depth -= deeper;
    }

    fn group(&mut self, number: u32) {
        let groups = self.switch.groups;
        let Some(group) = groups.and_then(|groups| groups.get(&number)) else {
            return self.idle(Idle::NoGroup(number));
        };
        if self.depth >= DEEPEST || self.nested >= MOST_NESTED {
            return self.abandon(Abandoned::TooDeep);
        }
        let alive = |(_, bucket): &(usize, &Bucket)| self.is_alive(bucket, 0);
        let all = || group.buckets.iter().enumerate();
        let chosen: Vec<(usize, &Bucket)> = match group.type_ {
            GroupType::All => all().collect(),
            GroupType::Indirect => all().take(1).collect(),
            GroupType::FastFailover => all().find(alive).into_iter().collect(),
            // Which one is the switch's own affair; here it is the first that may be chosen.
            GroupType::Select => all().find(|bucket| bucket.1.weight > 0 && alive(bucket)).into_iter().collect(),
            other => return self.idle(Idle::NotSimulated(format!("group type {other:?}"))),
        };
        if chosen.is_empty() {
            return self.idle(Idle::NoGroup(number));
        }
        for (index, bucket) in chosen {
            self.event(Event::Bucket { group: number, index });
            let before = (self.packet.clone(), self.exit);
            self.depth += 1;
            self.nested += 1;
            self.actions(&set::in_order(&bucket.actions));
            self.nested -= 1;
            self.depth -= 1;
            (self.packet, self.exit) = before;
        }
    }

    /// A bucket lives while what it watches does; one that watches nothing always lives.
    fn is_alive(&self, bucket: &Bucket, level: usize) -> bool {
        let port = bucket.watch_port;
        let link =
            port == port::ANY || self.switch.ports.is_none_or(|ports| ports.get(&port).copied().unwrap_or(false));
        let group = bucket.watch_group;
        let group_lives = || {
            let watched = self.switch.groups.and_then(|groups| groups.get(&group));
            level < 8 && watched.is_some_and(|watched| watched.buckets.iter().any(|b| self.is_alive(b, level + 1)))
        };
        link && (group == crate::flow::GROUP_ANY || group_lives())
    }

    fn track(&mut self, ct: &CtAction) {
        let zone = match ct.zone {
            CtZone::Immediate(zone) => zone,
            CtZone::Field(from) => self.packet.read(from) as u16,
        };
        let nat = ct.exec.iter().find_map(|action| if let Action::Nat(nat) = action { Some(nat) } else { None });
        let question = Question { zone, commit: ct.commit, force: ct.force, goes_on: ct.table.is_some(), nat };
        let tracked = self.tracker.track(&self.packet, question);
        let mut copy = self.packet.clone();
        if let Some(tuple) = tracked.translated {
            tuple.write_to(&mut copy);
            if !self.tracker.translates_copies_only() {
                tuple.write_to(&mut self.packet);
            }
        }
        let mut put = |field, value: u128| copy.set(field, value, u128::MAX);
        put(Field::CtState, tracked.state.into());
        put(Field::CtZone, zone.into());
        tracked.mark.map(|mark| put(Field::CtMark, mark.into()));
        tracked.label.map(|label| put(Field::CtLabel, label));
        if let Some(original) = tracked.original {
            original.describe(&mut copy);
        }
        for action in &ct.exec {
            match action {
                Action::SetField { field, value, mask } => {
                    copy.set(*field, *value, mask.unwrap_or(u128::MAX));
                }
                Action::Load { dst, value } => {
                    copy.write_bits(*dst, (*value).into());
                }
                Action::Move { src, dst } => {
                    let value = copy.read(*src);
                    copy.write_bits(*dst, value);
                }
                Action::Nat(_) => {}
                other => self.idle(Idle::NotSimulated(format!("ct(exec({other}))"))),
            }
        }
        if ct.commit {
            let (mark, label) = (copy.value(Field::CtMark) as u32, copy.value(Field::CtLabel));
            self.tracker.remember(&tracked, zone, mark, label);
        }
        self.event(Event::Tracked { zone, state: tracked.state, table: ct.table, committed: ct.commit });
        if let Some(table) = ct.table {
            if self.pass + self.queue.len() >= MOST_PASSES {
                self.abandon(Abandoned::GoesRound);
            }
            self.queue.push_back(Fork { packet: copy, set: self.set.clone(), table });
        }
        // The connection is known in that table only (ovs-actions(7), "ct").
        self.packet.forget_connection();
    }
}
