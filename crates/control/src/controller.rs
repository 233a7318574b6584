//! The controller: its state, and the way of every input through it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use fseg_address::AddressBook;
use fseg_admission::{Admission, Names, SessionClock};
use fseg_model::{ClassId, Dpid, Endpoint, EndpointId, Location, Mono, Name, Wall};
use fseg_openflow::{Body, Message};
use fseg_pipeline::{Delta, Fabric, Owner};
use fseg_policy::Policy;

use serde::{Deserialize, Serialize};

use crate::change::{Applying, Request, Versions};
use crate::config::SiteConfig;
use crate::denied::Recent;
use crate::discovery::Questions;
use crate::domain::LearnedAddresses;
use crate::effect::{Answer, Effect, Event, EventKind, Presence, Ticket};
use crate::external::NextHop;
use crate::input::Input;
use crate::link::{Link, LinkNews, LinkPhase};
use crate::moves::Moves;
use crate::multicast::Memberships;
use crate::record::{Change, NumberKind, PolicyVersion, Record};
use crate::resume::Resuming;
use crate::world::{Classes, Endpoints, Known};

/// Both times at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// For people and storage.
    pub wall: Wall,
    /// For deadlines.
    pub mono: Mono,
}

/// How much a permit was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Packets, on every switch that judged them.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// When it last counted.
    pub last: Option<Wall>,
}

/// Why a controller cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The address configuration, or a device's fixed address.
    #[error("addresses: {0}")]
    Address(#[from] fseg_address::ConfigError),
    /// Accounts, devices or rules that contradict each other.
    #[error("accounts and devices: {0}")]
    Admission(#[from] fseg_admission::ManageError),
}

struct Waiting {
    ticket: Ticket,
    answer: Answer,
    /// What must still be confirmed, by switch and barrier.
    on: BTreeSet<(Dpid, u32)>,
    /// Switches that will not confirm for now.
    missing: BTreeSet<Dpid>,
    since: Mono,
}

/// The controller of one site.
pub struct Controller {
    pub(crate) config: SiteConfig,
    pub(crate) fabric: Fabric,
    pub(crate) policy: Policy,
    pub(crate) version: Option<PolicyVersion>,
    pub(crate) policy_broken: Option<String>,
    pub(crate) admission: Admission,
    pub(crate) names: Names,
    pub(crate) book: AddressBook,
    pub(crate) endpoints: Endpoints,
    pub(crate) classes: Classes,
    pub(crate) permit_numbers: BTreeMap<Name, u32>,
    /// The place of each permit on trial, by number.
    pub(crate) trial_places: BTreeMap<u32, u16>,
    /// Positions in the policy of the permits that name a group or external.
    pub(crate) permits_of: HashMap<Name, Vec<usize>>,
    /// The rows of all permits are made anew before the next flush: no need to make some of them now.
    pub(crate) all_permits_follow: bool,
    pub(crate) usage: HashMap<u32, Usage>,
    /// Permits whose usage is to be committed.
    pub(crate) used: BTreeSet<u32>,
    next_usage: Mono,
    pub(crate) links: BTreeMap<Dpid, Link>,
    pub(crate) denied: Recent,
    pub(crate) round: u16,
    pub(crate) next_endpoint: u32,
    pub(crate) changes: Vec<Change>,
    pub(crate) replies: Vec<(Dpid, u64, Message)>,
    pub(crate) answers: Vec<(Ticket, Answer)>,
    pub(crate) in_force: Vec<(Ticket, Answer)>,
    pub(crate) events: Vec<Event>,
    pub(crate) now: Now,
    pub(crate) outgoing: Vec<(Dpid, u64, Vec<Message>)>,
    pub(crate) moves: Moves,
    pub(crate) resuming: Resuming,
    waiting: VecDeque<Waiting>,
    next_poll: Mono,
    next_sweep: Mono,
    pub(crate) next_expiry: Option<Wall>,
    pub(crate) next_ask: Mono,
    /// Where endpoints were last seen, for saying that they moved.
    pub(crate) last_place: HashMap<EndpointId, Location>,
    /// Where admitted endpoints were last, as it is committed.
    pub(crate) places: HashMap<EndpointId, Location>,
    /// Outside addresses learned by name.
    pub(crate) learned: LearnedAddresses,
    /// The domain names to look out for are to be handed out.
    pub(crate) domains_changed: bool,
    /// Who asked whom by multicast.
    pub(crate) questions: Questions,
    /// Who wants which stream.
    pub(crate) memberships: Memberships,
    /// Endpoints whose presence changed since the last flush.
    pub(crate) touched: BTreeSet<EndpointId>,
    /// When each exit's next hop last answered, and since when somebody else claims to be it.
    pub(crate) next_hops: BTreeMap<Location, NextHop>,
    /// Classes that stand for outside networks now.
    pub(crate) external_classes: BTreeSet<ClassId>,
    /// A policy on its way into force.
    pub(crate) applying: Option<Applying>,
    /// All kept versions of the policy.
    pub(crate) versions: Versions,
    /// When permits' rows last counted, for saying who talks now.
    pub(crate) talking: HashMap<(Dpid, fseg_pipeline::RowKey), Mono>,
    /// Readings that are to be proved.
    pub(crate) tables: Vec<crate::prove::Tables>,
}

/// How long an answer waits for switches before it is given anyway, with the row changes still under way.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the usage of permits is committed: a crash forgets at most this much of it.
const SAVE_USAGE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2000);
/// How often sessions and those away are looked at.
const SWEEP: Duration = Duration::from_secs(1);

