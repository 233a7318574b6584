//! The office: two access switches and a node bridge, people, servers, printers, a stranger, a legacy network and a host
//! that plays the Internet.
//!
//! ```text
//!   sw1 p1 sales-1   p2 sales-2   p3 dev-1   p4 crm-1   p6 printer-1      node hq    old-hq (192.168.50.1, by route)
//!   sw2 p1 dev-2     p2 crm-2     p3 git-1   p4 stranger p5 printer-2          inet  internet (203.0.113.1, by NAT)
//! ```

mod expected;
mod story;

pub use expected::Expected;
pub use story::tell;

use std::net::Ipv4Addr;

use fseg_lab::probe::{Service, Table, Verdict};
use fseg_lab::{Client, DhcpClient, Endpoint, Jack, Lab, Namespace, Ovs};

use crate::SceneError;
use crate::node::{Login, NodeProcess, portal_login};

/// The virtual router of every endpoint.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Its MAC address on every switch.
pub const ROUTER_MAC: &str = "02:f5:e6:00:00:01";
/// An address that only the Internet has.
pub const WEBSITE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
/// The policy of the scene, also an example for people.
pub const POLICY: &str = include_str!("../../../../policies/office.yaml");
const NODE: &str = include_str!("node.yaml");
/// The passwords of the demo's people.
pub const PASSWORD: &str = "correct-horse-9";

/// What an endpoint is, and so how it comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Logs in at the portal; with this role, if any.
    Person(Option<&'static str>),
    /// Is on the device list.
    Server,
    /// Is known by its place.
    Printer,
    /// Nobody knows it.
    Stranger,
    /// Outside: a fixed address and gateway.
    Outside(&'static str, Ipv4Addr),
}

impl Kind {
    /// How it gets its address: there are two kinds of clients, since both are out there.
    fn client(self) -> Client {
        if self == Self::Printer { Client::Dhclient } else { Client::Udhcpc }
    }
}

/// One thing that is plugged in somewhere.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Its name; for those inside also what the node will call it.
    pub name: &'static str,
    /// Its MAC address.
    pub mac: &'static str,
    /// The switch port.
    pub port: &'static str,
    /// What it is.
    pub kind: Kind,
}

const fn plan(name: &'static str, mac: &'static str, port: &'static str, kind: Kind) -> Plan {
    Plan { name, mac, port, kind }
}

/// Everything that is plugged in.
pub const PLANS: [Plan; 12] = [
    plan("sales-1", "02:00:00:00:01:01", "sw1-p1", Kind::Person(None)),
    plan("sales-2", "02:00:00:00:01:02", "sw1-p2", Kind::Person(None)),
    plan("dev-1", "02:00:00:00:01:03", "sw1-p3", Kind::Person(Some("dev"))),
    plan("dev-2", "02:00:00:00:01:04", "sw2-p1", Kind::Person(Some("dev"))),
    plan("crm-1", "02:00:00:00:02:01", "sw1-p4", Kind::Server),
    plan("crm-2", "02:00:00:00:02:02", "sw2-p2", Kind::Server),
    plan("git-1", "02:00:00:00:02:03", "sw2-p3", Kind::Server),
    plan("printer-1", "02:00:00:00:03:01", "sw1-p6", Kind::Printer),
    plan("printer-2", "02:00:00:00:03:02", "sw2-p5", Kind::Printer),
    plan("stranger", "02:00:00:00:04:01", "sw2-p4", Kind::Stranger),
    plan("old-hq", "02:00:00:00:05:01", "node-hq", Kind::Outside("192.168.50.1/24", Ipv4Addr::new(192, 168, 50, 254))),
    plan(
        "internet",
        "02:00:00:00:05:02",
        "node-inet",
        Kind::Outside("203.0.113.1/24", Ipv4Addr::new(203, 0, 113, 254)),
    ),
];

/// The services that the table of everybody against everybody tries.
pub const SERVICES: [Service; 5] =
    [Service::Tcp(80), Service::Tcp(22), Service::Tcp(9100), Service::Udp(514), Service::Echo];

