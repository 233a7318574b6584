//! Random life: people, devices, operators, switches and the node do what they do in any order. After every step that left
//! nothing under way, the switches hold what the controller wants, a controller made from the records wants the same, and
//! every packet agrees with the policy; and everybody is who the model in `life/model.rs` says, which was told no more than
//! people and operators were.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod kit;
#[path = "life/model.rs"]
mod model;

use std::time::Duration;

use fseg_admission::{Account, Device};
use fseg_control::{Answer, Input, LinkPhase};
use fseg_model::{Dpid, Flow, IpProtocol, Location};
use fseg_openflow::{Body, FlowMod, Message};
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_test_kit::{dhcp, frames};
use model::{Model, Told};

use kit::{Client, NAMED, POLICY, ROUTER, SHARED, SW1, SW2, SWITCHES, World, account, at, device, mac};
use proptest::prelude::*;

/// One thing that happens. Numbers choose among whatever there is, so that every step means something.
#[derive(Debug, Clone)]
enum Step {
    /// The cable goes out here and in there.
    Move(usize, Location),
    /// It turns up there, and nobody saw it leave.
    TurnUp(usize, Location),
    Link(usize, bool),
    /// Its link comes up: it does what clients do then.
    Arrive(usize),
    Join(usize),
    Speak(usize),
    Reboot(usize),
    GiveBack(usize),
    Decline(usize),
    Forge(usize, usize),
    Login(usize, usize, bool),
    Logout(usize),
    Policy(usize),
    PutAccount(usize, usize),
    PutDevice(usize, usize),
    DeleteDevice(usize),
    EndSession(usize),
    Pass(u64),
    RestartNode,
    RestartSwitch(Dpid),
    Disconnect(Dpid),
    Connect(Dpid),
    Cut(Dpid, usize),
    Refuse(Dpid),
    Hold(Dpid),
    Foreign(Dpid, u8),
    /// The link goes away and comes back many times.
    Flap(usize, usize),
    /// What the switches sent to somebody comes back by another port.
    Loop(usize, Location),
    /// It is called at its place and answers there, from now on or no more.
    Answers(usize, bool),
    DeleteAccount(usize),
    /// The process dies in the middle of what the next step leads to: after so many effects.
    Die(usize),
    /// The store takes nothing from now on.
    StoreFails,
    StoreWorks,
    /// The wall clock is set, by seconds.
    Jump(i64),
    /// A switch says what nobody asked for.
    Nonsense(Dpid, usize),
    /// The next barrier replies come late and twice.
    Late(usize),
}

const ACCOUNTS: [&str; 3] = ["anna", "bert", "dora"];
/// MAC numbers: four that may be anybody's, two devices of the list, one with an address of its own.
const CLIENTS: [u8; 7] = [1, 2, 3, 4, 101, 102, 50];
/// What they are called on the device list, where they are on it.
const DEVICES: [&str; 7] = ["g-1", "g-2", "g-3", "g-4", "crm-1", "crm-2", "plc"];
const STATIC: [u8; 4] = [10, 7, 0, 1];
const FLOWS: [Flow; 3] =
    [Flow { protocol: IpProtocol::TCP, port: 80 }, Flow { protocol: IpProtocol::TCP, port: 9100 }, Flow::PING];

fn policies() -> [String; 4] {
    let no_tests = POLICY.split("tests:").next().unwrap().to_owned();
    [
        no_tests.clone(),
        no_tests.replace("  - { id: sales-crm, from: sales, to: crm, services: [web] }\n", ""),
        no_tests.replace("members: [role:dev]", "members: [role:dev, device:crm-1, user:anna]"),
        no_tests.replace("to: crm, services: [web] }", "to: crm, services: [any], expires: \"2027-01-15T09:00:00Z\" }"),
    ]
}

