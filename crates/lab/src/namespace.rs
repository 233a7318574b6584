//! Network namespaces: running commands in them, addresses, routes, settings.

use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::LabError;
use crate::command::{self, DEFAULT_LIMIT, Output, Proc};
use crate::lab::{Made, Shared};
use crate::ovs::Site;

/// A network namespace of the lab. Cheap to clone; the namespace itself lives as long as the lab.
#[derive(Clone)]
pub struct Namespace {
    pub(crate) shared: Arc<Shared>,
    /// `None`: the lab's own.
    name: Option<Arc<str>>,
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespace({})", self.name().unwrap_or("root"))
    }
}

impl Namespace {
    pub(crate) fn root(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), name: None }
    }

    /// A handle on a namespace that was made before.
    pub(crate) fn existing(shared: &Arc<Shared>, name: &str) -> Self {
        Self { shared: Arc::clone(shared), name: Some(name.into()) }
    }

    pub(crate) fn make(shared: &Arc<Shared>, name: &str) -> Result<Self, LabError> {
        check_name(name)?;
        if !shared.state().names.insert(name.to_owned()) {
            return Err(LabError::Usage(format!("the lab already has a namespace called {name}")));
        }
        // Its own resolv.conf, which `ip netns exec` binds over the machine's.
        let etc = Path::new("/etc/netns").join(name);
        fs::create_dir_all(&etc).map_err(LabError::file(&etc))?;
        fs::write(etc.join("resolv.conf"), "").map_err(LabError::file(&etc))?;
        command::checked(&["ip", "netns", "add", name])?;
        shared.state().made.push(Made::Namespace(name.to_owned()));
        let namespace = Self::existing(shared, name);
        namespace.script(SETUP, &[])?;
        Ok(namespace)
    }

    /// Its name; `None` for the lab's own.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(crate) fn site(&self) -> Site {
        self.name().map_or(Site::Root, |name| Site::Namespace(name.to_owned()))
    }

    /// A command that runs `args` here. For what the other methods cannot do.
    pub fn command(&self, args: &[&str]) -> Result<Command, LabError> {
        let mut all = Vec::with_capacity(args.len() + 4);
        if let Some(name) = self.name() {
            all.extend_from_slice(&["ip", "netns", "exec", name]);
        }
        all.extend_from_slice(args);
        command::command(&all)
    }

    /// Runs `args` here to its end, at most 15 s. A bad exit code is not an error: see [`Output::check`].
    pub fn exec(&self, args: &[&str]) -> Result<Output, LabError> {
        self.exec_within(args, DEFAULT_LIMIT)
    }

    /// Runs `args` here to its end, killing it at the limit.
    pub fn exec_within(&self, args: &[&str], limit: Duration) -> Result<Output, LabError> {
        command::run(self.command(args)?, limit)
    }

    /// Starts `args` here; it is killed when the returned value is dropped.
    pub fn spawn(&self, args: &[&str]) -> Result<Proc, LabError> {
        Proc::spawn(self.command(args)?)
    }

    /// Starts `args` here as a daemon whose output goes to `logs/LOG.log` of the state folder, appended.
    ///
    /// `configure` may add environment variables or a working folder.
    pub fn daemon(&self, log: &str, args: &[&str], configure: impl FnOnce(&mut Command)) -> Result<Proc, LabError> {
        check_name(log)?;
        let mut command = self.command(args)?;
        configure(&mut command);
        Proc::spawn_logged(command, &self.shared.dir.join("logs").join(format!("{log}.log")))
    }

    /// `ip` with these arguments on this namespace.
    pub fn ip(&self, args: &[&str]) -> Result<Output, LabError> {
        let mut all = vec!["ip"];
        if let Some(name) = self.name() {
            all.extend_from_slice(&["-n", name]);
        }
        all.extend_from_slice(args);
        command::checked(&all)
    }

    pub(crate) fn script(&self, script: &str, args: &[&str]) -> Result<Output, LabError> {
        let mut all = vec!["sh", "-euc", script, "sh"];
        all.extend_from_slice(args);
        self.exec(&all)?.check()
    }

    /// Sets a kernel setting of this namespace; `path` below `/proc/sys`, with slashes.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<(), LabError> {
        self.script("echo \"$2\" >\"/proc/sys/$1\"", &[path, value]).map(drop)
    }

    /// Turns IPv6 on, also for `interface` (it is off everywhere else, so that nothing speaks unasked).
    pub fn enable_ipv6(&self, interface: &str) -> Result<(), LabError> {
        check_interface(interface)?;
        for scope in ["all", "default", interface] {
            self.sysctl(&format!("net/ipv6/conf/{scope}/disable_ipv6"), "0")?;
        }
        Ok(())
    }

    /// Gives `interface` an address, as `10.0.0.1/24`, and brings it up.
    pub fn add_address(&self, interface: &str, cidr: &str) -> Result<(), LabError> {
        self.ip(&["address", "replace", cidr, "dev", interface])?;
        self.ip(&["link", "set", interface, "up"]).map(drop)
    }

    /// Adds a route: `destination` is a prefix or `default`.
    pub fn add_route(&self, destination: &str, via: Ipv4Addr) -> Result<(), LabError> {
        self.ip(&["route", "replace", destination, "via", &via.to_string()]).map(drop)
    }

    /// The first IPv4 address of `interface` with its prefix length; `None` if it has none.
    pub fn address_of(&self, interface: &str) -> Result<Option<(Ipv4Addr, u8)>, LabError> {
        let output = self.ip(&["-j", "-4", "address", "show", "dev", interface])?;
        parse_address(&output.stdout).map_err(|_| LabError::Answer {
            command: output.command,
            answer: command::tail(&output.stdout, 200).to_owned(),
            expected: "a list of addresses in JSON",
        })
    }

    /// What this namespace's resolver configuration holds.
    pub fn resolv_conf(&self) -> Result<String, LabError> {
        let path =
            self.name().map_or_else(|| "/etc/resolv.conf".into(), |name| format!("/etc/netns/{name}/resolv.conf"));
        fs::read_to_string(&path).map_err(LabError::file(path))
    }

    /// Whether `ip` answers one of three echo requests within about a second and a half.
    pub fn ping(&self, ip: Ipv4Addr) -> Result<bool, LabError> {
        let output = self.exec(&["ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "1", &ip.to_string()])?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            // No route, for example: nothing answered, and the reason is not the network's.
            _ => output.check().map(|_| false).or_else(|error| match &error {
                LabError::Failed { stderr, .. } if stderr.contains("unreachable") => Ok(false),
                _ => Err(error),
            }),
        }
    }

    /// `curl` with these arguments, errors shown, at most 10 s.
    pub fn curl(&self, args: &[&str]) -> Result<Output, LabError> {
        let mut all = vec!["curl", "--silent", "--show-error", "--max-time", "10", "--noproxy", "*"];
        all.extend_from_slice(args);
        self.exec(&all)
    }

    /// The body that `url` answers with; a status of 400 or above is an error.
    pub fn http_get(&self, url: &str) -> Result<String, LabError> {
        Ok(self.curl(&["--fail", url])?.check()?.stdout)
    }

    /// Switches transmit checksum offload off, so that frames that cross a userspace datapath carry real checksums.
    pub(crate) fn checksum_in_software(&self, interface: &str) -> Result<(), LabError> {
        self.exec(&["ethtool", "-K", interface, "tx", "off"])?.check().map(drop)
    }
}

