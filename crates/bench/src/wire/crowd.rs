//! The office with a crowd: endpoints that the store has, behind one port of sw1, whose rows the switches get like anybody's.

use fseg_control::{Change, Record};
use fseg_lab::Lab;
use fseg_model::{Dpid, Location, Mac, PortNo};
use fseg_node::persist::to_store;
use fseg_scenes::SceneError;
use fseg_scenes::office::{Office, POLICY};
use fseg_store::{SqliteStore, Store};

use super::{Told, packet_in};
use crate::site;

/// The policy of the office, with groups and permits for the crowd.
pub(crate) fn policy(groups: usize) -> String {
    let crowd = site::policy(groups, groups);
    let (their_groups, their_permits) = crowd.split_once("permits:\n").expect("groups, then permits");
    let their_groups = their_groups.trim_start_matches("groups:\n");
    POLICY.replacen("groups:\n", &format!("groups:\n{their_groups}"), 1).replacen(
        "\npermits:\n",
        &format!("\npermits:\n{their_permits}"),
        1,
    )
}

/// Groups of a crowd.
pub(crate) fn groups(endpoints: usize) -> usize {
    (endpoints / 100).clamp(1, 1_000)
}

/// Builds the office, fills its store, starts the node, and lets everybody in.
pub(crate) fn office(lab: &Lab, endpoints: usize) -> Told<Office<'_>> {
    let mut office = Office::build_with(lab, |config| {
        config
            .replace("device: sw1-p5 }", "device: sw1-p5, kind: shared }")
            .replace("last: 10.0.3.254", "last: 10.200.255.254")
    })?;
    let hub = lab.endpoint("hub", "02:00:00:00:09:01")?;
    hub.plug(office.jack("sw1-p5"))?;
    office.start()?;
    if endpoints > 0 {
        // The bridges have their ports now; whoever is behind a port without a link is not there.
        office.node.stop()?;
        populate(lab, endpoints, |_| Location { switch: Dpid(0x11), port: PortNo(5) })?;
        office.start()?;
    }
    office.apply(&policy(groups(endpoints)))?;
    office.register()?;
    office.everybody()?;
    office.stay()?;
    Ok(office)
}

/// The office with switches that the packet-in generator plays, and a crowd behind those.
pub(crate) fn generated(lab: &Lab) -> Told<Office<'_>> {
    let office = Office::build_with(lab, |config| super::packet_in::config(&config))?;
    populate(lab, packet_in::SWITCHES * packet_in::EACH, |n| Location {
        switch: Dpid(packet_in::FIRST + (n / packet_in::EACH) as u64),
        port: PortNo(1),
    })?;
    office.node.start()?;
    Ok(office)
}

/// The office whose store is on a tmpfs or on the disk, with a port for many clients.
pub(crate) fn leasing(lab: &Lab, disk: bool) -> Told<Office<'_>> {
    let state = lab.dir().join("state");
    std::fs::create_dir_all(&state).map_err(|e| SceneError::wrong(e.to_string()))?;
    if !disk {
        let path = state.display().to_string();
        lab.root().exec(&["mount", "-t", "tmpfs", "-o", "mode=0700", "bench", &path])?.check()?;
    }
    let mut office = Office::build_with(lab, |config| super::dhcp::config(&config))?;
    office.start()?;
    Ok(office)
}

fn populate(lab: &Lab, endpoints: usize, place: impl Fn(usize) -> Location) -> Told {
    let state = lab.dir().join("state");
    let failed = |e: &dyn std::fmt::Display| SceneError::wrong(format!("the store cannot be filled: {e}"));
    std::fs::create_dir_all(&state).map_err(|e| failed(&e))?;
    let mut store = SqliteStore::open(&state.join("fseg.db")).map_err(|e| failed(&e))?;
    let records = site::records(endpoints, groups(endpoints), 0).into_iter().filter_map(|record| match record {
        Record::Policy(_) => None,
        Record::Endpoint(mut e) => {
            e.mac = crowd_mac(e.mac);
            if let Some(binding) = &mut e.binding {
                binding.location = place(e.id.0 as usize - 1);
            }
            Some(Record::Endpoint(e))
        }
        Record::Lease(mut l) => {
            l.mac = crowd_mac(l.mac);
            l.until = fseg_model::Wall(u64::from(u32::MAX) * 1_000);
            Some(Record::Lease(l))
        }
        Record::Device(mut d) => {
            d.matcher = fseg_admission::MacMatcher::exact(crowd_mac(d.matcher.as_exact()?));
            Some(Record::Device(d))
        }
        other => Some(other),
    });
    let changes: Vec<_> = records.map(|r| to_store(&Change::Put(r))).collect();
    for batch in changes.chunks(5_000) {
        store.commit(batch).map_err(|e| failed(&e))?;
    }
    Ok(())
}

/// The crowd's addresses do not meet those of the office's own.
pub(crate) fn crowd_mac(Mac(mut octets): Mac) -> Mac {
    octets[0] = 6;
    Mac(octets)
}
