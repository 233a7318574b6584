//! What a bridge is to be.

use std::collections::{BTreeMap, BTreeSet};

use crate::OvsdbError;

/// A bridge as it is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BridgeSpec {
    /// Its name, which is also that of its local port.
    pub name: String,
    /// `netdev` for the userspace datapath, `system` for the kernel's.
    pub datapath_type: String,
    /// Its OpenFlow datapath id.
    pub datapath_id: u64,
    /// OpenFlow versions it speaks, as `OpenFlow13`.
    pub protocols: Vec<String>,
    /// True to keep its tables, and forward nothing else, while no controller is there.
    pub fail_mode_secure: bool,
    /// Its controllers, as `tcp:127.0.0.1:6653`. Reached out of band only.
    pub controllers: Vec<String>,
    /// The MAC address of its local port.
    pub mac: Option<String>,
    /// Its ports, the local port not among them.
    pub ports: Vec<PortSpec>,
    /// Further `other_config` keys; keys that are not named here are left as they are.
    pub other_config: BTreeMap<String, String>,
    /// True to take over a bridge, and ports of these names on it, that exist and belong to somebody else.
    pub adopt: bool,
}

/// A port with its one interface, both of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortSpec {
    /// Its name; for type `""` that of the system's network device, which need not exist yet.
    pub name: String,
    /// Its OpenFlow port number, 1 to 65279.
    pub number: u32,
    /// `""` for a device of the system, `internal`, `patch`, `geneve`, ….
    pub interface_type: String,
    /// The interface's options, as `peer` for a patch port.
    pub options: BTreeMap<String, String>,
    /// The MAC address of an internal port.
    pub mac: Option<String>,
}

impl BridgeSpec {
    /// Refuses what Open vSwitch would silently not do.
    pub(crate) fn check(&self) -> Result<(), OvsdbError> {
        let refuse = |detail: String| Err(OvsdbError::Spec { bridge: self.name.clone(), detail });
        let bad_name =
            |n: &str| n.is_empty() || n.len() > 255 || n.contains(['/', ' ']) || n.chars().any(char::is_control);
        if bad_name(&self.name) {
            return refuse("this cannot be a bridge's name".into());
        }
        if self.datapath_id == 0 {
            return refuse("its datapath id is 0; give it one of its own".into());
        }
        let (mut names, mut numbers) = (BTreeSet::from([&self.name]), BTreeMap::new());
        for port in &self.ports {
            if bad_name(&port.name) {
                return refuse(format!("`{}` cannot be a port's name", port.name.escape_debug()));
            }
            if !names.insert(&port.name) {
                return refuse(format!("port `{}` is there twice, or has the bridge's own name", port.name));
            }
            if !(1..=65_279).contains(&port.number) {
                return refuse(format!("port `{}` has number {}; 1 to 65279 are possible", port.name, port.number));
            }
            if let Some(other) = numbers.insert(port.number, &port.name) {
                return refuse(format!("ports `{other}` and `{}` both have number {}", port.name, port.number));
            }
        }
        Ok(())
    }

    /// The ports, the local port first.
    pub(crate) fn all_ports(&self) -> impl Iterator<Item = (PortSpec, bool)> {
        // Its number is not asked for: the local port is always OFPP_LOCAL. Its address comes from the bridge.
        let local = PortSpec { name: self.name.clone(), interface_type: "internal".into(), ..PortSpec::default() };
        std::iter::once((local, true)).chain(self.ports.iter().cloned().map(|p| (p, false)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_specifications_are_refused() {
        let port = |name: &str, number| PortSpec { name: name.into(), number, ..PortSpec::default() };
        let spec = |ports| BridgeSpec { name: "br0".into(), datapath_id: 1, ports, ..BridgeSpec::default() };
        assert_eq!(spec(vec![port("a", 1), port("b", 65_279)]).check(), Ok(()));
        for (bad, part) in [
            (spec(vec![port("a", 1), port("a", 2)]), "twice"),
            (spec(vec![port("br0", 1)]), "bridge's own name"),
            (spec(vec![port("a", 1), port("b", 1)]), "both have number 1"),
            (spec(vec![port("a", 0)]), "1 to 65279"),
            (spec(vec![port("a", 65_280)]), "1 to 65279"),
            (spec(vec![port("a/b", 1)]), "port's name"),
            (BridgeSpec { name: "a b".into(), ..spec(vec![]) }, "bridge's name"),
            (BridgeSpec { datapath_id: 0, ..spec(vec![]) }, "datapath id"),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