/// The built network.
pub struct Office<'lab> {
    lab: &'lab Lab,
    /// The node.
    pub node: NodeProcess,
    /// Open vSwitch of the node bridge, of sw1 and of sw2.
    pub switches: [Ovs; 3],
    endpoints: Vec<Endpoint>,
    clients: Vec<DhcpClient>,
}

impl<'lab> Office<'lab> {
    /// Builds switches, cables and endpoints; nothing is plugged in and the node is not started.
    pub fn build(lab: &'lab Lab) -> Result<Self, SceneError> {
        Self::build_with(lab, |config| config)
    }

    /// The same with a changed configuration of the node.
    pub fn build_with(lab: &'lab Lab, change: impl FnOnce(String) -> String) -> Result<Self, SceneError> {
        let root = lab.root();
        let node_ovs = lab.ovs("node")?;
        let mut access = Vec::new();
        for (name, link, here, there) in
            [("sw1", "m-sw1", "192.0.2.1/30", "192.0.2.2/30"), ("sw2", "m-sw2", "192.0.2.5/30", "192.0.2.6/30")]
        {
            let site = lab.namespace(name)?;
            lab.veth_between(&root, link, &site, "mgmt")?;
            root.add_address(link, here)?;
            site.add_address("mgmt", there)?;
            access.push(lab.ovs_in(name, &site)?);
        }
        let [sw1, sw2] = <[Ovs; 2]>::try_from(access).map_err(|_| SceneError::wrong("two access switches"))?;
        for (ovs, up, far) in [(&sw1, "sw1-up", "node-up1"), (&sw2, "sw2-up", "node-up2")] {
            lab.jack(Jack::of(ovs, up))?;
            lab.jack(Jack::of(&node_ovs, far))?;
            lab.patch(Jack::of(ovs, up), Jack::of(&node_ovs, far))?;
        }
        for (ovs, switch) in [(&sw1, "sw1"), (&sw2, "sw2")] {
            for n in 1..=6 {
                lab.jack(Jack::of(ovs, &format!("{switch}-p{n}")))?;
            }
        }
        lab.jack(Jack::of(&node_ovs, "node-hq"))?;
        lab.jack(Jack::of(&node_ovs, "node-inet"))?;
        let database = |ovs: &Ovs| ovs.db_remote().trim_start_matches("unix:").to_owned();
        let config = NODE
            .replace("DIR", &lab.dir().display().to_string())
            .replace("NODE_DB", &database(&node_ovs))
            .replace("SW1_DB", &database(&sw1))
            .replace("SW2_DB", &database(&sw2));
        let node = NodeProcess::new(root, lab.dir(), &change(config))?;
        let mut endpoints = Vec::new();
        for p in &PLANS {
            endpoints.push(lab.endpoint(p.name, p.mac)?);
        }
        Ok(Self { lab, node, switches: [node_ovs, sw1, sw2], endpoints, clients: vec![] })
    }