/// `lo` up, IPv6 off, unprivileged ICMP sockets for the prober.
const SETUP: &str = "
ip link set lo up
if [ -d /proc/sys/net/ipv6 ]; then
    echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
    echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
fi
echo '0 2147483647' >/proc/sys/net/ipv4/ping_group_range
";

fn parse_address(json: &str) -> Result<Option<(Ipv4Addr, u8)>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Link {
        #[serde(default)]
        addr_info: Vec<Address>,
    }
    #[derive(Deserialize)]
    struct Address {
        local: Ipv4Addr,
        prefixlen: u8,
    }
    let links: Vec<Link> = serde_json::from_str(json)?;
    Ok(links.into_iter().flat_map(|link| link.addr_info).map(|address| (address.local, address.prefixlen)).next())
}

/// Names become file names, arguments and prompts, so only the plainest are allowed.
pub(crate) fn check_name(name: &str) -> Result<(), LabError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if begins && name.len() <= 32 && name.chars().all(plain) {
        return Ok(());
    }
    Err(LabError::Usage(format!(
        "`{name}` is not a name for the lab: 1 to 32 of a-z 0-9 - _ ., beginning with a letter or digit"
    )))
}

/// The kernel's limit is 15 bytes (`IFNAMSIZ` − 1).
pub(crate) fn check_interface(name: &str) -> Result<(), LabError> {
    check_name(name)?;
    if name.len() <= 15 {
        return Ok(());
    }
    Err(LabError::Usage(format!("`{name}` is too long for an interface: at most 15 characters")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_options_or_paths_are_refused() {
        for good in ["a", "sales-1", "sw1-p3", "10g", "a.b_c"] {
            check_name(good).unwrap();
        }
        for bad in ["", "-n", "a/b", "..", "A", "a b", "é", &"x".repeat(33)] {
            assert!(check_name(bad).is_err(), "{bad:?} was accepted");
        }
        check_interface("sw1-port-000001").unwrap();
        assert!(check_interface("sw1-port-0000001").is_err());
    }

    #[test]
    fn addresses_are_read_from_ip() {
        let json = r#"[{"ifindex":2,"ifname":"eth0","addr_info":[{"family":"inet","local":"10.1.2.3","prefixlen":24,"scope":"global"}]}]"#;
        assert_eq!(parse_address(json).unwrap(), Some((Ipv4Addr::new(10, 1, 2, 3), 24)));
        assert_eq!(parse_address("[{}]").unwrap(), None);
        assert_eq!(parse_address("[]").unwrap(), None);
        for length in 0..json.len() {
            assert!(json.is_char_boundary(length) && parse_address(&json[..length]).is_err(), "{length} bytes passed");
        }
    }
}
