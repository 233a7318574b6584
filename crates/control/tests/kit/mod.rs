//! A site in memory around a real controller: switches, clients, a store that is a map, and two clocks that move when told.
//!
//! [`World::settle`] carries effects out as the node's shell does, and checks on every flush what must hold on every flush:
//! commits come first, what tells somebody something comes after the rows, and no lease is acknowledged before it is
//! stored.
#![allow(dead_code)] // each test program uses a part of it

mod check;
mod site;

pub(crate) use site::*;

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use check::{check_order, reaches};
use fseg_address::LeaseState;
use fseg_admission::{Account, Device, LoginStart};
use fseg_control::recording::{Recorder, Replay};
use fseg_control::{
    Answer, Change, Controller, Effect, Event, EventKind, Input, Now, Record, RecordKey, SiteConfig, Standing, Ticket,
};
use fseg_model::{Dpid, Endpoint, Flow, Location, Mac, MemberSet, Mono, Name};
use fseg_openflow::{Body, Message};
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_test_kit::{FakeSwitch, Network, dhcp, frames};

/// Somebody with a cable in hand.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) mac: Mac,
    pub(crate) place: Location,
    pub(crate) address: Option<Ipv4Addr>,
}

impl Client {
    pub(crate) fn new(n: u8, place: Location) -> Self {
        Self { mac: mac(n), place, address: None }
    }

    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.address.expect("this client has no address")
    }
}

pub(crate) struct World {
    pub(crate) config: SiteConfig,
    pub(crate) records: BTreeMap<RecordKey, Record>,
    pub(crate) audit: Vec<String>,
    pub(crate) controller: Controller,
    pub(crate) net: Network,
    pub(crate) now: Now,
    pub(crate) connected: BTreeMap<Dpid, u64>,
    /// Switches that read nothing for a while; what waits for them.
    pub(crate) held: BTreeMap<Dpid, VecDeque<Message>>,
    pub(crate) answers: BTreeMap<Ticket, Answer>,
    pub(crate) events: Vec<Event>,
    /// Devices that answer when they are called by ARP: where, and which address.
    pub(crate) answering: BTreeMap<Mac, (Location, Ipv4Addr)>,
    /// The process dies when so many effects of the next flush are carried out, and starts again.
    pub(crate) dies_after: Option<usize>,
    /// The store takes nothing.
    pub(crate) store_fails: bool,
    /// What waits for the store; lost with the process.
    pub(crate) backlog: Vec<Change>,
    /// Barrier replies that come late: behind whatever else the switches say, and twice.
    pub(crate) barriers_late: usize,
    /// How far the wall clock jumped since the process started.
    pub(crate) jumped: bool,
    /// Of this start of the node.
    recorder: Recorder,
    recording: Vec<u8>,
    next_connection: u64,
    next_ticket: u64,
    inbox: VecDeque<(Dpid, u64, Message)>,
}

impl World {
    /// A site whose switches are connected, without policy and without endpoints.
    pub(crate) fn empty() -> Self {
        Self::with(config())
    }

    pub(crate) fn with(config: SiteConfig) -> Self {
        Self::with_switches(config, |_| {})
    }

    /// The same with switches that are not as usual.
    pub(crate) fn with_switches(config: SiteConfig, change: impl Fn(&mut FakeSwitch)) -> Self {
        let mut net = Network::default();
        for s in &config.switches {
            let mut switch = FakeSwitch::new(s.dpid, s.ports.iter().map(|p| p.number));
            change(&mut switch);
            net.add(switch);
        }
        net.cable(at(SW1, UP), at(NODE, 1));
        net.cable(at(SW2, UP), at(NODE, 2));
        let now = Now { wall: START, mono: Mono(1_000) };
        let controller = Controller::new(config.clone(), vec![], now).unwrap();
        let recorder = Recorder::begin("test", &config, &[], now).unwrap();
        let mut world = Self {
            config,
            records: BTreeMap::new(),
            audit: Vec::new(),
            controller,
            net,
            now,
            connected: BTreeMap::new(),
            held: BTreeMap::new(),
            answers: BTreeMap::new(),
            events: Vec::new(),
            answering: BTreeMap::new(),
            dies_after: None,
            store_fails: false,
            backlog: Vec::new(),
            barriers_late: 0,
            jumped: false,
            recorder,
            recording: Vec::new(),
            next_connection: 1,
            next_ticket: 1,
            inbox: VecDeque::new(),
        };
        world.settle();
        for dpid in SWITCHES {
            world.connect(dpid);
        }
        world
    }