fn place() -> impl Strategy<Value = Location> {
    (prop::sample::select(vec![SW1, SW2]), prop::sample::select(vec![1, 2, 3, 4, NAMED, SHARED]))
        .prop_map(|(s, p)| at(s, p))
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..CLIENTS.len();
    let switch = || prop::sample::select(SWITCHES.to_vec());
    prop_oneof![
        6 => (who(), place()).prop_map(|(n, p)| Step::Move(n, p)),
        3 => (who(), place()).prop_map(|(n, p)| Step::TurnUp(n, p)),
        2 => (who(), any::<bool>()).prop_map(|(n, up)| Step::Link(n, up)),
        5 => who().prop_map(Step::Arrive),
        5 => who().prop_map(Step::Join),
        3 => who().prop_map(Step::Speak),
        2 => who().prop_map(Step::Reboot),
        1 => who().prop_map(Step::GiveBack),
        1 => who().prop_map(Step::Decline),
        1 => (who(), who()).prop_map(|(a, b)| Step::Forge(a, b)),
        6 => (who(), 0..3_usize, prop::bool::weighted(0.8)).prop_map(|(n, a, right)| Step::Login(n, a, right)),
        1 => who().prop_map(Step::Logout),
        3 => (0..4_usize).prop_map(Step::Policy),
        2 => (0..3_usize, 0..3_usize).prop_map(|(a, how)| Step::PutAccount(a, how)),
        2 => (who(), 0..4_usize).prop_map(|(n, how)| Step::PutDevice(n, how)),
        1 => who().prop_map(Step::DeleteDevice),
        1 => who().prop_map(Step::EndSession),
        3 => prop::sample::select(vec![1_u64, 1, 1, 40, 40, 130, 130, 700, 4000, 50_000]).prop_map(Step::Pass),
        2 => Just(Step::RestartNode),
        1 => switch().prop_map(Step::RestartSwitch),
        1 => switch().prop_map(Step::Disconnect),
        3 => switch().prop_map(Step::Connect),
        1 => (switch(), 0..15_usize).prop_map(|(d, n)| Step::Cut(d, n)),
        1 => switch().prop_map(Step::Refuse),
        1 => switch().prop_map(Step::Hold),
        1 => (switch(), 0..12_u8).prop_map(|(d, t)| Step::Foreign(d, t)),
        1 => (who(), 1..8_usize).prop_map(|(n, times)| Step::Flap(n, times)),
        1 => (who(), place()).prop_map(|(n, p)| Step::Loop(n, p)),
        1 => (who(), any::<bool>()).prop_map(|(n, does)| Step::Answers(n, does)),
        1 => (0..3_usize).prop_map(Step::DeleteAccount),
        2 => (0..8_usize).prop_map(Step::Die),
        1 => Just(Step::StoreFails),
        2 => Just(Step::StoreWorks),
        1 => prop::sample::select(vec![-90_000_i64, -4000, -1, 1, 700, 50_000]).prop_map(Step::Jump),
        1 => (switch(), 0..8_usize).prop_map(|(d, kind)| Step::Nonsense(d, kind)),
        1 => (1..6_usize).prop_map(Step::Late),
    ]
}

struct Life {
    w: World,
    clients: Vec<Client>,
    /// How many packets were delivered because the policy permits them.
    permitted: usize,
    model: Model,
    /// Seconds so far.
    passed: u64,
}

impl Life {
    /// An ordinary day: three people at work, a printer, two servers, a controller of machines.
    fn begin() -> Self {
        let mut w = World::office();
        let fixed = Device { address: Some(STATIC.into()), is_static: true, ..device("plc", mac(50)) };
        w.put_device(fixed);
        let places = [at(SW1, 1), at(SW2, 1), at(SW2, SHARED), at(SW1, NAMED), at(SW1, 2), at(SW2, 2), at(SW1, 3)];
        let clients = CLIENTS.iter().zip(places).map(|(n, place)| Client::new(*n, place)).collect();
        let mut life = Self { w, clients, permitted: 0, model: Model::default(), passed: 0 };
        life.clients[6].address = Some(STATIC.into());
        for n in 0..CLIENTS.len() {
            life.arrive(n);
        }
        for (n, who) in ACCOUNTS.iter().enumerate() {
            life.w.login(&life.clients[n].clone(), who);
        }
        for (n, who) in ACCOUNTS.into_iter().enumerate() {
            life.model.account(who, if who == "dora" { &["dev"] } else { &[] }, false, Told::Yes);
            life.model.login(n, who, Told::Yes);
        }
        for n in 4..7 {
            life.model.device(n, Some(false), Told::Yes);
        }
        life.check();
        assert!(life.permitted >= 10, "an ordinary day has traffic: {}", life.permitted);
        life
    }

