//! The thread that owns the controller and the store.
//!
//! Everything that changes the world passes through here in one order. Inputs that wait are taken together, and what they
//! change is committed once (group commit) before any of it is sent or said.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fseg_admission::LoginStart;
use fseg_control::{Answer, Change, Controller, Effect, Event, Input, Now, Presence, Ticket};
use fseg_model::{Mono, Wall};
use fseg_store::Store;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

use crate::backlog::{Backlog, GivenUp};
use crate::outlets::{Outgoing, Outlets};
use crate::persist;
use crate::proof::{Proofs, Readings};
use crate::recording::Recording;

/// How many inputs may wait. A sender waits for room, and with it the switch or person behind it.
const WAITING: usize = 4096;
/// How many inputs are taken together at most.
const TOGETHER: usize = 512;

type Question = Box<dyn FnOnce(&Controller, Now) + Send>;
type StoreJob = Box<dyn FnOnce(&mut dyn Store) + Send>;

enum Job {
    Input(Input),
    Login { address: Ipv4Addr, account: String, answer: oneshot::Sender<Option<LoginStart>> },
    Ask(Question),
    Store(StoreJob),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoAnswer {
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// What was asked could not be made durable, so it is not acknowledged.
    #[error("the store does not accept changes at the moment; see `fseg health`")]
    NotDurable,
}

/// The process's clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Starts counting.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Now, by both clocks.
    pub fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { wall: Wall(millis(wall)), mono: Mono(millis(self.0.elapsed())) }
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

type Waiters = Arc<Mutex<HashMap<Ticket, oneshot::Sender<Result<Answer, NoAnswer>>>>>;

/// A way to the controller.
#[derive(Clone)]
pub struct Core {
    jobs: mpsc::Sender<Job>,
    waiters: Waiters,
    next_ticket: Arc<AtomicU64>,
    /// The clocks.
    pub clock: Clock,
    /// Proofs of switches.
    pub proofs: Proofs,
    /// Where switches' messages go.
    pub outlets: Outlets,
    store_ok: Arc<AtomicBool>,
    /// The domain names to look out for, as patterns.
    pub domains: Domains,
}

/// Domain patterns of the policy in force.
pub type Domains = Arc<RwLock<Vec<String>>>;

impl Core {
    /// Starts the thread. `on_event` is called for everything that happens, `on_presence` when somebody came, went or got
    /// a name; in order, and neither may block.
    pub fn start(
        controller: Controller,
        store: Box<dyn Store>,
        clock: Clock,
        on_event: Box<dyn Fn(&Event) + Send>,
        on_presence: Box<dyn Fn(&Presence) + Send>,
        recording: Option<Recording>,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (jobs, inbox) = mpsc::channel(WAITING);
        let (proofs, readings) = Proofs::start(clock)?;
        let core = Self {
            jobs,
            waiters: Waiters::default(),
            next_ticket: Arc::default(),
            clock,
            proofs,
            outlets: Outlets::default(),
            store_ok: Arc::new(AtomicBool::new(true)),
            domains: Domains::default(),
        };
        let worker = Worker {
            controller,
            store,
            clock,
            on_event,
            on_presence,
            waiters: core.waiters.clone(),
            readings,
            outlets: core.outlets.clone(),
            store_ok: core.store_ok.clone(),
            domains: core.domains.clone(),
            backlog: Backlog::default(),
            recording,
        };
        let thread = std::thread::Builder::new().name("core".into()).spawn(move || worker.run(inbox))?;
        Ok((core, thread))
    }

    /// True while the store takes changes.
    pub fn store_ok(&self) -> bool {
        self.store_ok.load(Ordering::Relaxed)
    }

    /// Hands in something that happened; waits while too much is waiting already.
    pub async fn input(&self, input: Input) -> Result<(), NoAnswer> {
        self.jobs.send(Job::Input(input)).await.map_err(|_| NoAnswer::Stopping)
    }

    /// Hands in what somebody wants, and waits for the answer.
    pub async fn submit(&self, input: impl FnOnce(Ticket) -> Input) -> Result<Answer, NoAnswer> {
        let ticket = Ticket(self.next_ticket.fetch_add(1, Ordering::Relaxed));
        let (tx, rx) = oneshot::channel();
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, tx);
        // A caller that gives up leaves its waiter behind; this takes it away.
        let _guard = Forget(&self.waiters, ticket);
        self.input(input(ticket)).await?;
        rx.await.unwrap_or(Err(NoAnswer::Stopping))
    }

    /// Takes up a login: which hash to check the password against; `None` when nobody is known at that address.
    pub async fn login_start(&self, address: Ipv4Addr, account: String) -> Result<Option<LoginStart>, NoAnswer> {
        let (answer, rx) = oneshot::channel();
        self.jobs.send(Job::Login { address, account, answer }).await.map_err(|_| NoAnswer::Stopping)?;
        rx.await.map_err(|_| NoAnswer::Stopping)
    }

