//! Proving, again and again, that switches treat packets as the policy says.
//!
//! The controller hands over a switch's rows with the facts of the same moment; a thread of its own compares them
//! ([`fseg_verify`]). One switch at a time, and the pause between two is at least twenty times what the last one took: at
//! most a twentieth of one core.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fseg_control::{Input, Tables};
use fseg_model::{Dpid, Wall};
use fseg_verify::{Report, Verifier};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::core::{Clock, Core, NoAnswer};
use crate::http::{Shutdown, stopped};

/// The shortest pause between two proofs.
const PAUSE: Duration = Duration::from_secs(10);
/// A proof takes at most one part in so many of the time.
const SHARE: u32 = 20;
/// A switch that does not hand over its rows in this time is left for later.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a reading is begun again when changes come in between.
const ATTEMPTS: usize = 10;
const AGAIN: Duration = Duration::from_millis(300);

/// What came of one proof.
#[derive(Debug, Clone)]
pub struct Proof {
    /// When.
    pub at: Wall,
    /// How long the comparison took.
    pub took: Duration,
    /// The result, or why there is none.
    pub result: Result<Arc<Report>, String>,
    /// There is no result, and there will be none as things are: the last one does not count any more.
    pub lasting: bool,
}

#[derive(Default)]
struct Inner {
    waiting: HashMap<Dpid, Vec<oneshot::Sender<Proof>>>,
    last: BTreeMap<Dpid, Proof>,
}

/// Proofs under way and the last one of each switch.
#[derive(Clone, Default)]
pub struct Proofs(Arc<Mutex<Inner>>);

/// Where the controller's thread puts readings.
pub struct Readings {
    proofs: Proofs,
    jobs: SyncSender<Tables>,
    clock: Clock,
}

impl Proofs {
    /// Starts the thread that compares. It ends when the [`Readings`] are gone.
    pub fn start(clock: Clock) -> std::io::Result<(Self, Readings)> {
        let proofs = Self::default();
        let (jobs, inbox) = sync_channel(1);
        let worker = proofs.clone();
        std::thread::Builder::new().name("proof".into()).spawn(move || worker.run(&inbox, clock))?;
        Ok((proofs.clone(), Readings { proofs, jobs, clock }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, inbox: &Receiver<Tables>, clock: Clock) {
        let mut verifiers: HashMap<Dpid, Verifier> = HashMap::new();
        while let Ok(tables) = inbox.recv() {
            let Tables { dpid, read } = tables;
            let begun = Instant::now();
            let mut lasting = false;
            let result = read.and_then(|read| {
                if let Some(why) = read.facts.beyond(dpid) {
                    lasting = true;
                    return Err(why);
                }
                let verifier = verifiers.entry(dpid).or_default();
                Ok(Arc::new(verifier.verify(&read.facts, dpid, &read.rows, Some(&read.desired))))
            });
            self.finished(dpid, Proof { at: clock.now().wall, took: begun.elapsed(), result, lasting });
        }
    }

    fn finished(&self, dpid: Dpid, proof: Proof) {
        let mut inner = self.lock();
        for waiter in inner.waiting.remove(&dpid).unwrap_or_default() {
            let _ = waiter.send(proof.clone()); // the asker may be gone
        }
        // A reading that could not be made just then says nothing about the last one.
        if proof.result.is_ok() || proof.lasting || !inner.last.contains_key(&dpid) {
            inner.last.insert(dpid, proof);
        }
    }

    /// The last proof of each switch.
    pub fn last(&self) -> Vec<(Dpid, Proof)> {
        self.lock().last.iter().map(|(dpid, p)| (*dpid, p.clone())).collect()
    }

    fn wait(&self, dpid: Dpid) -> oneshot::Receiver<Proof> {
        let (tx, rx) = oneshot::channel();
        let mut inner = self.lock();
        let list = inner.waiting.entry(dpid).or_default();
        list.retain(|w| !w.is_closed());
        list.push(tx);
        rx
    }
}

impl Readings {
    /// Hands over a reading; never blocks.
    pub fn offer(&self, tables: Tables) {
        if let Err(TrySendError::Full(tables) | TrySendError::Disconnected(tables)) = self.jobs.try_send(tables) {
            let busy = Err("other switches are being proved".to_owned());
            let proof = Proof { at: self.clock.now().wall, took: Duration::ZERO, result: busy, lasting: false };
            self.proofs.finished(tables.dpid, proof);
        }
    }
}

impl Core {
    /// Reads a switch and proves what it holds. A difference is looked at twice before it is said, since a permit may have
    /// expired just then; then the switch is read again and put right.
    pub async fn prove(&self, dpid: Dpid) -> Result<Proof, NoAnswer> {
        let mut doubted = false;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let answer = self.proofs.wait(dpid);
            self.input(Input::Prove { dpid }).await?;
            let proof = match tokio::time::timeout(PATIENCE, answer).await {
                Ok(Ok(proof)) => proof,
                _ => {
                    let result = Err(format!("it did not hand over its rows within {} seconds", PATIENCE.as_secs()));
                    return Ok(Proof { at: self.clock.now().wall, took: Duration::ZERO, result, lasting: false });
                }
            };
            match &proof.result {
                Ok(report) if report.is_proved() => return Ok(proof),
                Ok(report) if doubted => {
                    let first = report.findings.first().map(|f| {
                        let packet = f.packet.as_ref().map_or_else(|| f.inputs.clone(), ToString::to_string);
                        format!("in {}, expected: {}, found: {}, for example of {packet}", f.part, f.expected, f.found)
                    });
                    let different = report.different;
                    self.input(Input::Proved { dpid, different, first }).await?;
                    return Ok(proof);
                }
                Ok(_) => doubted = true,
                Err(_) if attempts >= ATTEMPTS || proof.lasting => return Ok(proof),
                Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Proves one switch after the other, for ever.
pub async fn keep(core: Core, dpids: Vec<Dpid>, shutdown: Shutdown) {
    let mut wait = PAUSE;
    loop {
        for dpid in &dpids {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopped(shutdown.clone()) => return,
            }
            let begun = Instant::now();
            let up = core.ask({
                let dpid = *dpid;
                move |c, _| c.switches().any(|(d, s)| d == dpid && s.phase == fseg_control::LinkPhase::Up)
            });
            match up.await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(_) => return,
            }
            match core.prove(*dpid).await {
                Err(_) => return,
                Ok(Proof { result: Ok(report), took, .. }) if report.is_proved() => {
                    info!(switch = %dpid, rows = report.rows, parts = report.parts, again = report.parts - report.remembered, ?took, "proved");
                }
                Ok(Proof { result: Ok(report), .. }) => {
                    warn!(switch = %dpid, different = report.different, "a switch treats packets otherwise than the policy says");
                }
                Ok(Proof { result: Err(why), lasting, .. }) => {
                    info!(switch = %dpid, why, "not proved this time");
                    // What cannot be proved is at least compared with what should be there, and put right.
                    if lasting && core.input(Input::Compare { dpid: *dpid }).await.is_err() {
                        return;
                    }
                }
            }
            wait = PAUSE.max(begun.elapsed() * SHARE);
        }
        if dpids.is_empty() {
            return;
        }
    }
}