    /// A site with the policy above, accounts `anna`, `bert` and `dora` (role dev), and devices `crm-1` and `crm-2`, whose
    /// MAC addresses end in 101 and 102.
    pub(crate) fn office() -> Self {
        Self::furnished(Self::empty())
    }

    /// The office in a site that is there already.
    pub(crate) fn furnished(mut world: Self) -> Self {
        for (who, roles) in [("anna", &[][..]), ("bert", &[]), ("dora", &["dev"])] {
            world.put_account(account(who, roles));
        }
        for (who, n) in [("crm-1", 101), ("crm-2", 102)] {
            world.put_device(device(who, mac(n)));
        }
        world.apply(POLICY);
        world.learn_gateway();
        world.events.clear();
        world
    }

    // What the shell does.

    pub(crate) fn handle(&mut self, input: Input) {
        self.feed(input);
        self.settle();
    }

    fn feed(&mut self, input: Input) {
        self.recorder.input(&input, self.now);
        self.controller.handle(input, self.now);
    }

    /// Somebody at this address typed an account and a password.
    pub(crate) fn login_start(&mut self, address: Ipv4Addr, account: &str) -> Option<LoginStart> {
        self.recorder.login_start(address, account, self.now);
        self.controller.login_start(address, account, self.now)
    }

    /// The recording of this start of the node.
    pub(crate) fn recording(&mut self) -> &[u8] {
        self.recording.extend(self.recorder.take());
        &self.recording
    }

    /// Another controller that is told the same decides the same, and ends in the same state.
    pub(crate) fn check_replay(&mut self) {
        self.recording();
        let mut replay = Replay::new(&self.recording).unwrap();
        while let Some(done) = replay.step().unwrap() {
            let came = format!("{:?}", done.effects).chars().take(2000).collect::<String>();
            assert_eq!(done.difference, None, "step {}: {}: {came}", done.number, done.what);
        }
        assert_eq!(replay.torn(), 0);
        let ends = |c: &Controller| -> Vec<_> { c.endpoints().map(|(e, s, class)| (e.clone(), s, class)).collect() };
        assert_eq!(ends(replay.controller()), ends(&self.controller));
    }

    /// Carries effects out and hands in what follows from them, until nothing follows any more.
    pub(crate) fn settle(&mut self) {
        let mut late = VecDeque::new();
        for step in 0.. {
            assert!(step < 20_000, "the controller and the switches never come to rest");
            let effects = self.controller.flush();
            self.recorder.flushed(&effects);
            let quiet = effects.is_empty();
            check_order(&effects);
            if !quiet && let Some(last) = self.dies_after.take() {
                for effect in effects.into_iter().take(last) {
                    self.carry_out(effect, true);
                }
                return self.restart();
            }
            // As the node does: a commit takes along what waits.
            let durable = if self.store_fails {
                self.backlog.is_empty() && !matches!(effects.first(), Some(Effect::Commit(_)))
            } else {
                let waiting = std::mem::take(&mut self.backlog);
                self.commit(waiting);
                true
            };
            for effect in effects {
                self.carry_out(effect, durable);
            }
            self.answer_calls();
            for (dpid, message) in std::mem::take(&mut self.net.said) {
                if let Some(connection) = self.connected.get(&dpid) {
                    if self.barriers_late > 0 && matches!(message.body, Body::BarrierReply) {
                        self.barriers_late -= 1;
                        late.push_back((dpid, *connection, message.clone()));
                        late.push_back((dpid, *connection, message));
                        continue;
                    }
                    self.inbox.push_back((dpid, *connection, message));
                }
            }
            match self.inbox.pop_front().or_else(|| late.pop_front()) {
                Some((dpid, connection, message)) => {
                    let message = Box::new(message);
                    self.feed(Input::Message { dpid, connection, message });
                }
                None if quiet => return,
                None => {}
            }
        }
    }

    /// Devices that are called answer.
    fn answer_calls(&mut self) {
        let mut answers = Vec::new();
        for a in &self.net.arrived {
            let Ok(frame) = fseg_wire::Frame::parse(&a.frame) else { continue };
            let fseg_wire::Payload::Arp(arp) = &frame.payload else { continue };
            let called = |(place, ip): &&(Location, Ipv4Addr)| *place == a.place && *ip == arp.target_ip;
            if arp.operation == fseg_wire::ArpOperation::Request
                && self.answering.get(&frame.destination).filter(called).is_some()
            {
                answers.push((a.place, arp.reply(frame.destination).to_frame(frame.destination, frame.source)));
            }
        }
        if !answers.is_empty() {
            self.net.arrived.clear();
        }
        for (place, frame) in answers {
            self.net.send(place, &frame);
        }
    }