    /// Asks the controller something. What changes it comes in as an input, so that recordings have it.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Controller, Now) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (tx, rx) = oneshot::channel();
        let job: Question = Box::new(move |controller, now| {
            let _ = tx.send(question(controller, now)); // the asker may be gone
        });
        self.jobs.send(Job::Ask(job)).await.map_err(|_| NoAnswer::Stopping)?;
        rx.await.map_err(|_| NoAnswer::Stopping)
    }

    /// Uses the store, in turn with the controller's commits.
    pub async fn store<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Store) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (tx, rx) = oneshot::channel();
        let job: StoreJob = Box::new(move |store| {
            let _ = tx.send(job(store)); // the asker may be gone
        });
        self.jobs.send(Job::Store(job)).await.map_err(|_| NoAnswer::Stopping)?;
        rx.await.map_err(|_| NoAnswer::Stopping)
    }
}

struct Forget<'a>(&'a Waiters, Ticket);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

struct Worker {
    controller: Controller,
    store: Box<dyn Store>,
    clock: Clock,
    on_event: Box<dyn Fn(&Event) + Send>,
    on_presence: Box<dyn Fn(&Presence) + Send>,
    waiters: Waiters,
    readings: Readings,
    outlets: Outlets,
    store_ok: Arc<AtomicBool>,
    domains: Domains,
    backlog: Backlog,
    recording: Option<Recording>,
}

impl Worker {
    fn run(mut self, mut inbox: mpsc::Receiver<Job>) {
        self.carry_out();
        let mut jobs = Vec::with_capacity(TOGETHER);
        while inbox.blocking_recv_many(&mut jobs, TOGETHER) > 0 {
            let mut questions = Vec::new();
            for job in jobs.drain(..) {
                match job {
                    Job::Input(input) => self.handle(input),
                    Job::Login { address, account, answer } => {
                        let now = self.clock.now();
                        if let Some(recording) = &mut self.recording {
                            recording.login_start(address, &account, now);
                        }
                        // The asker may be gone; an attempt that nobody finishes counts as a wrong password for a while.
                        let _ = answer.send(self.controller.login_start(address, &account, now));
                    }
                    Job::Ask(question) => questions.push(question),
                    Job::Store(job) => job(self.store.as_mut()),
                }
            }
            self.carry_out();
            for question in questions {
                question(&self.controller, self.clock.now());
            }
        }
        info!("the controller has stopped");
    }

    fn handle(&mut self, input: Input) {
        let now = self.clock.now();
        if let Some(recording) = &mut self.recording {
            recording.input(&input, now);
        }
        self.controller.handle(input, now);
    }

    fn carry_out(&mut self) {
        let effects = self.controller.flush();
        if let Some(recording) = &mut self.recording {
            recording.flushed(&effects);
        }
        // Nothing new to write: what waits may be due. Until it is written nothing is acknowledged, for what is said now
        // may rest on it: a confirmed login, a repeated request for an address.
        let mut durable = matches!(effects.first(), Some(Effect::Commit(_))) || self.commit(vec![]);
        let mut outgoing = Outgoing::default();
        let mut answers = Vec::new();
        for effect in effects {
            match effect {
                Effect::Commit(changes) => durable = self.commit(changes),
                Effect::Send { dpid, connection, messages } => outgoing.rows(dpid, connection, messages),
                Effect::Reply { dpid, connection, message } => {
                    if durable {
                        outgoing.reply(dpid, connection, message);
                    }
                }
                Effect::Answer(ticket, answer) => answers.push((ticket, answer)),
                Effect::Event(event) => (self.on_event)(&event),
                Effect::Domains(patterns) => {
                    *self.domains.write().unwrap_or_else(PoisonError::into_inner) = patterns;
                }
                Effect::Presence(presence) => (self.on_presence)(&presence),
                Effect::Tables(tables) => self.readings.offer(*tables),
            }
        }
        self.outlets.deliver(outgoing);
        for (ticket, answer) in answers {
            let waiter = self.waiters.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
            if let Some(waiter) = waiter {
                let answer = if durable { Ok(answer) } else { Err(NoAnswer::NotDurable) };
                let _ = waiter.send(answer); // the asker may be gone
            }
        }
    }

    /// Writes changes, together with those that could not be written before; true when nothing waits any more. What runs
    /// keeps running when the store does not take them; they wait, and nothing that depends on them is acknowledged.
    fn commit(&mut self, mut changes: Vec<Change>) -> bool {
        let now = self.clock.now().mono;
        let batch: Vec<_> = if self.backlog.is_empty() {
            if changes.is_empty() {
                return true;
            }
            changes.iter().map(persist::to_store).collect()
        } else {
            self.backlog.extend(changes.drain(..));
            if !self.backlog.is_due(now) {
                return false;
            }
            self.backlog.changes().map(persist::to_store).collect()
        };
        match self.store.commit(&batch) {
            Ok(()) => {
                let GivenUp { records, audit } = self.backlog.written();
                if records + audit > 0 {
                    error!(records, audit, "too many changes waited for the store; some were given up");
                }
                if !self.store_ok.swap(true, Ordering::Relaxed) {
                    info!(changes = batch.len(), "the store takes changes again");
                }
                true
            }
            Err(e) => {
                if self.store_ok.swap(false, Ordering::Relaxed) {
                    error!(error = %e, "the store does not take changes; traffic goes on, nothing new is acknowledged");
                }
                self.backlog.extend(changes); // none are left where they wait already
                self.backlog.failed(now);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