impl Controller {
    /// A controller with what was committed before. The changes of the first [`Controller::flush`] include this start's
    /// round.
    pub fn new(config: SiteConfig, records: Vec<Record>, now: Now) -> Result<Self, StartError> {
        let mut fabric = crate::external::fabric(&config);
        let mut accounts = Vec::new();
        let mut devices = Vec::new();
        let mut leases = Vec::new();
        let mut stored = Vec::new();
        let (mut learned, mut memberships, mut places) = (Vec::new(), Vec::new(), HashMap::new());
        let mut versions = Versions::default();
        let mut classes = Classes::default();
        let mut permit_numbers = BTreeMap::new();
        let mut usage = HashMap::new();
        let (mut round, mut next_endpoint) = (0_u16, 1_u32);
        for record in records {
            match record {
                Record::Endpoint(e) => stored.push(*e),
                Record::Lease(l) => leases.push(l),
                Record::Account(a) => accounts.push(a),
                Record::Device(d) => devices.push(d),
                Record::Policy(p) => versions.load(p),
                Record::Class(c) => classes.load(c),
                Record::Learned(l) => learned.push(l),
                Record::Memberships { endpoint, groups } => memberships.push((endpoint, groups)),
                Record::LastPlace { endpoint, place } => {
                    places.insert(endpoint, place);
                }
                Record::Usage { permit, usage: stored } => {
                    usage.insert(permit, stored);
                }
                Record::Neighbour { place, address, mac } => {
                    crate::external::known_neighbour(&mut fabric, place, address, mac);
                }
                Record::Number { kind: NumberKind::Permit, name, number } => {
                    if let Ok(name) = Name::new(&name) {
                        permit_numbers.insert(name, number);
                    }
                }
                Record::Number { kind: NumberKind::Endpoint, number, .. } => next_endpoint = next_endpoint.max(number),
                Record::Number { kind: NumberKind::Round, number, .. } => round = number as u16,
            }
        }
        let round = round.wrapping_add(1).max(1);
        let mut address = config.address.clone();
        crate::manage::fixed_addresses(&mut address, &devices);
        let book = AddressBook::new(address, leases, now.wall, now.mono)?;
        let admission = Admission::new(config.admission.clone(), accounts, devices, config.locations.clone())?;
        let mut names = Names::new();
        names.reserve(admission.reserved_names());
        let mut this = Self {
            links: config.switches.iter().map(|s| (s.dpid, Link::new(s.protocol))).collect(),
            fabric,
            policy: Policy::empty(),
            version: None,
            policy_broken: None,
            admission,
            names,
            book,
            endpoints: Endpoints::default(),
            classes,
            permit_numbers,
            trial_places: BTreeMap::new(),
            permits_of: HashMap::new(),
            all_permits_follow: true,
            usage,
            used: BTreeSet::new(),
            next_usage: now.mono.plus(SAVE_USAGE),
            denied: Recent::default(),
            round,
            next_endpoint,
            changes: Vec::new(),
            replies: Vec::new(),
            answers: Vec::new(),
            in_force: Vec::new(),
            events: Vec::new(),
            now,
            outgoing: Vec::new(),
            moves: Moves::default(),
            resuming: Resuming::default(),
            waiting: VecDeque::new(),
            next_poll: now.mono.plus(POLL),
            next_sweep: now.mono,
            next_expiry: None,
            next_ask: now.mono,
            last_place: places.clone(),
            places,
            learned: LearnedAddresses::default(),
            domains_changed: true,
            questions: Questions::default(),
            memberships: Memberships::default(),
            next_hops: BTreeMap::new(),
            external_classes: BTreeSet::new(),
            touched: BTreeSet::new(),
            applying: None,
            versions,
            talking: HashMap::new(),
            tables: Vec::new(),
            config,
        };
        this.put(Record::Number { kind: NumberKind::Round, name: "node".into(), number: u32::from(round) });
        this.undo_pending_version();
        if let Some(v) = this.versions.in_force().cloned() {
            this.load_policy(v);
        }
        for e in stored {
            this.restore(e);
        }
        for dpid in this.links.keys().copied().collect::<Vec<_>>() {
            this.refresh_system(dpid);
        }
        for l in learned {
            this.restore_learned(l);
        }
        for (endpoint, groups) in memberships {
            this.restore_memberships(endpoint, groups);
        }
        this.refresh_externals();
        this.names_replaced();
        this.refresh_all_permits();
        Ok(this)
    }

