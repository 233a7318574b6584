//! The bridges the node creates and owns, through their databases; and the node's own network device.

use std::net::IpAddr;
use std::time::Duration;

use fseg_ovsdb::{BridgeSpec, Client, OvsdbError, PortSpec, Remote, ensure_bridge};
use futures::TryStreamExt;
use rtnetlink::LinkUnspec;
use thiserror::Error;
use tracing::{info, warn};

use crate::config::BridgeConfig;
use crate::http::{Shutdown, stopped};

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

async fn ensure(config: &BridgeConfig) -> Result<(), OvsdbError> {
    let remote: Remote = config.database.parse()?;
    let client = Client::connect(&remote, CALL).await?;
    for applied in ensure_bridge(&client, &spec(config), OWNER).await? {
        if applied.is_change() {
            info!(switch = %config.switch, "{applied}");
        }
    }
    Ok(())
}

/// Keeps one bridge as the configuration says, also when its Open vSwitch is restarted or somebody changes it. `first`
/// is told after the first try.
pub async fn keep(config: BridgeConfig, shutdown: Shutdown, first: tokio::sync::oneshot::Sender<()>) {
    let mut first = Some(first);
    let mut said = None;
    loop {
        let wait = match ensure(&config).await {
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
