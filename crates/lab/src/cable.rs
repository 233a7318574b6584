//! Jacks, cables and the patch panel between them.
//!
//! A switch port is an interface that never goes away, as on real hardware: Open vSwitch's userspace datapath does
//! not reopen an interface that vanished and came back under the same name, and keeps forwarding for one that was
//! renamed. So each port is one end of a veth pair, its *jack*; each endpoint's `eth0` is one end of another, its
//! *cable*. The other ends meet in a namespace called the panel, where plugging in is a pair of `tc` redirections. An
//! empty jack and a loose cable have no carrier. Moving a cable touches nothing inside the endpoint: its addresses,
//! routes and connections stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lab::{Lab, Shared};
use crate::namespace::{Namespace, check_interface};
use crate::{LabError, Ovs};

const PANEL: &str = "lab-panel";
/// An interface of the namespace in question whose frames end nowhere.
const SINK: &str = "lab-sink";

/// A switch port's socket: the interface `name` in a namespace. From a string: in the lab's own namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Jack {
    name: String,
    namespace: Option<String>,
}

impl Jack {
    /// The jack called `name` in the namespace `place` (that of the switch it belongs to).
    #[must_use]
    pub fn at(place: &Namespace, name: &str) -> Self {
        Self { name: name.to_owned(), namespace: place.name().map(str::to_owned) }
    }

    /// The jack called `name` where `ovs` runs.
    #[must_use]
    pub fn of(ovs: &Ovs, name: &str) -> Self {
        Self::at(ovs.namespace(), name)
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl From<&str> for Jack {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), namespace: None }
    }
}

pub(crate) fn panel(shared: &Arc<Shared>) -> Namespace {
    Namespace::existing(shared, PANEL)
}

pub(crate) fn build_panel(lab: &Lab) -> Result<(), LabError> {
    Namespace::make(&lab.shared, PANEL).map(drop)
}

/// Makes the pair for a jack if it does not exist yet.
pub(crate) fn ensure_jack(shared: &Arc<Shared>, jack: &Jack) -> Result<(), LabError> {
    check_interface(&jack.name)?;
    {
        let state = shared.state();
        if state.jacks.contains_key(jack) {
            return Ok(());
        }
        if let Some(other) = state.jacks.keys().find(|other| other.name == jack.name) {
            let place = other.namespace.as_deref().unwrap_or("root");
            let why = format!("the jack {} exists in {place} already: jack names are unique in the lab", jack.name);
            return Err(LabError::Usage(why));
        }
    }
    let place = match &jack.namespace {
        Some(name) => Namespace::existing(shared, name),
        None => Namespace::root(shared),
    };
    let panel = panel(shared);
    place.script(MAKE_JACK, &[&jack.name, PANEL, SINK])?;
    panel.script(PREPARE, &[&jack.name])?;
    shared.state().jacks.insert(jack.clone(), None);
    Ok(())
}

/// Makes `eth0` of an endpoint; answers the panel end's name.
pub(crate) fn make_cable(shared: &Arc<Shared>, owner: &Namespace, mac: &str) -> Result<String, LabError> {
    let end = {
        let mut state = shared.state();
        state.cables += 1;
        format!("cable{}", state.cables)
    };
    let owner_name = owner.name().unwrap_or("1");
    let panel = panel(shared);
    panel.ip(&["link", "add", &end, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", owner_name])?;
    panel.script(PREPARE, &[&end])?;
    owner.script("ip link set eth0 up; ethtool -K eth0 tx off >/dev/null", &[])?;
    Ok(end)
}

/// Joins a cable and a jack, taking it out of where it was; a jack that holds another cable is refused, and nothing
/// changes.
pub(crate) fn plug(shared: &Arc<Shared>, cable: &str, jack: &Jack) -> Result<(), LabError> {
    ensure_jack(shared, jack)?;
    is_free_for(&shared.state().jacks, jack, cable)?;
    unplug(shared, cable)?;
    shared.state().jacks.insert(jack.clone(), Some(cable.to_owned()));
    panel(shared).script(JOIN, &[cable, &jack.name]).map(drop)
}

/// Joins two jacks, as a cable from switch to switch.
pub(crate) fn patch(shared: &Arc<Shared>, a: &Jack, b: &Jack) -> Result<(), LabError> {
    if a == b {
        return Err(LabError::Usage(format!("the jack {} cannot be joined to itself", a.name)));
    }
    ensure_jack(shared, a)?;
    ensure_jack(shared, b)?;
    {
        let jacks = &mut shared.state().jacks;
        is_free_for(jacks, a, &b.name)?;
        is_free_for(jacks, b, &a.name)?;
        jacks.insert(a.clone(), Some(b.name.clone()));
        jacks.insert(b.clone(), Some(a.name.clone()));
    }
    panel(shared).script(JOIN, &[&a.name, &b.name]).map(drop)
}

fn is_free_for(jacks: &BTreeMap<Jack, Option<String>>, jack: &Jack, end: &str) -> Result<(), LabError> {
    match jacks.get(jack) {
        Some(Some(other)) if other != end => {
            Err(LabError::Usage(format!("the jack {} holds {other} already: unplug that first", jack.name)))
        }
        _ => Ok(()),
    }
}

/// Parts `end`, a cable or a jack, from what it is joined to; nothing happens if it is loose.
pub(crate) fn unplug(shared: &Arc<Shared>, end: &str) -> Result<(), LabError> {
    let mut other = None;
    for (jack, held) in &mut shared.state().jacks {
        if held.as_deref() == Some(end) {
            *held = None;
            other = Some(jack.name.clone());
        } else if jack.name == end {
            other = held.take().or(other);
        }
    }
    match other {
        Some(other) => {
            panel(shared).script("ip link set \"$1\" down; ip link set \"$2\" down", &[end, &other]).map(drop)
        }
        None => Ok(()),
    }
}

/// `$1` jack, `$2` panel, `$3` sink.
///
/// Made up in one step, so that the switch never opens it while it is down. What arrives from the cable belongs to
/// the switch alone, which reads it by packet socket; the machine's own stack would otherwise answer ARP and receive
/// broadcasts on every port. The kernel hands frames to packet sockets before `tc`, and `tc` sends them to the sink.
/// (A redirection, because the action that drops is a module that small kernels lack.)
const MAKE_JACK: &str = r#"
if ! ip link show "$3" >/dev/null 2>&1; then
    ip link add "$3" up arp off type veth peer name "sink$$" netns "$2"
    ip -n "$2" link set "sink$$" up arp off
fi
ip link add "$1" up type veth peer name "$1" netns "$2"
ethtool -K "$1" tx off >/dev/null
tc qdisc add dev "$1" clsact
tc filter add dev "$1" ingress prio 1 protocol all u32 match u32 0 0 action mirred egress redirect dev "$3"
"#;

const PREPARE: &str = r#"tc qdisc add dev "$1" clsact"#;

/// `$1` cable, `$2` jack. The filters come before the carrier: the first frame after "link up" already passes.
const JOIN: &str = r#"
ip link set "$1" down
ip link set "$2" down
for pair in "$1 $2" "$2 $1"; do
    set -- $pair
    tc filter replace dev "$1" ingress prio 1 handle 800::800 protocol all u32 match u32 0 0 action mirred egress redirect dev "$2"
done
ip link set "$1" up
ip link set "$2" up
"#;