    /// An endpoint from an earlier start: it keeps its name, place and session; what ran keeps running.
    fn restore(&mut self, mut endpoint: Endpoint) {
        let wall = self.now.wall;
        let stored = endpoint.clone();
        let over = endpoint.session.as_ref().is_some_and(|s| s.until.is_some_and(|u| u <= wall));
        // A place that the configuration no longer has, or where nobody is admitted any more.
        let admits = |l: Location| {
            let port = self.config.switch(l.switch).and_then(|s| s.port(l.port));
            port.is_some_and(|p| p.kind.admits())
        };
        if endpoint.binding.as_ref().is_some_and(|b| !admits(b.location)) {
            endpoint.binding = None;
        }
        let place = endpoint.binding.as_ref().map(|b| b.location);
        if let Some(name) = &endpoint.name {
            self.names.restore(name, endpoint.mac);
        }
        let settings = &self.config.admission;
        let clock = endpoint.session.as_ref().map(|s| SessionClock::resume(s, settings, self.now.mono, wall));
        let away = endpoint.binding.is_none().then_some(self.now.mono);
        let id = endpoint.id;
        self.next_endpoint = self.next_endpoint.max(id.0 + 1);
        self.endpoints.insert(Known {
            endpoint,
            class: None,
            active: self.now.mono,
            away,
            clock,
            forged: 0,
            counted: 0,
        });
        if over {
            self.end_session(id, "its time was over");
        } else if let Some(place) = place.filter(|_| stored.session.is_some()) {
            // The configuration may have other location rules than before. Strangers are asked for when they speak.
            self.recognise(id, place);
        }
        self.refresh_endpoint(id);
        if self.endpoints.get(id).is_some_and(|k| k.endpoint != stored) {
            self.save_endpoint(id);
        }
    }

    /// Takes in one thing that happened.
    pub fn handle(&mut self, input: Input, now: Now) {
        self.now = now;
        match input {
            Input::Connected { dpid, connection } => self.connected(dpid, connection),
            Input::Disconnected { dpid, connection } => self.disconnected(dpid, connection),
            Input::Message { dpid, connection, message } => self.message(dpid, connection, *message),
            Input::LoginFinished { ticket, address, attempt, verified } => {
                self.login_finished(ticket, address, attempt, verified);
            }
            Input::Logout { ticket, address } => self.logout(ticket, address),
            Input::EndSession { ticket, who, endpoint } => self.end_by_operator(ticket, &who, endpoint),
            Input::ApplyPolicy { ticket, who, file, text, dry_run, options } => {
                self.apply(Request { ticket, who, file, text, options }, dry_run);
            }
            Input::PutAccount { ticket, who, account } => self.put_account(ticket, &who, *account),
            Input::DeleteAccount { ticket, who, name } => self.delete_account(ticket, &who, &name),
            Input::PutDevice { ticket, who, device } => self.put_device(ticket, &who, *device),
            Input::DeleteDevice { ticket, who, name } => self.delete_device(ticket, &who, &name),
            Input::Resolved { ticket, asker, name, addresses } => self.resolved(ticket, asker, &name, &addresses),
            Input::Compare { dpid } => self.compare_tables(dpid),
            Input::Prove { dpid } => self.prove(dpid),
            Input::Proved { dpid, different, first } => self.proved(dpid, different, first),
            Input::Tick => self.tick(),
        }
    }

