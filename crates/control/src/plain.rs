//! Switches without extensions: what they turn out to be, and what the node does for them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use fseg_model::{Dpid, Location};
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_pipeline::{Desired, Owner, Profile, Table, meter};
use fseg_wire::{Frame, Payload};

use crate::controller::Controller;
use crate::effect::EventKind;
use crate::link::Lacking;

/// What a switch can hold, and what of its rows it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchFit {
    /// Which rows it is given: `ovs` or `openflow13`.
    pub profile: String,
    /// Its tables with rows and sizes; only of switches that told their sizes.
    pub tables: Vec<TableUse>,
    /// Whose rows are not all there, and why; with the owner's kind and name.
    pub lacking: Vec<(&'static str, String, Lacking)>,
    /// Why it cannot be used at all.
    pub unfit: Option<String>,
}

/// How full a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableUse {
    /// Which.
    pub table: Table,
    /// Rows that it should hold.
    pub rows: usize,
    /// Rows that it takes, by its own words.
    pub size: u32,
}

impl Controller {
    /// Names of the switches that track no connections.
    pub fn plain_switches(&self) -> Vec<fseg_model::Name> {
        let plain = self.fabric.switches.values().filter(|s| s.profile.plain().is_some());
        plain.map(|s| self.name_of(s.dpid)).collect()
    }

    /// What a switch can hold and what it lacks; `None` for a switch that the configuration does not have.
    pub fn switch_fit(&self, dpid: Dpid) -> Option<SwitchFit> {
        let link = self.links.get(&dpid)?;
        let profile = &self.fabric.switch(dpid)?.profile;
        let sizes = profile.plain().map(|can| &can.tables).filter(|tables| !tables.is_empty());
        let mut tables = Vec::new();
        if let Some(can) = profile.plain().filter(|_| sizes.is_some()) {
            let used = rows_by_table(&link.desired);
            tables = Table::all()
                .filter_map(|table| {
                    let rows = used.get(&table).copied().unwrap_or_default();
                    Some(TableUse { table, rows, size: can.size(table)? }).filter(|t| t.rows > 0)
                })
                .collect();
        }
        let lacking = link.lacking().into_iter().map(|l| {
            let (kind, id) = self.owner_label(l.owner);
            (kind, id, l)
        });
        Some(SwitchFit { profile: profile.to_string(), tables, lacking: lacking.collect(), unfit: link.unfit.clone() })
    }

    /// A switch has said what it is. Its rows are made for that, and then it is read.
    pub(crate) fn switch_learned(&mut self, dpid: Dpid, profile: Profile) {
        let name = self.config.switch_name(dpid);
        let mut complaint = profile.plain().and_then(|can| can.complaint());
        let metered = profile.plain().is_none_or(|can| can.meters);
        let Some(facts) = self.fabric.switches.get_mut(&dpid) else { return };
        if facts.profile != profile {
            let text = match &profile {
                Profile::Ovs => "has Open vSwitch's extensions".to_owned(),
                Profile::OpenFlow13(can) => {
                    let without = if can.meters { "" } else { " and no meters" };
                    format!("speaks OpenFlow 1.3 without extensions, has {} tables{without}", can.tables.len())
                }
            };
            facts.profile = profile;
            self.event(EventKind::Switch, format!("switch {name} {text}"), |_| {});
            self.compile_again(dpid);
        }
        let Some(link) = self.links.get_mut(&dpid) else { return };
        link.metered = metered;
        if complaint.is_none() {
            let whole = link.lacking().into_iter().find(|l| matches!(l.owner, Owner::System(_)));
            complaint = whole.map(|l| l.why);
        }
        let messages = match &complaint {
            Some(why) => link.shut(why.clone()),
            None => {
                link.unfit = None;
                link.read()
            }
        };
        let connection = link.connection;
        self.outgoing.push((dpid, connection, messages));
        if let Some(why) = complaint {
            let text = format!("switch {name} cannot be used, and passes nothing: {why}");
            self.event(EventKind::Switch, text, |_| {});
        }
    }

    /// Makes all rows of one switch anew. Those of others stay as they are.
    fn compile_again(&mut self, dpid: Dpid) {
        self.refresh_system(dpid);
        for id in self.endpoints.iter().map(|k| k.endpoint.id).collect::<Vec<_>>() {
            self.refresh_endpoint(id);
        }
        self.refresh_externals();
        self.refresh_all_permits();
    }

    /// Whether a port of a switch without meters may show the node one more packet: the node has its own budget for it then.
    /// It spares the node's work, not the switch's.
    pub(crate) fn within_budget(&mut self, place: Location) -> bool {
        let now = self.now.mono;
        let Some(link) = self.links.get_mut(&place.switch) else { return false };
        if link.metered {
            return true;
        }
        // Ports that the configuration does not have show nothing, whatever numbers a switch invents.
        if self.fabric.switch(place.switch).is_none_or(|s| s.port(place.port).is_none()) {
            return false;
        }
        let meter = meter::control(place.port);
        let (left, since) = link.budgets.entry(place.port).or_insert((meter.burst, now));
        let earned = now.since(*since).as_millis() * u128::from(meter.rate) / 1000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(meter.burst);
            (*left, *since) = (left.saturating_add(earned).min(meter.burst), now);
        }
        let allowed = *left > 0;
        *left = left.saturating_sub(1);
        allowed
    }

    /// Somebody asks for an address that its switch does not answer for: whoever has it, the way is the virtual router.
    pub(crate) fn resolve(&mut self, place: Location, frame: &Frame) {
        let Payload::Arp(arp) = &frame.payload else { return };
        let announces = arp.sender_ip == arp.target_ip || arp.sender_ip == Ipv4Addr::UNSPECIFIED;
        if announces || arp.sender_mac != frame.source {
            return;
        }
        let answer = arp.reply(ROUTER_MAC).to_frame(ROUTER_MAC, arp.sender_mac);
        let Some(link) = self.links.get_mut(&place.switch) else { return };
        let message = link.packet_out(place.port, answer);
        let connection = link.connection;
        self.replies.push((place.switch, connection, message));
    }
}

fn rows_by_table(desired: &Desired) -> BTreeMap<Table, usize> {
    let mut used = BTreeMap::new();
    for row in desired.iter() {
        *used.entry(row.key.table).or_default() += 1;
    }
    used
}
