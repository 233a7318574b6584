//! What the lab needs on the machine, and how to get it (Debian 12 names).

use std::path::Path;

/// The tools the lab runs and the package each comes from.
pub const TOOLS: &[(&str, &str)] = &[
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("ethtool", "ethtool"),
    ("ovsdb-tool", "openvswitch-switch"),
    ("ovsdb-server", "openvswitch-switch"),
    ("ovs-vswitchd", "openvswitch-switch"),
    ("ovs-vsctl", "openvswitch-switch"),
    ("ovs-ofctl", "openvswitch-switch"),
    ("ovs-appctl", "openvswitch-switch"),
    ("udhcpc", "udhcpc"),
    ("dhclient", "isc-dhcp-client"),
    ("curl", "curl"),
    ("ping", "iputils-ping"),
    ("nc", "netcat-openbsd"),
    ("iperf3", "iperf3"),
];

/// The tools that are not installed, each with its Debian package.
#[must_use]
pub fn missing() -> Vec<(&'static str, &'static str)> {
    TOOLS.iter().copied().filter(|(tool, _)| !installed(tool)).collect()
}

/// One sentence with the command that installs what is missing; `None` if nothing is.
#[must_use]
pub fn advice(missing: &[(&str, &str)]) -> Option<String> {
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    let tools: Vec<&str> = missing.iter().map(|(tool, _)| *tool).collect();
    (!missing.is_empty()).then(|| {
        format!("the lab needs {}: `apt-get install --no-install-recommends {}`", tools.join(", "), packages.join(" "))
    })
}

// sbin is looked at even where PATH lacks it (su without a dash), because the lab sets its own PATH.
pub(crate) fn installed(tool: &str) -> bool {
    SEARCH.split(':').any(|folder| Path::new(folder).join(tool).is_file())
}

/// Where tools are looked for, also by everything the lab starts.
pub(crate) const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_each_package_once() {
        assert_eq!(advice(&[]), None);
        let text = advice(&[("ip", "iproute2"), ("tc", "iproute2"), ("curl", "curl")]).unwrap();
        assert_eq!(text, "the lab needs ip, tc, curl: `apt-get install --no-install-recommends curl iproute2`");
    }

    #[test]
    fn a_tool_that_does_not_exist_is_missing() {
        assert!(!installed("no-such-tool-anywhere"));
        assert!(installed("sh"));
    }
}
