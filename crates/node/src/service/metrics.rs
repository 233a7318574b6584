//! Metrics in the text format of Prometheus, made from the controller's state when asked for.

use std::sync::atomic::AtomicU64;

use fseg_control::{Controller, LinkPhase, Standing};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Switch {
    switch: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Permit {
    permit: String,
}

type Gauges<L> = Family<L, Gauge<u64, AtomicU64>>;

pub(super) fn collect(c: &Controller, store_ok: bool, proofs: &[(fseg_model::Dpid, crate::proof::Proof)]) -> Registry {
    let mut registry = Registry::with_prefix("fseg");
    let endpoints = Gauges::<State>::default();
    for state in ["admitted", "stranger", "away"] {
        endpoints.get_or_create(&State { state }).set(0);
    }
    for (_, standing, _) in c.endpoints() {
        let state = match standing {
            Standing::Admitted => "admitted",
            Standing::Stranger => "stranger",
            Standing::Away => "away",
        };
        endpoints.get_or_create(&State { state }).inc();
    }
    registry.register("endpoints", "Endpoints by where they stand", endpoints);
    let (connected, rows, pending, foreign) =
        (Gauges::<Switch>::default(), Gauges::default(), Gauges::default(), Gauges::default());
    for (dpid, s) in c.switches() {
        let label = Switch { switch: c.config().switch_name(dpid) };
        connected.get_or_create(&label).set(u64::from(s.phase != LinkPhase::Down));
        rows.get_or_create(&label).set(s.rows as u64);
        pending.get_or_create(&label).set(s.pending as u64);
        foreign.get_or_create(&label).set(s.foreign as u64);
    }
    registry.register("switch_connected", "1 while the switch is connected", connected);
    registry.register("switch_rows", "Rows the switch should hold", rows);
    registry.register("switch_pending", "Changes the switch has not confirmed", pending);
    registry.register("switch_foreign_rows", "Rows of others found when the switch was last read", foreign);
    let (packets, bytes) = (Gauges::<Permit>::default(), Gauges::default());
    for p in &c.policy().permits {
        let (label, usage) = (Permit { permit: p.id.to_string() }, c.usage(&p.id));
        packets.get_or_create(&label).set(usage.packets);
        bytes.get_or_create(&label).set(usage.bytes);
    }
    registry.register("permit_packets", "Packets a permit let through since the node started", packets);
    registry.register("permit_bytes", "Bytes a permit let through since the node started", bytes);
    let ok = Gauge::<u64, AtomicU64>::default();
    ok.set(u64::from(store_ok));
    registry.register("store_ok", "1 while committed state can be written", ok);
    let (proved, took, different) = (Gauges::<Switch>::default(), Gauges::default(), Gauges::default());
    for (dpid, proof) in proofs {
        let Ok(report) = &proof.result else { continue };
        let label = Switch { switch: c.config().switch_name(*dpid) };
        proved.get_or_create(&label).set(u64::from(report.is_proved()));
        different.get_or_create(&label).set(report.different as u64);
        took.get_or_create(&label).set(proof.took.as_millis() as u64);
    }
    registry.register("switch_proved", "1 when the switch's rows were last proved to do what the policy says", proved);
    registry.register("switch_differences", "Parts of the switch's tables that differed then", different);
    registry.register("switch_proof_milliseconds", "How long the comparison took", took);
    registry.register("starts", "Starts of this node", ConstCounter::new(u64::from(c.round())));
    registry
}

pub(super) fn encode(registry: &Registry) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = text::encode(&mut out, registry);
    out
}
