//! Real DHCP clients. They configure the endpoint alone: addresses and routes in its namespace, name servers in its
//! own `resolv.conf` (which `ip netns exec` binds over `/etc/resolv.conf`).

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::command::{self, Proc};
use crate::namespace::Namespace;
use crate::{Endpoint, LabError};

/// Longer than either client tries, so that its own words end up in the error.
const LIMIT: Duration = Duration::from_secs(20);

/// Which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// BusyBox's, as in cameras, sensors and other small devices.
    Udhcpc,
    /// ISC's.
    Dhclient,
}

/// What the server gave, as the client's script saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// The subnet's prefix length, 0 to 32.
    pub prefix: u8,
    /// The first router (option 3).
    pub router: Option<Ipv4Addr>,
    /// Name servers (option 6).
    pub name_servers: Vec<Ipv4Addr>,
    /// The lease time in seconds (option 51).
    pub seconds: Option<u32>,
    /// The server's identity (option 54).
    pub server: Option<Ipv4Addr>,
}

/// A client that keeps its lease; killed, without releasing, when dropped.
pub struct Running {
    lease: Lease,
    proc: Proc,
    client: Client,
    files: Files,
    namespace: Namespace,
}

impl Running {
    /// The lease it got first.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The client's process.
    pub fn process(&mut self) -> &mut Proc {
        &mut self.proc
    }

    /// Gives the lease back (DHCPRELEASE) and ends the client; the address goes.
    pub fn release(self) -> Result<(), LabError> {
        match self.client {
            Client::Udhcpc => self.proc.signal(Signal::SIGUSR2),
            Client::Dhclient => {
                let args = self.files.dhclient(&["-r"]);
                self.namespace.exec(&args.iter().map(String::as_str).collect::<Vec<_>>())?.check()?;
            }
        }
        command::until("the release of the lease", LIMIT, || match self.files.lease.exists() {
            false => Ok(()),
            true => Err(format!("{} still exists", self.files.lease.display())),
        })
    }
}

pub(crate) fn once(endpoint: &Endpoint, client: Client) -> Result<Lease, LabError> {
    daemon(endpoint, client).map(|running| running.lease.clone())
}

pub(crate) fn daemon(endpoint: &Endpoint, client: Client) -> Result<Running, LabError> {
    let files = Files::of(&endpoint.shared.dir, endpoint.name());
    // An old answer must not be taken for a new one.
    let _ = fs::remove_file(&files.lease);
    let args = match client {
        Client::Udhcpc => files.udhcpc(endpoint.name()),
        Client::Dhclient => files.dhclient(&["-d", "-1"]),
    };
    let mut command = endpoint.command(&args.iter().map(String::as_str).collect::<Vec<_>>())?;
    command.env("FSEG_LEASE", &files.lease);
    let mut proc = Proc::spawn(command)?;
    let mut lease = None;
    let mut ended = None;
    command::until(&format!("a lease for {}", endpoint.name()), LIMIT, || {
        if let Ok(text) = fs::read_to_string(&files.lease) {
            lease = Some(text);
            return Ok(());
        }
        if proc.running() {
            return Err(format!("{client:?} wrote: {}", command::tail(proc.stderr().trim(), 800)));
        }
        ended = Some(proc.stderr());
        Ok(())
    })?;
    let refused = |detail: &str| LabError::NotReady {
        what: format!("a lease for {}", endpoint.name()),
        after: LIMIT,
        detail: format!("{client:?} gave up: {}", command::tail(detail.trim(), 800)),
    };
    let text = lease.ok_or_else(|| refused(&ended.unwrap_or_default()))?;
    let lease = parse_lease(&text).ok_or_else(|| LabError::Answer {
        command: format!("{client:?}"),
        answer: command::tail(&text, 400).to_owned(),
        expected: "a lease with address and mask",
    })?;
    Ok(Running { lease, proc, client, files, namespace: endpoint.namespace().clone() })
}

struct Files {
    scripts: PathBuf,
    /// Written by the scripts.
    lease: PathBuf,
    /// The client's own.
    memory: PathBuf,
    pid: PathBuf,
}

impl Files {
    fn of(dir: &Path, name: &str) -> Self {
        let leases = dir.join("leases");
        Self {
            scripts: dir.join("scripts"),
            lease: leases.join(name),
            memory: leases.join(format!("{name}.dhclient")),
            pid: leases.join(format!("{name}.pid")),
        }
    }

    fn udhcpc(&self, host: &str) -> Vec<String> {
        let script = text(&self.scripts.join(UDHCPC.0));
        ["udhcpc", "-f", "-n", "-t", "6", "-T", "1", "-i", "eth0", "-x", &format!("hostname:{host}"), "-s", &script]
            .map(str::to_owned)
            .to_vec()
    }