    fn commit(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Put(record) => {
                    self.records.insert(record.key(), record);
                }
                Change::Delete(key) => {
                    self.records.remove(&key);
                }
                Change::Audit { who, what, .. } => self.audit.push(format!("{who}: {what}")),
            }
        }
    }

    /// Hands in a message that says what no switch would say.
    pub(crate) fn say(&mut self, dpid: Dpid, message: Message) {
        if let Some(connection) = self.connected.get(&dpid).copied() {
            self.handle(Input::Message { dpid, connection, message: Box::new(message) });
        }
    }

    /// The wall clock is set; nothing else happens.
    pub(crate) fn jump(&mut self, seconds: i64) {
        self.now.wall.0 = self.now.wall.0.saturating_add_signed(seconds * 1000);
        self.jumped = true;
    }

    fn carry_out(&mut self, effect: Effect, durable: bool) {
        match effect {
            Effect::Commit(changes) if durable => self.commit(changes),
            Effect::Commit(changes) => self.backlog.extend(changes),
            Effect::Reply { .. } | Effect::Answer(..) if !durable => {}
            Effect::Send { dpid, connection, messages } => self.transmit(dpid, connection, messages),
            Effect::Reply { dpid, connection, message } => {
                self.check_acknowledged(&message);
                self.transmit(dpid, connection, vec![message]);
            }
            Effect::Answer(ticket, answer) => {
                let twice = self.answers.insert(ticket, answer);
                assert!(twice.is_none(), "{ticket:?} was answered twice");
            }
            Effect::Event(event) => self.events.push(event),
            Effect::Domains(_) | Effect::Presence(_) | Effect::Tables(_) => {}
        }
    }

    fn transmit(&mut self, dpid: Dpid, connection: u64, messages: Vec<Message>) {
        if self.connected.get(&dpid) != Some(&connection) {
            return;
        }
        if let Some(waiting) = self.held.get_mut(&dpid) {
            waiting.extend(messages);
            return;
        }
        for message in messages {
            if self.net.message(dpid, &message).is_err() {
                self.connected.remove(&dpid);
                self.feed(Input::Disconnected { dpid, connection });
                return;
            }
        }
    }

    /// Only what is stored is acknowledged.
    fn check_acknowledged(&self, message: &Message) {
        let Body::PacketOut(out) = &message.body else { return };
        let Some(reply) = dhcp::read(&out.data) else { return };
        if reply.seconds.is_some() && !reply.address.is_unspecified() && format!("{:?}", reply.kind) == "Ack" {
            let Some(Record::Lease(lease)) = self.records.get(&RecordKey::Lease(reply.mac)) else {
                panic!("{reply:?} acknowledges what is not stored");
            };
            assert_eq!((lease.address, lease.state), (reply.address, LeaseState::Bound), "{reply:?}");
        }
    }

    pub(crate) fn connect(&mut self, dpid: Dpid) {
        let connection = self.next_connection;
        self.next_connection += 1;
        self.connected.insert(dpid, connection);
        self.handle(Input::Connected { dpid, connection });
    }

    pub(crate) fn disconnect(&mut self, dpid: Dpid) {
        if let Some(connection) = self.connected.remove(&dpid) {
            self.net.switch(dpid).disconnected();
            self.held.remove(&dpid);
            self.handle(Input::Disconnected { dpid, connection });
        }
    }

    /// From now on the switch does nothing that it is told.
    pub(crate) fn hold(&mut self, dpid: Dpid) {
        self.held.entry(dpid).or_default();
    }

    /// It does everything that it was told meanwhile.
    pub(crate) fn release(&mut self, dpid: Dpid) {
        let waiting = self.held.remove(&dpid).unwrap_or_default();
        if let Some(connection) = self.connected.get(&dpid).copied() {
            self.transmit(dpid, connection, waiting.into());
        }
        self.settle();
    }

    /// The node's process ends and starts again: what is in the records is all that it knows. Switches keep their tables.
    pub(crate) fn restart(&mut self) {
        self.stop();
        for dpid in SWITCHES {
            self.connect(dpid);
        }
    }

    /// The node's process starts again, and no switch is connected yet.
    pub(crate) fn stop(&mut self) {
        self.connected.clear();
        self.held.clear();
        self.inbox.clear();
        for switch in self.net.switches.values_mut() {
            switch.disconnected();
        }
        self.now.mono = Mono(0); // another process, another count
        self.check_replay();
        (self.jumped, self.barriers_late) = (false, 0);
        self.backlog.clear();
        let records: Vec<_> = self.records.values().cloned().collect();
        self.recording.clear();
        self.recorder = Recorder::begin("test", &self.config, &records, self.now).unwrap();
        self.controller = Controller::new(self.config.clone(), records, self.now).unwrap();
        self.settle();
    }

    /// Time passes, with ticks on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let steps = if time < Duration::from_secs(4) { 4 } else { 20 };
        for _ in 0..steps {
            let step = time / steps;
            self.now = Now { wall: self.now.wall.plus(step), mono: self.now.mono.plus(step) };
            self.handle(Input::Tick);
        }
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Hands in what somebody wants; the ticket to find the answer by.
    pub(crate) fn submit(&mut self, input: impl FnOnce(Ticket) -> Input) -> Ticket {
        let ticket = self.ticket();
        self.handle(input(ticket));
        ticket
    }

    pub(crate) fn ask(&mut self, input: impl FnOnce(Ticket) -> Input) -> Answer {
        let ticket = self.submit(input);
        self.answers.remove(&ticket).expect("no answer yet")
    }

    // Operators.

    pub(crate) fn put_account(&mut self, account: Account) -> Answer {
        self.ask(|ticket| Input::PutAccount { ticket, who: "op".into(), account: Box::new(account) })
    }

    pub(crate) fn put_device(&mut self, device: Device) -> Answer {
        self.ask(|ticket| Input::PutDevice { ticket, who: "op".into(), device: Box::new(device) })
    }

    pub(crate) fn delete_device(&mut self, who: &str) -> Answer {
        let name = name(who);
        self.ask(|ticket| Input::DeleteDevice { ticket, who: "op".into(), name })
    }

    pub(crate) fn try_apply(&mut self, text: &str, dry_run: bool) -> Answer {
        let (file, text) = ("test.yaml".to_owned(), text.to_owned());
        let options = fseg_control::ApplyOptions::default();
        self.ask(|ticket| Input::ApplyPolicy { ticket, who: "op".into(), file, text, dry_run, options })
    }

    /// Hands in a policy with options; the ticket to find the answer by.
    pub(crate) fn submit_policy(&mut self, text: &str, options: fseg_control::ApplyOptions) -> Ticket {
        let (file, text) = ("test.yaml".to_owned(), text.to_owned());
        self.submit(|ticket| Input::ApplyPolicy { ticket, who: "op".into(), file, text, dry_run: false, options })
    }

    /// Puts a policy in force on the switches that take it, and does not wait for the others.
    pub(crate) fn apply_partly(&mut self, text: &str) -> Ticket {
        self.submit_policy(text, fseg_control::ApplyOptions { partial: true, ..Default::default() })
    }

    pub(crate) fn apply(&mut self, text: &str) -> fseg_control::Applied {
        match self.try_apply(text, false) {
            Answer::Applied(applied) => applied,
            other => panic!("{other:?}"),
        }
    }

    // Clients.

    /// Sends a frame by a client's port; what came back to its port and MAC address.
    pub(crate) fn send(&mut self, client: &Client, frame: &[u8]) -> Vec<Vec<u8>> {
        self.net.arrived.clear();
        self.net.send(client.place, frame);
        self.settle();
        let mine = |a: &fseg_test_kit::Arrival| {
            let to = Mac(a.frame[..6].try_into().unwrap());
            a.place == client.place && (to == client.mac || to == Mac::BROADCAST)
        };
        std::mem::take(&mut self.net.arrived).into_iter().filter(mine).map(|a| a.frame).collect()
    }

    /// Sends a DHCP frame; the answer, as `Offer`, `Ack` or `Nak` with the address.
    pub(crate) fn dhcp(&mut self, client: &Client, frame: &[u8]) -> Option<(String, Ipv4Addr)> {
        let replies: Vec<_> = self.send(client, frame).iter().filter_map(|f| dhcp::read(f)).collect();
        replies.into_iter().find(|r| r.mac == client.mac).map(|r| (format!("{:?}", r.kind), r.address))
    }

    /// Gets an address, as a client does that has none.
    pub(crate) fn join(&mut self, client: &mut Client) -> Option<Ipv4Addr> {
        client.address = None;
        let (kind, offered) = self.dhcp(client, &dhcp::discover(client.mac))?;
        assert_eq!(kind, "Offer");
        let (kind, address) = self.dhcp(client, &dhcp::select(client.mac, ROUTER, offered))?;
        if kind == "Ack" {
            assert_eq!(address, offered);
            client.address = Some(address);
        }
        client.address
    }

    pub(crate) fn joined(&mut self, n: u8, place: Location) -> Client {
        let mut client = Client::new(n, place);
        assert!(self.join(&mut client).is_some(), "{client:?} got no address: {:?}", self.messages());
        client
    }

    /// Asks for the router's MAC address, as a client does that is back on the network with the address it had.
    pub(crate) fn speak(&mut self, client: &Client) -> bool {
        let frame = frames::who_has(client.mac, client.ip(), ROUTER);
        !self.send(client, &frame).is_empty()
    }

    pub(crate) fn login_as(&mut self, client: &Client, account: &str, right: bool) -> Answer {
        match self.login_start(client.ip(), account) {
            Some(LoginStart::Check { attempt, .. }) => {
                let address = client.ip();
                self.ask(|ticket| Input::LoginFinished { ticket, address, attempt, verified: right })
            }
            Some(LoginStart::Locked { retry_after }) => {
                Answer::LoginRefused(fseg_admission::LoginRefused::Locked { retry_after })
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn login(&mut self, client: &Client, account: &str) -> Name {
        match self.login_as(client, account, true) {
            Answer::LoggedIn { name, .. } => {
                // A stranger's lease is short, so a client soon asks again, and then gets a long one.
                self.renew(client);
                name
            }
            other => panic!("{other:?}"),
        }
    }

    /// Goes on using its address, as clients do at half the lease's time.
    pub(crate) fn renew(&mut self, client: &Client) {
        let reply = self.dhcp(client, &dhcp::renew(client.mac, ROUTER_MAC, ROUTER, client.ip()));
        assert_eq!(reply, Some(("Ack".into(), client.ip())));
    }

    pub(crate) fn logout(&mut self, client: &Client) -> Answer {
        let address = client.ip();
        self.ask(|ticket| Input::Logout { ticket, address })
    }

    pub(crate) fn link(&mut self, place: Location, up: bool) {
        let message = self.net.switch(place.switch).set_link(place.port, up);
        if let Some(connection) = self.connected.get(&place.switch).copied() {
            self.handle(Input::Message { dpid: place.switch, connection, message: Box::new(message) });
        }
    }

    /// The Internet's next hop answers the node's question.
    pub(crate) fn learn_gateway(&mut self) {
        let ask = fseg_wire::ArpPacket::request(ROUTER_MAC, [203, 0, 113, 2].into(), GATEWAY_ADDRESS);
        self.net.send(GATEWAY, &ask.reply(GATEWAY_MAC).to_frame(GATEWAY_MAC, ROUTER_MAC));
        self.settle();
    }

    // What is seen.

    pub(crate) fn endpoint(&self, mac: Mac) -> Option<(&Endpoint, Standing)> {
        self.controller.endpoints().find(|(e, ..)| e.mac == mac).map(|(e, s, _)| (e, s))
    }

    pub(crate) fn standing(&self, client: &Client) -> Option<Standing> {
        self.endpoint(client.mac).map(|(_, s)| s)
    }

    pub(crate) fn groups(&self, client: &Client) -> MemberSet {
        let session = self.endpoint(client.mac).and_then(|(e, _)| e.session.as_ref());
        session.map(|s| self.controller.groups_of(&s.identity)).unwrap_or_default()
    }

    pub(crate) fn messages(&self) -> Vec<&str> {
        self.events.iter().map(|e| e.message.as_str()).collect()
    }

    /// The messages of a kind since the last look at them.
    pub(crate) fn said(&mut self, kind: EventKind) -> Vec<String> {
        let (those, rest) = std::mem::take(&mut self.events).into_iter().partition(|e: &Event| e.kind == kind);
        self.events = rest;
        those.into_iter().map(|e: Event| e.message).collect()
    }

    /// Whether the first packet of a connection arrives, and arrives where it should only.
    pub(crate) fn reaches(&mut self, from: &Client, to: &Client, flow: Flow) -> bool {
        reaches(&mut self.net.clone(), from, to, flow)
    }

    pub(crate) fn touched(&self) -> usize {
        self.net.switches.values().map(|s| s.touched).sum()
    }

    pub(crate) fn rows(&self) -> usize {
        self.net.switches.values().map(|s| s.tables.len()).sum()
    }

    /// How many rows name this endpoint, on all switches.
    pub(crate) fn rows_of(&self, client: &Client) -> usize {
        let Some((endpoint, _)) = self.endpoint(client.mac) else { return 0 };
        let id = endpoint.id;
        let of = |cookie| match fseg_pipeline::Cookie::from_u64(cookie).map(|c| c.owner) {
            Some(fseg_pipeline::Owner::Endpoint(e) | fseg_pipeline::Owner::Spoof(e)) => e == id,
            _ => false,
        };
        self.net.switches.values().flat_map(|s| s.tables.iter()).filter(|(.., row)| of(row.cookie)).count()
    }
}
