//! Running the prober in endpoints.

use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use super::serve::READY;
use super::{Cell, Outcome, Service, Table, Target, Verdict};
use crate::command::{self, DEFAULT_LIMIT, Proc};
use crate::{Endpoint, LabError, Namespace};

/// A running answerer; it ends when dropped.
pub struct Server {
    _proc: Proc,
}

/// Starts the answerer in `place`, under `name`, on `services`; returns when all ports are open.
pub fn serve(place: &Namespace, name: &str, services: &[Service]) -> Result<Server, LabError> {
    let mut args = super::program()?;
    args.extend(["serve", "--name", name].map(str::to_owned));
    for service in services {
        match service {
            Service::Tcp(port) => args.extend(["--tcp".to_owned(), port.to_string()]),
            Service::Udp(port) => args.extend(["--udp".to_owned(), port.to_string()]),
            Service::Echo => {}
        }
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let proc = place.spawn(&args)?;
    proc.wait_for_stdout(&format!("{READY}\n"), DEFAULT_LIMIT)?;
    Ok(Server { _proc: proc })
}

/// Tries all targets from `place` at once; each attempt takes at most `timeout`.
pub fn reach(place: &Namespace, targets: &[Target], timeout: Duration) -> Result<Vec<Outcome>, LabError> {
    let mut args = super::program()?;
    args.extend(["run".to_owned(), "--timeout-ms".to_owned(), timeout.as_millis().to_string()]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let input = serde_json::to_string(targets).map_err(|error| LabError::Usage(error.to_string()))?;
    let mut proc = place.spawn(&args)?;
    proc.write(&input)?;
    proc.close_stdin();
    // Attempts run in waves of a few hundred.
    let waves =
        u32::try_from(1 + targets.iter().map(|target| target.services.len()).sum::<usize>() / 300).unwrap_or(u32::MAX);
    let output = proc.wait(DEFAULT_LIMIT + timeout.saturating_mul(waves))?.check()?;
    serde_json::from_str(&output.stdout).map_err(|_| LabError::Answer {
        command: output.command,
        answer: command::tail(&output.stdout, 200).to_owned(),
        expected: "a list of outcomes in JSON",
    })
}

/// Every endpoint asks every other one for every service, all sources at the same time.
///
/// Each endpoint answers with its own name meanwhile, so the ports must be free there. Endpoints without an address are
/// an error: nothing could be said about them.
pub fn matrix(endpoints: &[Endpoint], services: &[Service], timeout: Duration) -> Result<Table, LabError> {
    let addresses = endpoints.iter().map(address).collect::<Result<Vec<_>, _>>()?;
    let servers: Vec<Server> =
        endpoints.iter().map(|endpoint| serve(endpoint, endpoint.name(), services)).collect::<Result<_, _>>()?;
    let ask = |source: &Endpoint| {
        let others = endpoints.iter().zip(&addresses).filter(|(endpoint, _)| endpoint.name() != source.name());
        let targets: Vec<Target> = others
            .map(|(endpoint, ip)| Target { name: endpoint.name().to_owned(), ip: *ip, services: services.to_vec() })
            .collect();
        reach(source, &targets, timeout)
    };
    let ask = &ask;
    let answers: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = endpoints.iter().map(|source| (source, scope.spawn(move || ask(source)))).collect();
        running.into_iter().map(|(source, thread)| (source, thread.join())).collect()
    });
    drop(servers);
    let mut table = Table::default();
    for (source, answer) in answers {
        let outcomes =
            answer.map_err(|_| LabError::Usage(format!("the prober's thread for {} panicked", source.name())))??;
        for Outcome { target, service, outcome, .. } in outcomes {
            table.insert(Cell { source: source.name().to_owned(), target, service }, outcome);
        }
    }
    Ok(table)
}

fn address(endpoint: &Endpoint) -> Result<Ipv4Addr, LabError> {
    endpoint
        .address()?
        .ok_or_else(|| LabError::Usage(format!("{} has no address yet: give it one before probing", endpoint.name())))
}

impl Table {
    /// How many cells passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.iter().filter(|(_, verdict)| *verdict == Verdict::Pass).count()
    }
}