    fn dhclient(&self, options: &[&str]) -> Vec<String> {
        let script = text(&self.scripts.join(DHCLIENT.0));
        let config = text(&self.scripts.join(DHCLIENT_CONF.0));
        let (memory, pid) = (text(&self.memory), text(&self.pid));
        let lease = format!("FSEG_LEASE={}", text(&self.lease));
        let fixed = ["-v", "-sf", &script, "-cf", &config, "-lf", &memory, "-pf", &pid, "-e", &lease, "eth0"];
        [&["dhclient", "-4"], options, &fixed[..]].concat().into_iter().map(str::to_owned).collect()
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn parse_lease(text: &str) -> Option<Lease> {
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim).filter(|v| !v.is_empty())
    };
    let first = |key: &str| value(key)?.split_whitespace().next()?.parse().ok();
    let mask = value("mask")?;
    let prefix = match mask.parse::<Ipv4Addr>() {
        Ok(mask) => {
            let bits = u32::from(mask);
            // A mask with holes is no prefix.
            (bits.leading_ones() == bits.count_ones()).then_some(bits.count_ones() as u8)?
        }
        Err(_) => mask.parse().ok().filter(|prefix| *prefix <= 32)?,
    };
    let servers = value("dns").unwrap_or_default().split_whitespace().filter_map(|server| server.parse().ok());
    Some(Lease {
        address: value("address")?.parse().ok()?,
        prefix,
        router: first("router"),
        name_servers: servers.collect(),
        seconds: value("seconds").and_then(|seconds| seconds.parse().ok()),
        server: first("server"),
    })
}

pub(crate) fn write_scripts(dir: &Path) -> Result<(), LabError> {
    for (name, body) in [UDHCPC, DHCLIENT, DHCLIENT_CONF] {
        let path = dir.join("scripts").join(name);
        fs::write(&path, body.replace("#CONFIGURE\n", CONFIGURE)).map_err(LabError::file(&path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(LabError::file(&path))?;
    }
    Ok(())
}

/// Shared by both scripts: `configure IF ADDRESS MASK ROUTERS DNS SECONDS SERVER` and `forget IF`.
///
/// The route is `onlink`, because a router outside the subnet (a /32 lease) is legitimate.
const CONFIGURE: &str = r#"
forget() {
    ip -4 address flush dev "$1"
    : >/etc/resolv.conf
    rm -f "$FSEG_LEASE"
}
configure() {
    ip -4 -o address show dev "$1" | grep -qF " $2/" || ip -4 address flush dev "$1"
    ip address replace "$2/$3" dev "$1"
    for router in $4; do
        ip route replace default via "$router" dev "$1" onlink
        break
    done
    for server in $5; do echo "nameserver $server"; done >/etc/resolv.conf
    {
        echo "address=$2"; echo "mask=$3"; echo "router=$4"; echo "dns=$5"; echo "seconds=$6"; echo "server=$7"
    } >"$FSEG_LEASE.new"
    mv "$FSEG_LEASE.new" "$FSEG_LEASE"
}
"#;

/// Variables: `udhcpc --help`, and BusyBox's example scripts' interface.
const UDHCPC: (&str, &str) = (
    "udhcpc.sh",
    r#"#!/bin/sh
#CONFIGURE
case "$1" in
    deconfig) forget "$interface" ;;
    bound|renew) configure "$interface" "$ip" "${subnet:-255.255.255.255}" "$router" "$dns" "$lease" "$serverid" ;;
esac
"#,
);

/// Variables: dhclient-script(8).
const DHCLIENT: (&str, &str) = (
    "dhclient.sh",
    r#"#!/bin/sh
#CONFIGURE
case "$reason" in
    PREINIT) ip link set "$interface" up ;;
    BOUND|RENEW|REBIND|REBOOT)
        configure "$interface" "$new_ip_address" "${new_subnet_mask:-255.255.255.255}" "$new_routers" \
            "$new_domain_name_servers" "$new_dhcp_lease_time" "$new_dhcp_server_identifier" ;;
    EXPIRE|FAIL|RELEASE|STOP) forget "$interface" ;;
    # An old lease without a server's word is refused.
    TIMEOUT) exit 1 ;;
esac
exit 0
"#,
);

/// Short waits: the lab's networks answer at once or not at all.
const DHCLIENT_CONF: (&str, &str) = (
    "dhclient.conf",
    "timeout 8;\nretry 1;\ninitial-interval 1;\nbackoff-cutoff 2;\nselect-timeout 0;\nsend host-name = gethostname();\n\
     request subnet-mask, routers, domain-name-servers, domain-name;\n",
);

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: &str = "address=10.0.0.7\nmask=255.255.255.0\nrouter=10.0.0.1 10.0.0.2\ndns=9.9.9.9 1.1.1.1\nseconds=600\nserver=10.0.0.1\n";

    #[test]
    fn a_lease_is_read() {
        let lease = parse_lease(LEASE).unwrap();
        assert_eq!(lease.address, Ipv4Addr::new(10, 0, 0, 7));
        assert_eq!((lease.prefix, lease.seconds), (24, Some(600)));
        assert_eq!(lease.router, Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(lease.name_servers.len(), 2);
        assert_eq!(parse_lease("address=10.0.0.7\nmask=32\nrouter=\n").unwrap().prefix, 32);
    }

    #[test]
    fn half_a_lease_is_none() {
        for bad in [
            "",
            "address=10.0.0.7\n",
            "mask=24\n",
            "address=x\nmask=24\n",
            "address=1.2.3.4\nmask=33\n",
            "address=1.2.3.4\nmask=255.0.255.0\n",
        ] {
            assert_eq!(parse_lease(bad), None, "{bad}");
        }
        for length in 0..LEASE.len() {
            let _ = parse_lease(&LEASE[..length]);
        }
    }
}