    /// Hands out what must be done for everything handled since the last call: commits, rows, then whatever may only be
    /// said when both are done.
    pub fn flush(&mut self) -> Vec<Effect> {
        self.refresh_streams();
        let mut out = Vec::new();
        let mut confirming = BTreeSet::new();
        for (dpid, link) in &mut self.links {
            if let Some(messages) = link.take(self.round) {
                self.outgoing.push((*dpid, link.connection, messages));
            }
            // An answer that needs no rows of its own may rest on rows that are still under way.
            confirming.extend(link.awaited().map(|barrier| (*dpid, barrier)));
        }
        // May end a change of policy, which is then part of this commit.
        self.change_sent();
        if !self.changes.is_empty() {
            out.push(Effect::Commit(std::mem::take(&mut self.changes)));
        }
        if std::mem::take(&mut self.domains_changed) {
            out.push(Effect::Domains(self.policy.domain_patterns()));
        }
        for id in std::mem::take(&mut self.touched) {
            out.push(Effect::Presence(self.presence(id)));
        }
        for (dpid, connection, messages) in self.outgoing.drain(..) {
            out.push(Effect::Send { dpid, connection, messages });
        }
        for (dpid, connection, message) in self.replies.drain(..) {
            out.push(Effect::Reply { dpid, connection, message });
        }
        for (ticket, answer) in std::mem::take(&mut self.in_force) {
            let down = self.links.iter().filter(|(_, l)| l.phase != LinkPhase::Up).map(|(dpid, _)| *dpid);
            let waiting =
                Waiting { ticket, answer, on: confirming.clone(), missing: down.collect(), since: self.now.mono };
            if waiting.on.is_empty() {
                let answer = self.told(waiting);
                self.answers.push(answer);
            } else {
                self.waiting.push_back(waiting);
            }
        }
        for (ticket, answer) in self.answers.drain(..) {
            out.push(Effect::Answer(ticket, answer));
        }
        for event in self.events.drain(..) {
            out.push(Effect::Event(event));
        }
        out.extend(self.take_tables());
        out
    }

    pub(crate) fn push_outgoing(&mut self, dpid: Dpid, connection: u64, messages: Vec<Message>) {
        self.outgoing.push((dpid, connection, messages));
    }

    fn presence(&self, id: EndpointId) -> Presence {
        let endpoint = self.endpoints.get(id).map(|k| &k.endpoint);
        Presence {
            id,
            name: endpoint.and_then(|e| e.name.clone()),
            addresses: endpoint.and_then(|e| e.binding.as_ref()).map(|b| b.addresses.clone()).unwrap_or_default(),
            admitted: endpoint.is_some_and(|e| e.session.is_some()),
        }
    }

    fn tick(&mut self) {
        let mono = self.now.mono;
        let timed_out = self.waiting.iter().take_while(|w| mono.since(w.since) >= CONFIRM_TIMEOUT).count();
        for mut w in self.waiting.drain(..timed_out).collect::<Vec<_>>() {
            w.missing.extend(w.on.iter().map(|(dpid, _)| *dpid));
            let answer = self.told(w);
            self.answers.push(answer);
        }
        self.change_tick();
        for (dpid, link) in &mut self.links {
            if link.phase != LinkPhase::Down && link.resync_at.is_some_and(|at| at <= mono) {
                let messages = link.read();
                self.outgoing.push((*dpid, link.connection, messages));
            }
        }
        if self.next_poll <= mono {
            self.next_poll = mono.plus(POLL);
            for (dpid, link) in &mut self.links {
                let messages = link.poll();
                if !messages.is_empty() {
                    self.outgoing.push((*dpid, link.connection, messages));
                }
            }
        }
        for change in self.book.expire(self.now.mono, self.now.wall) {
            self.lease_changed(change);
        }
        if self.next_usage <= mono {
            self.next_usage = mono.plus(SAVE_USAGE);
            for permit in std::mem::take(&mut self.used) {
                let usage = self.usage.get(&permit).copied().unwrap_or_default();
                self.put(Record::Usage { permit, usage });
            }
        }
        if self.next_sweep <= mono {
            self.next_sweep = mono.plus(SWEEP);
            self.sweep();
        }
        self.sweep_learned();
        self.sweep_memberships();
        self.ask_movers();
        self.expire_permits();
        self.ask_gateways();
    }

