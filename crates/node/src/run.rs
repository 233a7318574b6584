//! Starts everything, and stops it again.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fseg_control::{Controller, Input};
use fseg_pipeline::fabric::REDIRECT_PORT;
use fseg_store::{SqliteStore, Store};
use fseg_yaml::Source;
use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::bridges;
use crate::config::{NodeConfig, Transport};
use crate::core::{Clock, Core};
use crate::dns::{self, DnsConfig};
use crate::http::{self, Shutdown, TlsIdentity, TlsSource, stopped};
use crate::persist;
use crate::portal::{self, PortalConfig};
use crate::recording::{RecordError, RecordTo, Recording};
use crate::service::{EventLog, Node, NodeNames, Resolving, Tokens};
use crate::switches;
use crate::trust::{Trust, TrustError};

/// Why the node does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store.
    #[error("{0}")]
    Store(#[from] fseg_store::StoreError),
    /// A row of the store.
    #[error("{0}")]
    Row(#[from] persist::Unreadable),
    /// The configuration and the store do not go together.
    #[error("{0}")]
    Controller(#[from] fseg_control::StartError),
    /// A socket.
    #[error("cannot listen on {what}: {error}")]
    Listen {
        /// Which.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// Something of the system.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// Certificates of switches.
    #[error("{0}")]
    Trust(#[from] TrustError),
    /// The API's certificate.
    #[error("{0}")]
    Tls(#[from] http::TlsError),
    /// The recording.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// The node's own device.
    #[error("{0}")]
    Device(#[from] bridges::DeviceError),
}

/// The domain of endpoints' names where the configuration names none.
const DEFAULT_DOMAIN: &str = "fseg.internal";

fn listen(what: impl Into<String>) -> impl FnOnce(io::Error) -> StartError {
    |error| StartError::Listen { what: what.into(), error }
}

/// Runs the node until `stop` says so, recording what comes in where that is wanted. Traffic goes on after that: the switches keep their tables.
pub async fn run(config: NodeConfig, record: Option<RecordTo>, stop: watch::Sender<bool>) -> Result<(), StartError> {
    let shutdown = stop.subscribe();
    prepare(&config.state)?;
    let mut store = SqliteStore::open(&config.state.join("fseg.db"))?;
    let rows = store.load()?;
    let (tokens, unreadable) = Tokens::load(&rows);
    for name in unreadable {
        warn!(token = name, "a stored token cannot be read and is not accepted");
    }
    let clock = Clock::start();
    let (trust, unreadable) = Trust::open(&config.state, &rows, clock.now().wall)?;
    let trust = Arc::new(trust);
    for serial in unreadable {
        warn!(serial, "a stored certificate cannot be read and does not count; enrol that switch again");
    }
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        records.extend(persist::from_store(row)?);
    }
    info!(records = records.len(), "committed state is loaded");
    let begun = clock.now();
    let recording = record.map(|to| Recording::begin(to, &config.site, &records, begun)).transpose()?;
    let controller = Controller::new(config.site.clone(), records, begun)?;
    let has_policy = controller.policy_version().is_some();
    let events = Arc::new(EventLog::default());
    let names = Arc::new(NodeNames::default());
    let (on_event, on_presence) = (events.clone(), names.clone());
    let (core, thread) = Core::start(
        controller,
        Box::new(store),
        clock,
        Box::new(move |e| on_event.add(e)),
        Box::new(move |p| on_presence.change(p)),
        recording,
    )
    .map_err(|error| StartError::System { what: "the controller's thread".into(), error })?;
    let node = Node {
        core: core.clone(),
        events,
        tokens: Arc::new(tokens),
        trust: trust.clone(),
        config: Arc::new(config.clone()),
        name: config.site.site.as_str().into(),
    };

    let mut tasks = JoinSet::new();
    for openflow in &config.openflow {
        let address = openflow.address;
        let listener = TcpListener::bind(address).await.map_err(listen(format!("{address} for switches")))?;
        let dpids: Vec<_> = config.site.switches.iter().map(|s| s.dpid).collect();
        let known = Arc::new(move |dpid| dpids.contains(&dpid));
        let transport = match openflow.transport {
            Transport::Tls => switches::Transport::Tls(trust.clone()),
            Transport::Tcp => {
                warn!(%address, "switches connect by plain TCP here: whoever reaches this address can say that it is a switch");
                switches::Transport::Plain(trust.clone())
            }
        };
        tasks.spawn(switches::serve(listener, transport, core.clone(), known, shutdown.clone()));
    }
    let unix = http::bind_unix(&config.api_unix).map_err(listen(config.api_unix.display().to_string()))?;
    tasks.spawn(http::serve_unix(unix, Arc::new(node.clone()), shutdown.clone()));
    if let Some(api) = &config.api_tls {
        let source = match &api.files {
            Some((certificate, key)) => TlsSource::Files { certificate: certificate.clone(), key: key.clone() },
            None => TlsSource::SelfSigned { folder: config.state.clone(), names: api.names.clone() },
        };
        let tls = TlsIdentity::load(&source)?;
        info!(address = %api.listen, fingerprint = tls.fingerprint, "API over TLS");
        let listener = TcpListener::bind(api.listen).await.map_err(listen(format!("{} for the API", api.listen)))?;
        tasks.spawn(http::serve_tls(listener, tls.config, Arc::new(node.clone()), shutdown.clone()));
    }
    tasks.spawn(ticks(core.clone(), shutdown.clone()));
    let proved = config.site.switches.iter().map(|s| s.dpid).collect();
    tasks.spawn(crate::proof::keep(core.clone(), proved, shutdown.clone()));

    let mut firsts = Vec::new();
    for bridge in config.bridges.clone() {
        let (tx, rx) = oneshot::channel();
        firsts.push(rx);
        let sharing = config.sharing(&bridge.switch);
        let keeper = bridges::Keeper { bridge, sharing, core: core.clone(), trust: trust.clone() };
        tasks.spawn(bridges::keep(keeper, shutdown.clone(), tx));
    }
    for first in firsts {
        let _ = first.await; // a bridge that could not be made says so itself, and is tried again
    }
    if let Some((device, address, prefix)) = config.own_port() {
        bridges::own_device(device, address, prefix).await?;
    }
    serve_endpoints(&config, &node, names, &shutdown, &mut tasks).await?;
    if let (false, Some(path)) = (has_policy, &config.policy) {
        first_policy(&core, path).await;
    }
    info!(site = %config.site.site, switches = config.site.switches.len(), "the node is ready");

    stopped(shutdown).await;
    info!("stopping; the switches keep their tables");
    let drained = tokio::time::timeout(Duration::from_secs(5), async { while tasks.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tasks.abort_all();
    }
    drop((core, node));
    let joined = tokio::task::spawn_blocking(move || thread.join());
    if tokio::time::timeout(Duration::from_secs(5), joined).await.is_err() {
        warn!("the controller's thread did not end in time");
    }
    Ok(())
}

fn prepare(state: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state)
        .map_err(|error| StartError::System { what: format!("state folder {}", state.display()), error })
}

/// The services that endpoints see: DNS and portal on the virtual router's address.
async fn serve_endpoints(
    config: &NodeConfig,
    node: &Node,
    names: Arc<NodeNames>,
    shutdown: &Shutdown,
    tasks: &mut JoinSet<()>,
) -> Result<(), StartError> {
    let router = config.site.router;
    let tls = match &config.portal.files {
        Some((certificate, key)) => {
            Some(TlsIdentity::load(&TlsSource::Files { certificate: certificate.clone(), key: key.clone() })?.config)
        }
        None => None,
    };
    let portal = PortalConfig {
        name: config.portal.name.clone(),
        addresses: vec![router.into()],
        network: config.network_name.clone(),
        secure: tls.is_some(),
    };
    // People's own requests, those that were redirected, and the portal over TLS.
    for (port, tls) in [(80, None), (REDIRECT_PORT, None), (443, tls)] {
        if port == 443 && tls.is_none() {
            continue;
        }
        let listener =
            TcpListener::bind((router, port)).await.map_err(listen(format!("{router}:{port} for the portal")))?;
        let (service, portal, stop) = (Arc::new(node.clone()), portal.clone(), shutdown.clone());
        tasks.spawn(async move {
            if let Err(e) = portal::serve(listener, tls, service, &portal, stop).await {
                error!(error = %e, "the portal stopped");
            }
        });
    }
    let udp = UdpSocket::bind((router, 53)).await.map_err(listen(format!("{router}:53 (UDP) for DNS")))?;
    let tcp = TcpListener::bind((router, 53)).await.map_err(listen(format!("{router}:53 (TCP) for DNS")))?;
    // The configuration's reader has checked it.
    let domain = config.domain.as_deref().unwrap_or(DEFAULT_DOMAIN).parse().unwrap_or_default();
    let dns = DnsConfig {
        domain,
        portal_name: config.portal.name.as_deref().and_then(|n| n.parse().ok()),
        portal: router,
        upstreams: config.upstream.clone(),
    };
    let resolving = Arc::new(Resolving::new(names, node.core.clone()));
    tasks.spawn(dns::serve(udp, tcp, resolving, dns, shutdown.clone()));
    Ok(())
}

async fn ticks(core: Core, shutdown: Shutdown) {
    let mut every = tokio::time::interval(Duration::from_millis(200));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {
                if core.input(Input::Tick).await.is_err() {
                    return;
                }
            }
            () = stopped(shutdown.clone()) => return,
        }
    }
}

async fn first_policy(core: &Core, path: &Path) {
    let file = path.display().to_string();
    let text = match std::fs::read(path)
        .map_err(|e| e.to_string())
        .and_then(|bytes| Source::from_bytes(file.clone(), bytes).map(|s| s.text).map_err(|d| d.to_string()))
    {
        Ok(text) => text,
        Err(e) => return error!(file, error = %e, "the first policy cannot be read; nothing is permitted"),
    };
    let input = |ticket| Input::ApplyPolicy {
        ticket,
        who: "configuration".into(),
        file: file.clone(),
        text,
        dry_run: false,
        options: fseg_control::ApplyOptions::default(),
    };
    match core.submit(input).await {
        Ok(fseg_control::Answer::Applied(a)) => info!(file, version = a.version, "the first policy is in force"),
        Ok(other) => error!(file, answer = ?other, "the first policy is refused; nothing is permitted"),
        Err(e) => error!(file, error = %e, "the first policy was not applied"),
    }
}
