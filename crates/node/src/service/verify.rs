//! Proofs of switches for the API, for health and for metrics.

use fseg_api::{ApiError, BlameView, FindingView, HealthPart, ProofView};
use fseg_control::Controller;
use fseg_model::{Dpid, Name};
use fseg_verify::{Blame, Finding};

use super::{Node, no_answer};
use crate::proof::Proof;

impl Node {
    pub(super) async fn prove(&self, name: Name) -> Result<ProofView, ApiError> {
        let wanted = name.clone();
        let dpid = self.core.ask(move |c, _| c.config().switches.iter().find(|s| s.name == wanted).map(|s| s.dpid));
        let dpid = dpid.await.map_err(no_answer)?.ok_or_else(|| {
            ApiError::not_found("switch", &name).help("`fseg switches` lists the switches of the configuration")
        })?;
        let proof = self.core.prove(dpid).await.map_err(no_answer)?;
        self.core.ask(move |c, _| view(c, dpid, &proof)).await.map_err(no_answer)
    }

    /// What the last proof of each switch said.
    pub(super) async fn proof_health(&self) -> Vec<HealthPart> {
        let last = self.core.proofs.last();
        let parts = self.core.ask(move |c, _| last.iter().map(|(dpid, p)| part(c, *dpid, p)).collect());
        parts.await.unwrap_or_default()
    }
}

fn part(c: &Controller, dpid: Dpid, proof: &Proof) -> HealthPart {
    let name = format!("proof {}", c.config().switch_name(dpid));
    let (ok, detail) = match &proof.result {
        Ok(r) if r.is_proved() => {
            (true, format!("{} rows treat every packet as the policy says, {} ms", r.rows, proof.took.as_millis()))
        }
        Ok(r) => (
            false,
            format!(
                "packets are treated otherwise than the policy says in {} places: `fseg verify {}` names packets and rows",
                r.different,
                c.config().switch_name(dpid)
            ),
        ),
        Err(why) => (true, format!("not proved: {why}")),
    };
    let connected = c.switches().any(|(d, s)| d == dpid && s.phase == fseg_control::LinkPhase::Up);
    let mut part = if connected {
        HealthPart::new(name, ok, detail)
    } else {
        HealthPart::new(name, ok, format!("not connected, so not proved now; when it last was: {detail}"))
    };
    part.warning = proof.lasting || !connected;
    part
}

fn view(c: &Controller, dpid: Dpid, proof: &Proof) -> ProofView {
    let mut out = ProofView {
        switch: c.config().switch_name(dpid),
        at: proof.at.into(),
        proved: false,
        unknown: None,
        rows: 0,
        pairs: 0,
        parts: 0,
        remembered: 0,
        milliseconds: proof.took.as_millis() as u64,
        different: 0,
        findings: vec![],
        foreign: vec![],
        temporary: vec![],
        harmless: vec![],
    };
    match &proof.result {
        Err(why) => out.unknown = Some(why.clone()),
        Ok(r) => {
            out.proved = r.is_proved();
            (out.rows, out.pairs) = (r.rows as u64, r.pairs as u64);
            (out.parts, out.remembered) = (r.parts as u64, r.remembered as u64);
            out.different = r.different as u64;
            out.findings = r.findings.iter().map(|f| finding(c, f)).collect();
            out.foreign.clone_from(&r.foreign);
            out.temporary.clone_from(&r.temporary);
            if r.is_proved() {
                out.harmless.clone_from(&r.extra);
            }
        }
    }
    out
}

fn finding(c: &Controller, f: &Finding) -> FindingView {
    FindingView {
        place: f.part.to_string(),
        packet: f.packet.as_ref().map(ToString::to_string),
        inputs: f.inputs.clone(),
        expected: f.expected.clone(),
        found: f.found.clone(),
        rows: f.blamed.iter().map(|b| blame(c, b)).collect(),
    }
}

fn blame(c: &Controller, b: &Blame) -> BlameView {
    let owner = b.owner.map(|o| c.owner_label(o)).map_or_else(|| "foreign".into(), |(kind, id)| format!("{kind} {id}"));
    BlameView { missing: b.missing, cookie: format!("{:#018x}", b.cookie), owner, row: b.row.clone() }
}