    /// Forgets who has been away for long: records and names must not grow with every device that ever passed by.
    /// Ends sessions whose time is over, and forgets who has been away for long.
    fn sweep(&mut self) {
        let mono = self.now.mono;
        let due = self.endpoints.take_due(mono);
        self.expire_sessions(&due);
        let gone = due.iter().copied().filter(|id| {
            let at = self.endpoints.get(*id).and_then(crate::world::Known::forgotten_at);
            at.is_some_and(|at| at <= mono)
        });
        for id in gone.collect::<Vec<_>>() {
            self.forget(id);
        }
        // Whoever stays has another time now, and is in the queue by having been changed; the rest goes back to it.
        self.endpoints.queue_again(&due);
    }

    fn forget(&mut self, id: EndpointId) {
        if let Some(known) = self.endpoints.remove(id) {
            self.names.release(known.endpoint.mac);
        }
        self.touched.insert(id);
        self.last_place.remove(&id);
        self.forget_place(id);
        self.stream_party_changed(id);
        self.moves.forget(id);
        self.resuming.forget(id);
        self.delete(crate::record::RecordKey::Endpoint(id));
    }

    fn connected(&mut self, dpid: Dpid, connection: u64) {
        let wall = self.now.wall;
        if let Some(link) = self.links.get_mut(&dpid) {
            let messages = link.connected(connection, wall);
            self.outgoing.push((dpid, connection, messages));
        }
    }

    fn disconnected(&mut self, dpid: Dpid, connection: u64) {
        let Some(link) = self.links.get_mut(&dpid) else { return };
        if link.connection != connection || link.phase == LinkPhase::Down {
            return; // an older connection of a switch that is back already
        }
        link.disconnected();
        for w in &mut self.waiting {
            // It will be told when it is back; nobody waits for that.
            let before = w.on.len();
            w.on.retain(|(d, _)| *d != dpid);
            if w.on.len() < before {
                w.missing.insert(dpid);
            }
        }
        self.settle();
        self.change_lost(dpid);
        let name = self.config.switch_name(dpid);
        self.event(EventKind::Switch, format!("switch {name} is disconnected; it keeps its tables"), |_| {});
    }

    /// The answer, with the switches that have not confirmed where it is about all of them.
    fn told(&self, waiting: Waiting) -> (Ticket, Answer) {
        let Waiting { ticket, answer, .. } = waiting;
        (ticket, answer)
    }

    fn settle(&mut self) {
        let mut i = 0;
        while i < self.waiting.len() {
            if self.waiting[i].on.is_empty() {
                if let Some(w) = self.waiting.remove(i) {
                    let answer = self.told(w);
                    self.answers.push(answer);
                }
            } else {
                i += 1;
            }
        }
    }

    fn message(&mut self, dpid: Dpid, connection: u64, message: Message) {
        let (mono, round) = (self.now.mono, self.round);
        let Some(link) = self.links.get_mut(&dpid).filter(|l| l.connection == connection) else { return };
        if let Body::PacketIn(packet) = &message.body {
            self.packet_in(dpid, packet);
            return;
        }
        let (news, messages) = link.receive(&message, mono, round);
        if !messages.is_empty() {
            self.outgoing.push((dpid, connection, messages));
        }
        for n in news {
            self.news(dpid, n);
        }
    }

