//! The bridges the node creates and owns, through their databases; and the node's own network device.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fseg_ovsdb::{BridgeSpec, Client, OvsdbError, PortSpec, Remote, ensure_bridge, ensure_tls};
use futures::TryStreamExt;
use rtnetlink::LinkUnspec;
use thiserror::Error;
use tracing::{info, warn};

use crate::config::BridgeConfig;
use crate::core::Core;
use crate::http::{Shutdown, stopped};
use crate::trust::{EnrolError, Sharing, Trust, TrustError};

const OWNER: &str = "fseg";
const CALL: Duration = Duration::from_secs(10);
/// How often a bridge is looked at after it was right.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(1);

fn spec(config: &BridgeConfig) -> BridgeSpec {
    BridgeSpec {
        name: config.bridge.clone(),
        datapath_type: config.datapath.clone(),
        datapath_id: config.dpid.0,
        protocols: vec!["OpenFlow13".into(), "OpenFlow14".into(), "OpenFlow15".into()],
        fail_mode_secure: true,
        controllers: config.controllers.clone(),
        ports: config
            .ports
            .iter()
            .map(|p| PortSpec {
                name: p.device.clone(),
                number: p.number,
                interface_type: if p.internal { "internal".into() } else { String::new() },
                mac: p.mac.clone(),
                ..PortSpec::default()
            })
            .collect(),
        ..BridgeSpec::default()
    }
}

/// What is needed to keep one bridge.
pub struct Keeper {
    /// The bridge.
    pub bridge: BridgeConfig,
    /// The switches that share its Open vSwitch.
    pub sharing: Option<Sharing>,
    /// For certificates that are issued.
    pub core: Core,
    /// Certificates.
    pub trust: Arc<Trust>,
}

/// Why a bridge is not as it should be.
#[derive(Debug, Error)]
enum KeepError {
    #[error("{0}")]
    Ovsdb(#[from] OvsdbError),
    #[error("{0}")]
    Enrol(#[from] EnrolError),
    #[error("{0}")]
    Trust(#[from] TrustError),
}

impl Keeper {
    async fn ensure(&self) -> Result<(), KeepError> {
        let config = &self.bridge;
        let remote: Remote = config.database.parse()?;
        let tls = match (&remote, &self.sharing) {
            (Remote::Ssl(..), Some(s)) => {
                let named_after = s.dpids.first().copied().unwrap_or(config.dpid);
                Some(self.trust.towards(named_after, self.core.clock.now().wall)?)
            }
            _ => None,
        };
        let client = Client::connect_with(&remote, CALL, tls.as_ref()).await?;
        let by_tls = config.controllers.iter().any(|c| c.starts_with("ssl:"));
        if let (Remote::Unix(_), true, Some(sharing)) = (&remote, by_tls, &self.sharing) {
            // On this machine the node installs the switch's certificate itself.
            let files = self.trust.installation(&self.core, sharing).await?;
            if ensure_tls(&client, &files, OWNER).await? {
                info!(switch = %config.switch, certificate = %files.certificate.display(), "the switch has a certificate");
            }
        }
        for applied in ensure_bridge(&client, &spec(config), OWNER).await? {
            if applied.is_change() {
                info!(switch = %config.switch, "{applied}");
            }
        }
        Ok(())
    }
}

/// Keeps one bridge as the configuration says, also when its Open vSwitch is restarted or somebody changes it. `first`
/// is told after the first try.
pub async fn keep(keeper: Keeper, shutdown: Shutdown, first: tokio::sync::oneshot::Sender<()>) {
    let config = &keeper.bridge;
    let mut again = keeper.trust.again();
    let mut first = Some(first);
    let mut said = None;
    if config.database.starts_with("tcp:")
        && !["tcp:127.", "tcp:[::1]"].iter().any(|near| config.database.starts_with(near))
    {
        warn!(switch = %config.switch, database = %config.database, "the switch's database is reached by plain TCP: whoever reaches it commands the switch; `fseg switch enroll` says how to use `ssl:`");
    }
    loop {
        let wait = match keeper.ensure().await {
            Ok(()) => {
                said = None;
                LOOK_AGAIN
            }
            Err(e) => {
                let text = e.to_string();
                if said.as_ref() != Some(&text) {
                    warn!(switch = %config.switch, database = %config.database, error = %text, "the bridge is not as it should be");
                    said = Some(text);
                }
                RETRY
            }
        };
        if let Some(first) = first.take() {
            let _ = first.send(()); // the node may be stopping already
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            // An error means that the node is going away, which the next arm tells too.
            _ = again.changed() => {}
            () = stopped(shutdown.clone()) => return,
        }
    }
}

/// Why the node's own device has no address.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The kernel refused.
    #[error("device {device}: {error}; the node needs CAP_NET_ADMIN in the network namespace of its bridge")]
    Netlink {
        /// Which device.
        device: String,
        /// What it said.
        error: rtnetlink::Error,
    },
    /// No netlink socket.
    #[error("no netlink socket: {0}")]
    Socket(#[from] std::io::Error),
    /// The device does not appear.
    #[error("device {0} does not appear: does the bridge with the `service` port exist? see the messages above")]
    Absent(String),
}

/// Gives the node's own port its address and switches it on; waits a while for the device to appear.
pub async fn own_device(device: &str, address: IpAddr, prefix: u8) -> Result<(), DeviceError> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let driver = tokio::spawn(connection);
    let result = set_up(&handle, device, address, prefix).await;
    driver.abort();
    result
}

async fn set_up(handle: &rtnetlink::Handle, device: &str, address: IpAddr, prefix: u8) -> Result<(), DeviceError> {
    const TRIES: usize = 100;
    let failed = |error| DeviceError::Netlink { device: device.to_owned(), error };
    let mut index = None;
    for _ in 0..TRIES {
        // An error here means that there is no such device yet.
        if let Ok(Some(link)) = handle.link().get().match_name(device.to_owned()).execute().try_next().await {
            index = Some(link.header.index);
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let index = index.ok_or_else(|| DeviceError::Absent(device.to_owned()))?;
    handle.address().add(index, address, prefix).replace().execute().await.map_err(failed)?;
    handle.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await.map_err(failed)
}
