use std::sync::atomic::AtomicUsize;

use fseg_admission::Device;
use fseg_model::Name;
use fseg_store::{AuditRecord, MemoryStore, Record, StoreError, Table};
use fseg_yaml::Source;

use super::*;
use crate::config::NodeConfig;
use crate::config::tests::SMALL;

/// A store that can be told to fail.
#[derive(Clone, Default)]
struct Flaky {
    store: Arc<Mutex<MemoryStore>>,
    broken: Arc<AtomicBool>,
    tries: Arc<AtomicUsize>,
}

impl Store for Flaky {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        self.store.lock().unwrap().load()
    }

    fn commit(&mut self, batch: &[fseg_store::Change]) -> Result<(), StoreError> {
        self.tries.fetch_add(1, Ordering::Relaxed);
        if self.broken.load(Ordering::Relaxed) {
            let path = "fseg.db".into();
            return Err(StoreError::Busy { path });
        }
        self.store.lock().unwrap().commit(batch)
    }

    fn audit(&mut self, before: Option<u64>, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        self.store.lock().unwrap().audit(before, limit)
    }
}

struct Bench {
    worker: Worker,
    flaky: Flaky,
    next: u64,
}

impl Bench {
    fn new() -> Self {
        let config = NodeConfig::parse(&Source::new("node.yaml", SMALL)).unwrap_or_else(|e| panic!("{e:?}"));
        let clock = Clock::start();
        let controller = Controller::new(config.site, vec![], clock.now()).unwrap();
        let flaky = Flaky::default();
        let mut worker = Worker {
            readings: Proofs::start(clock).unwrap().1,
            controller,
            store: Box::new(flaky.clone()),
            clock,
            on_event: Box::new(|_| {}),
            on_presence: Box::new(|_| {}),
            waiters: Waiters::default(),
            outlets: Outlets::default(),
            store_ok: Arc::new(AtomicBool::new(true)),
            domains: Domains::default(),
            backlog: Backlog::default(),
            recording: None,
        };
        worker.carry_out();
        Self { worker, flaky, next: 0 }
    }

    fn break_store(&self, broken: bool) {
        self.flaky.broken.store(broken, Ordering::Relaxed);
    }

    /// Lets two seconds pass.
    fn later(&mut self) {
        self.worker.clock = Clock(self.worker.clock.0 - Duration::from_secs(2));
    }

    fn tick(&mut self) {
        self.worker.controller.handle(Input::Tick, self.worker.clock.now());
        self.worker.carry_out();
    }

    /// What somebody is told who puts a device on the list.
    fn put(&mut self, name: &str, roles: &[&str]) -> Result<Answer, NoAnswer> {
        let ticket = Ticket(self.next);
        self.next += 1;
        let (tx, mut rx) = oneshot::channel();
        self.worker.waiters.lock().unwrap().insert(ticket, tx);
        let mut device =
            Device::new(Name::new(name).unwrap(), format!("02:00:00:00:00:{:02x}", name.len()).parse().unwrap());
        device.roles = roles.iter().map(|r| Name::new(r).unwrap()).collect();
        let input = Input::PutDevice { ticket, who: "root".into(), device: Box::new(device) };
        self.worker.controller.handle(input, self.worker.clock.now());
        self.worker.carry_out();
        rx.try_recv().expect("an answer at once")
    }

    fn stored_roles(&mut self, device: &str) -> Option<String> {
        let rows = self.flaky.load().unwrap();
        let row = rows.into_iter().find(|r| r.table == Table::Device && r.key == device)?;
        Some(row.value["roles"].to_string())
    }
}

#[test]
fn recovery_writes_the_last_state_and_what_was_said_stays_true() {
    let mut bench = Bench::new();
    assert!(matches!(bench.put("cam", &["old"]), Ok(Answer::Done(_))));
    bench.break_store(true);
    for round in 0..5 {
        assert_eq!(bench.put("cam", &[&format!("round-{round}")]), Err(NoAnswer::NotDurable));
    }
    assert!(!bench.worker.store_ok.load(Ordering::Relaxed));
    assert_eq!(bench.stored_roles("cam").unwrap(), "[\"old\"]");
    // Whole again, but not tried yet: still nothing is acknowledged that might be lost.
    bench.break_store(false);
    assert_eq!(bench.put("printer", &["p"]), Err(NoAnswer::NotDurable));
    bench.later();
    bench.tick();
    assert!(bench.worker.store_ok.load(Ordering::Relaxed));
    assert_eq!(bench.stored_roles("cam").unwrap(), "[\"round-4\"]");
    assert_eq!(bench.stored_roles("printer").unwrap(), "[\"p\"]");
    let audit = bench.flaky.audit(None, 100).unwrap();
    assert_eq!(audit.iter().filter(|a| a.entry.what == "device.put").count(), 7, "every change is in the audit log");
    assert!(matches!(bench.put("cam", &["new"]), Ok(Answer::Done(_))));
}

#[test]
fn a_broken_store_is_tried_once_per_second() {
    let mut bench = Bench::new();
    bench.break_store(true);
    let before = bench.flaky.tries.load(Ordering::Relaxed);
    let _ = bench.put("cam", &[]);
    for _ in 0..20 {
        bench.worker.backlog.failed(bench.worker.clock.now().mono); // however slowly this test runs
        bench.tick();
        let _ = bench.put("printer", &[]);
    }
    assert_eq!(bench.flaky.tries.load(Ordering::Relaxed), before + 1);
    bench.later();
    bench.tick();
    assert_eq!(bench.flaky.tries.load(Ordering::Relaxed), before + 2);
}