    /// Switches that are away, dawdle, or have not done everything yet.
    fn under_way(&self) -> bool {
        let done = |(_, s): (Dpid, fseg_control::SwitchStatus<'_>)| s.phase == LinkPhase::Up && s.pending == 0;
        !self.w.held.is_empty() || self.w.connected.len() < SWITCHES.len() || !self.w.controller.switches().all(done)
    }

    /// What the client does when its link comes up: goes on with the address it has, or else asks for one.
    fn arrive(&mut self, n: usize) {
        let client = self.clients[n].clone();
        if client.address.is_none() || (!self.w.speak(&client) && n != 6) {
            self.w.join(&mut self.clients[n]);
        }
    }

    fn take(&mut self, step: &Step) {
        let w = &mut self.w;
        match *step {
            Step::Move(n, to) => {
                w.link(self.clients[n].place, false);
                w.link(self.clients[n].place, true);
                w.link(to, true);
                self.clients[n].place = to;
                self.arrive(n);
            }
            Step::TurnUp(n, to) => {
                self.clients[n].place = to;
                self.arrive(n);
            }
            Step::Link(n, up) => w.link(self.clients[n].place, up),
            Step::Arrive(n) => {
                w.link(self.clients[n].place, true);
                self.arrive(n);
            }
            Step::Join(n) if n != 6 => drop(w.join(&mut self.clients[n])),
            Step::Speak(n)
            | Step::Reboot(n)
            | Step::GiveBack(n)
            | Step::Decline(n)
            | Step::Login(n, ..)
            | Step::Logout(n)
                if self.clients[n].address.is_none() || n == 6 && !matches!(step, Step::Speak(_)) => {}
            Step::Speak(n) => drop(w.speak(&self.clients[n].clone())),
            Step::Reboot(n) => {
                let c = self.clients[n].clone();
                if let Some((kind, _)) = w.dhcp(&c, &dhcp::reboot(c.mac, c.ip()))
                    && kind == "Nak"
                {
                    self.clients[n].address = None;
                }
            }
            Step::GiveBack(n) => {
                let c = self.clients[n].clone();
                w.send(&c, &dhcp::release(c.mac, ROUTER_MAC, ROUTER, c.ip()));
                self.clients[n].address = None;
            }
            Step::Decline(n) => {
                let c = self.clients[n].clone();
                w.send(&c, &dhcp::decline(c.mac, ROUTER, c.ip()));
                self.clients[n].address = None;
            }
            Step::Forge(a, b) => {
                if let Some(address) = self.clients[b].address {
                    let thief = Client { address: Some(address), ..self.clients[a].clone() };
                    w.speak(&thief);
                    let frame = frames::first_of(FLOWS[0], thief.mac, ROUTER_MAC, address, ROUTER);
                    w.send(&thief, &frame);
                }
            }
            Step::Login(n, a, right) => {
                // Whoever logs in has a lease that runs.
                let c = self.clients[n].clone();
                w.dhcp(&c, &dhcp::reboot(c.mac, c.ip()));
                let address = self.clients[n].ip();
                let start = w.login_start(address, ACCOUNTS[a]);
                if let Some(fseg_admission::LoginStart::Check { attempt, .. }) = start {
                    let ticket = w.submit(|ticket| Input::LoginFinished { ticket, address, attempt, verified: right });
                    let told = match w.answers.get(&ticket) {
                        Some(Answer::LoggedIn { .. }) => Told::Yes,
                        Some(_) => Told::No,
                        None if right => Told::Nothing,
                        None => Told::No,
                    };
                    // The address may be another client's by now; the login is for who has it.
                    let mac = w.controller.endpoint_by_address(address.into()).map(|(e, _)| e.mac);
                    let whose = CLIENTS.iter().position(|c| Some(kit::mac(*c)) == mac).unwrap_or(n);
                    self.model.login(whose, ACCOUNTS[a], told);
                    w.dhcp(&c, &dhcp::reboot(c.mac, c.ip()));
                }
            }
            Step::Logout(n) => {
                let address = self.clients[n].ip();
                let mac = w.controller.endpoint_by_address(address.into()).map(|(e, _)| e.mac);
                let ticket = w.submit(|ticket| Input::Logout { ticket, address });
                let told = told(w, ticket);
                if let Some(whose) = CLIENTS.iter().position(|c| Some(kit::mac(*c)) == mac) {
                    self.model.ended(whose, told);
                }
            }
            Step::Policy(k) => {
                let text = policies()[k].clone();
                let file = "p".to_owned();
                let options = fseg_control::ApplyOptions { partial: true, ..Default::default() };
                w.submit(|ticket| Input::ApplyPolicy { ticket, who: "op".into(), file, text, dry_run: false, options });
            }
            Step::PutAccount(a, how) => {
                let roles: &[&str] = if how == 1 { &["dev"] } else { &[] };
                let account = Account { disabled: how == 2, ..account(ACCOUNTS[a], roles) };
                let ticket =
                    w.submit(|ticket| Input::PutAccount { ticket, who: "op".into(), account: Box::new(account) });
                let told = told(w, ticket);
                self.model.account(ACCOUNTS[a], if how == 1 { &["dev"] } else { &[] }, how == 2, told);
            }
            Step::PutDevice(n, how) => {
                let name = DEVICES[n];
                let mut d = device(name, mac(CLIENTS[n]));
                (d.disabled, d.is_static) = (how == 1, n == 6);
                d.address = match how {
                    _ if n == 6 => Some(STATIC.into()),
                    2 => Some([10, 0, 1, 20 + n as u8].into()),
                    3 => Some([10, 0, 1, 5].into()), // whoever has it now
                    _ => None,
                };
                let ticket = w.submit(|ticket| Input::PutDevice { ticket, who: "op".into(), device: Box::new(d) });
                let told = told(w, ticket);
                self.model.device(n, Some(how == 1), told);
            }
            Step::DeleteDevice(n) => {
                let name = kit::name(DEVICES[n]);
                let ticket = w.submit(|ticket| Input::DeleteDevice { ticket, who: "op".into(), name });
                let told = told(w, ticket);
                self.model.device(n, None, told);
            }
            Step::EndSession(n) => {
                if let Some(endpoint) = w.endpoint(self.clients[n].mac).map(|(e, _)| e.id) {
                    let ticket = w.submit(|ticket| Input::EndSession { ticket, who: "op".into(), endpoint });
                    let told = told(w, ticket);
                    self.model.ended(n, told);
                }
            }
            Step::Pass(seconds) => {
                w.pass(Duration::from_secs(seconds));
                // Idle, away, or over: after ten minutes at the earliest.
                self.passed += seconds;
                if self.passed >= 600 {
                    self.model.long_time();
                }
            }
            Step::Flap(n, times) => {
                for _ in 0..times {
                    w.link(self.clients[n].place, false);
                    w.link(self.clients[n].place, true);
                }
                self.arrive(n);
            }
            Step::Loop(n, place) => {
                let Some(address) = self.clients[n].address else { return };
                let back = Client { mac: ROUTER_MAC, place, address: Some(ROUTER) };
                let frame = frames::first_of(FLOWS[0], ROUTER_MAC, self.clients[n].mac, ROUTER, address);
                w.send(&back, &frame);
                let mirror = Client { place, ..self.clients[n].clone() };
                if place != self.clients[n].place {
                    // A real device may be at that very port by now: then this is no mirror but a move.
                    w.answering.insert(mirror.mac, (self.clients[n].place, address));
                    w.speak(&mirror);
                    w.pass(Duration::from_secs(4));
                    w.answering.remove(&mirror.mac);
                }
            }
            Step::Answers(n, does) => {
                let client = &self.clients[n];
                w.answering.remove(&client.mac);
                if let Some(address) = client.address.filter(|_| does) {
                    w.answering.insert(client.mac, (client.place, address));
                }
            }
            Step::DeleteAccount(a) => {
                let name = kit::name(ACCOUNTS[a]);
                let ticket = w.submit(|ticket| Input::DeleteAccount { ticket, who: "op".into(), name });
                let told = told(w, ticket);
                self.model.no_account(ACCOUNTS[a], told);
            }
            Step::Die(effects) => w.dies_after = Some(effects),
            Step::StoreFails => w.store_fails = true,
            Step::StoreWorks => {
                w.store_fails = false;
                w.handle(Input::Tick);
            }
            Step::Jump(seconds) => {
                w.jump(seconds);
                // Wall time counts at the next start.
                self.model.long_time();
            }
            Step::Nonsense(d, kind) => w.say(d, nonsense(kind)),
            Step::Late(n) => w.barriers_late = n,
            Step::RestartNode => w.restart(),
            Step::RestartSwitch(d) => {
                w.disconnect(d);
                w.net.switch(d).restart();
                w.connect(d);
            }
            Step::Disconnect(d) => w.disconnect(d),
            Step::Connect(d) => {
                w.release(d);
                if !w.connected.contains_key(&d) {
                    w.connect(d);
                }
            }
            Step::Cut(d, n) => w.net.switch(d).cut_after = Some(n),
            Step::Refuse(d) => w.net.switch(d).refuse_bundles = 1,
            Step::Hold(d) => w.hold(d),
            Step::Foreign(d, table) => {
                // It is found when the switch is next read.
                w.disconnect(d);
                let mut row = FlowMod::add(table, 65_000);
                row.cookie = 7;
                w.net.switch(d).tables.apply(&row).unwrap();
                w.connect(d);
            }
            Step::Join(_) => {}
        }
    }

    fn check(&mut self) {
        if self.under_way() {
            return;
        }
        self.w.check();
        if self.w.backlog.is_empty() {
            self.check_model();
        }
        if !self.under_way() {
            self.permitted += self.w.check_delivery(&self.clients.clone(), &FLOWS);
        }
    }

    /// Everybody who is attached is somebody that it may be.
    fn check_model(&self) {
        for (n, c) in self.clients.iter().enumerate() {
            let Some((e, _)) = self.w.endpoint(c.mac) else { continue };
            let Some(binding) = &e.binding else { continue };
            let place = self.w.config.place(binding.location).unwrap();
            let named = (binding.location.port.0 == NAMED).then(|| place.to_string());
            let subject = e.session.as_ref().map(|s| s.identity.subject.clone());
            let may_be = self.model.may_be(n, DEVICES[n], named.as_deref());
            assert!(may_be.contains(&subject), "{c:?} is {subject:?} and may be {may_be:?}: {:?}", self.model);
            if let Some(session) = &e.session {
                assert!(
                    self.model.right_roles(&session.identity),
                    "{c:?} has {:?}: {:?}",
                    session.identity,
                    self.model
                );
            }
        }
    }

    /// In the end everything that broke is mended, and everything is as it should be.
    fn end(&mut self) {
        self.w.dies_after = None;
        self.take(&Step::StoreWorks);
        for dpid in SWITCHES {
            let switch = self.w.net.switch(dpid);
            (switch.cut_after, switch.refuse_bundles) = (None, 0);
            self.take(&Step::Connect(dpid));
        }
        self.w.pass(Duration::from_secs(120));
        assert!(!self.under_way(), "it never comes to rest");
        self.check();
        self.w.check_replay();
        let waiting = |a: &Answer| matches!(a, Answer::Applied(applied) if applied.version == 0);
        assert!(!self.w.answers.values().any(waiting));
    }
}

/// What an operator was told, or who logged out.
fn told(w: &World, ticket: fseg_control::Ticket) -> Told {
    match w.answers.get(&ticket) {
        Some(Answer::Done(_)) => Told::Yes,
        Some(_) => Told::No,
        None => Told::Nothing,
    }
}

/// Messages that follow from nothing.
fn nonsense(kind: usize) -> Message {
    use fseg_openflow::multipart::MultipartReply;
    use fseg_openflow::{Answer as Reply, ErrorMessage, Match, PacketIn, Port, PortReason, PortStatus};
    let packet = |table, cookie, in_port: u32, data: Vec<u8>| {
        Body::PacketIn(PacketIn {
            buffer_id: u32::MAX,
            total_len: data.len() as u16,
            reason: 0,
            table,
            cookie,
            matches: Match::new().with(fseg_openflow::Field::InPort, in_port),
            data,
        })
    };
    let first_packet = fseg_pipeline::Cookie {
        owner: fseg_pipeline::Owner::System(fseg_pipeline::cookie::SystemRow::FirstPacket),
        round: 9,
    };
    let body = match kind {
        0 => Body::BarrierReply,
        1 => Body::Error(ErrorMessage { type_: 999, code: 7, data: vec![1; 12] }),
        2 => Body::MultipartReply(MultipartReply { more: false, answer: Reply::PortDesc(vec![]) }),
        3 => Body::MultipartReply(MultipartReply { more: true, answer: Reply::Flow(vec![]) }),
        4 => Body::PortStatus(PortStatus { reason: PortReason::Add, port: Port { port_no: 77, ..Port::default() } }),
        5 => packet(0, 0, 1, vec![0xff; 60]),
        6 => packet(1, first_packet.to_u64(), 9999, vec![0; 14]),
        _ => packet(1, first_packet.to_u64(), 1, vec![8; 3]),
    };
    Message { xid: 0x8000_0003 + kind as u32, body }
}

fn live(steps: &[Step]) {
    let mut life = Life::begin();
    for step in steps {
        life.take(step);
        life.check();
    }
    life.end();
}

/// Twenty lives are some seconds; set FSEG_LIVES for a longer search.
fn cases() -> u32 {
    std::env::var("FSEG_LIVES").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn random_life(steps in prop::collection::vec(step(), 1..60)) {
        live(&steps);
    }
}

/// A device whose session an operator ended is a stranger after a restart as well, until it speaks.
#[test]
fn an_ended_session_stays_ended_over_a_restart() {
    live(&[Step::Arrive(4), Step::EndSession(4), Step::RestartNode, Step::Speak(4)]);
}