    /// The lab it is built in.
    pub fn lab(&self) -> &'lab Lab {
        self.lab
    }

    /// Starts the node and waits for its switches.
    pub fn start(&mut self) -> Result<(), SceneError> {
        self.node.start()?;
        self.node.wait_for_switches(3)
    }

    /// Writes the policy and applies it.
    pub fn apply(&self, policy: &str) -> Result<String, SceneError> {
        let path = self.lab.dir().join("office.yaml");
        std::fs::write(&path, policy).map_err(|error| SceneError::File { path: path.clone(), error })?;
        self.node.run(&["apply", &path.display().to_string()])
    }

    /// The same while a switch is away: it takes its part when it is back.
    pub fn apply_where_possible(&self, policy: &str) -> Result<String, SceneError> {
        let path = self.lab.dir().join("office.yaml");
        std::fs::write(&path, policy).map_err(|error| SceneError::File { path: path.clone(), error })?;
        self.node.run(&["apply", "--allow-missing", &path.display().to_string()])
    }

    /// Puts people and servers on the lists.
    pub fn register(&self) -> Result<(), SceneError> {
        for p in &PLANS {
            match p.kind {
                Kind::Person(role) => self.node.add_user(p.name, PASSWORD, role.as_slice())?,
                Kind::Server => self.node.run(&["device", "add", p.name, p.mac]).map(drop)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// An endpoint by name.
    pub fn endpoint(&self, name: &str) -> Result<&Endpoint, SceneError> {
        self.endpoints
            .iter()
            .find(|e| e.name() == name)
            .ok_or_else(|| SceneError::wrong(format!("the office has no {name}")))
    }

    /// All endpoints.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The jack of a switch port.
    pub fn jack(&self, port: &str) -> Jack {
        let [node, sw1, sw2] = &self.switches;
        let ovs = match port.split('-').next() {
            Some("sw1") => sw1,
            Some("sw2") => sw2,
            _ => node,
        };
        Jack::of(ovs, port)
    }

    /// Plugs an endpoint in and lets it get its address; outside hosts have theirs.
    pub fn join(&self, p: &Plan) -> Result<Ipv4Addr, SceneError> {
        let e = self.endpoint(p.name)?;
        e.plug(self.jack(p.port))?;
        match p.kind {
            Kind::Outside(cidr, gateway) => {
                e.static_address(cidr, Some(gateway))?;
                if p.name == "internet" {
                    e.ip(&["address", "add", &format!("{WEBSITE}/32"), "dev", "lo"])?;
                }
                Ok(e.address()?.unwrap_or(Ipv4Addr::UNSPECIFIED))
            }
            kind => Ok(e.dhcp(kind.client())?.address),
        }
    }

    /// Logs a person in.
    pub fn log_in(&self, name: &str) -> Result<(), SceneError> {
        let at: &Namespace = self.endpoint(name)?.namespace();
        match portal_login(at, ROUTER, name, PASSWORD)? {
            Login::Admitted => Ok(()),
            Login::Refused(code) => Err(SceneError::wrong(format!("the portal refused {name} with status {code}"))),
        }
    }

    /// Everybody comes in: plugged, addressed, logged in.
    pub fn everybody(&self) -> Result<(), SceneError> {
        for p in &PLANS {
            self.join(p)?;
            if let Kind::Person(_) = p.kind {
                self.log_in(p.name)?;
            }
        }
        Ok(())
    }

    /// Lets everybody inside stay: DHCP clients that keep renewing take the place of those that ended with the first
    /// answer, as long as the office stands. Everybody must keep its address.
    pub fn stay(&mut self) -> Result<(), SceneError> {
        for p in PLANS.iter().filter(|p| !matches!(p.kind, Kind::Outside(..))) {
            let e = self.endpoint(p.name)?;
            let before = e.address()?;
            let client = e.dhcp_daemon(p.kind.client())?;
            let now = client.lease().address;
            if before.is_some_and(|before| before != now) {
                return Err(SceneError::wrong(format!("{} had {before:?} and is given {now}", p.name)));
            }
            self.clients.push(client);
        }
        Ok(())
    }

    /// Everybody tries everything with everybody; the wrong cells, in a picture, if there are any.
    pub fn judge(&self, expected: &Expected) -> Result<usize, SceneError> {
        let seen = fseg_lab::probe::matrix(&self.endpoints, &SERVICES, std::time::Duration::from_millis(2500))?;
        let mut table = Table::default();
        for (cell, verdict) in seen.iter() {
            // Whatever web page a stranger asks for, the portal answers in its place: not the one who was asked.
            let portal = cell.source == "stranger" && cell.service == Service::Tcp(80);
            let verdict = if portal && verdict == Verdict::WrongAnswer { Verdict::Blocked } else { verdict };
            table.insert(cell.clone(), verdict);
        }
        let diff = table.diff(|from, to, service| expected.permits(from, to, service));
        if diff.is_right() { Ok(table.len()) } else { Err(SceneError::wrong(diff.to_string())) }
    }
}