    fn news(&mut self, dpid: Dpid, news: LinkNews) {
        let name = self.config.switch_name(dpid);
        match news {
            LinkNews::Repaired { intact, added, removed, foreign } => {
                let foreign = if foreign > 0 { format!(", {foreign} of them foreign") } else { String::new() };
                self.event(
                    EventKind::Switch,
                    format!(
                        "switch {name} is connected: {intact} rows intact, {added} added, {removed} removed{foreign}"
                    ),
                    |_| {},
                );
                self.check_ports(dpid);
            }
            LinkNews::Confirmed { xid } => {
                for w in &mut self.waiting {
                    w.on.remove(&(dpid, xid));
                }
                self.settle();
                self.change_confirmed(dpid, xid);
            }
            LinkNews::Failed { message } => {
                self.event(EventKind::Switch, format!("switch {name} refused a change: {message}"), |_| {});
                self.change_refused(dpid, &message);
            }
            LinkNews::Learned(profile) => self.switch_learned(dpid, profile),
            LinkNews::Refused { owner, table, error } => {
                let (kind, id) = self.owner_label(owner);
                let text = format!(
                    "switch {name} refused a row of {kind} {id} in its table {table}: {error}; it is tried again"
                );
                self.event(EventKind::Switch, text, |_| {});
            }
            LinkNews::Prepared => self.switch_prepared(dpid),
            LinkNews::Unprepared { message, owner, row } => {
                self.switch_unprepared(dpid, &message, owner, row.as_deref())
            }
            LinkNews::Port { number, up } => self.port_changed(Location { switch: dpid, port: number }, up),
            LinkNews::Proof { rows, quiet } => self.tables_read(dpid, rows, quiet),
            LinkNews::Counted(rows) => self.counted(dpid, &rows),
        }
    }

    // What several parts use.

    pub(crate) fn put(&mut self, record: Record) {
        self.changes.push(Change::Put(record));
    }

    pub(crate) fn delete(&mut self, key: crate::record::RecordKey) {
        self.changes.push(Change::Delete(key));
    }

    pub(crate) fn audit(&mut self, who: &str, what: &str, detail: serde_json::Value) {
        self.changes.push(Change::Audit { at: self.now.wall, who: who.into(), what: what.into(), detail });
    }

    pub(crate) fn event(&mut self, kind: EventKind, message: impl Into<String>, with: impl FnOnce(&mut Event)) {
        let mut event = Event::new(self.now.wall, kind, message);
        with(&mut event);
        self.events.push(event);
    }

    pub(crate) fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.answers.push((ticket, answer));
    }

    /// Puts rows of one owner on one switch in order.
    pub(crate) fn set_rows(&mut self, dpid: Dpid, owner: Owner, rows: Vec<fseg_pipeline::Row>) {
        let Some(link) = self.links.get_mut(&dpid) else { return };
        let rows = match self.fabric.switch(dpid).map(|s| &s.profile) {
            Some(profile) if profile.plain().is_some() => {
                let (rows, misfits) = profile.fit(rows);
                link.set_misfits(owner, misfits);
                rows
            }
            _ => rows,
        };
        let delta: Delta = link.desired.replace(owner, rows);
        link.change(delta);
    }

    pub(crate) fn save_endpoint(&mut self, id: EndpointId) {
        if let Some(known) = self.endpoints.get(id) {
            let record = Record::Endpoint(Box::new(known.endpoint.clone()));
            self.put(record);
        }
    }

    /// How an endpoint is called in sentences.
    pub(crate) fn label(&self, id: EndpointId) -> String {
        match self.endpoints.get(id) {
            Some(k) => k.endpoint.name.as_ref().map_or_else(|| k.endpoint.mac.to_string(), ToString::to_string),
            None => format!("endpoint {id}"),
        }
    }

    /// How an address is called in sentences.
    pub(crate) fn label_of_address(&self, address: IpAddr) -> String {
        if IpAddr::V4(self.config.router) == address {
            return "node".into();
        }
        if let Some(id) = self.endpoints.by_address(address) {
            return self.label(id);
        }
        if let IpAddr::V4(v4) = address
            && let Some(name) = self.learned.names_of(v4).next()
        {
            return format!("{name} ({address})");
        }
        let externals = self.policy.named_by(address);
        match externals.first() {
            Some(name) => format!("{name} ({address})"),
            None => address.to_string(),
        }
    }
}
