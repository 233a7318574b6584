//! The controller's world as the API shows it.

use std::collections::BTreeMap;

use fseg_api::{
    AccountView, DecisionView, DeviceView, EndpointState, EndpointView, Explanation, GroupView, PartyView, PermitState,
    PermitView, PortView, RowView, SessionView, SwitchView, WhyView,
};
use fseg_control::{Controller, Explained, LinkPhase, Now, Party, PathRow, Standing, Why};
use fseg_model::{Name, PortKind, Posture, Subject};
use fseg_pipeline::{Owner, SwitchRole};
use fseg_policy::{Decision, Permit};

use super::trace;
use crate::outlets::Outlets;

fn names<'a>(list: impl IntoIterator<Item = &'a Name>) -> Vec<String> {
    list.into_iter().map(ToString::to_string).collect()
}

pub(super) fn endpoints(c: &Controller, _: Now) -> Vec<EndpointView> {
    c.endpoints()
        .map(|(e, standing, class)| {
            let session = e.session.as_ref();
            let (spoofed_packets, idle) = c.endpoint_counters(e.id).unwrap_or_default();
            EndpointView {
                id: e.id.0,
                name: e.name.as_ref().map(ToString::to_string),
                mac: e.mac.to_string(),
                addresses: e.binding.as_ref().map(|b| b.addresses.clone()).unwrap_or_default(),
                place: e.binding.as_ref().and_then(|b| c.config().place(b.location)).map(|p| p.to_string()),
                subject: session.map(|s| s.identity.subject.to_string()),
                roles: session.map(|s| names(&s.identity.roles)).unwrap_or_default(),
                groups: session.map(|s| names(&c.groups_of(&s.identity))).unwrap_or_default(),
                class: class.map(|c| c.get()),
                method: session.map(|s| s.method.into()),
                posture: e.posture.into(),
                posture_until: match e.posture {
                    Posture::Grey { until } => Some(until.into()),
                    _ => None,
                },
                watch: e.watch.into(),
                since: session.map(|s| s.since).or(e.binding.as_ref().map(|b| b.since)).map(Into::into),
                until: session.and_then(|s| s.until).map(Into::into),
                idle_seconds: Some(idle.as_secs()),
                state: match standing {
                    Standing::Stranger => EndpointState::Stranger,
                    Standing::Admitted => EndpointState::Admitted,
                    Standing::Away => EndpointState::Away,
                },
                spoofed_packets,
            }
        })
        .collect()
}

pub(super) fn sessions(c: &Controller, _: Now) -> Vec<SessionView> {
    c.endpoints()
        .filter_map(|(e, ..)| {
            let s = e.session.as_ref()?;
            Some(SessionView {
                endpoint: e.name.as_ref().map_or_else(|| e.mac.to_string(), ToString::to_string),
                endpoint_id: e.id.0,
                mac: e.mac.to_string(),
                place: e.binding.as_ref().and_then(|b| c.config().place(b.location)).map(|p| p.to_string()),
                subject: s.identity.subject.to_string(),
                roles: names(&s.identity.roles),
                method: s.method.into(),
                since: s.since.into(),
                until: s.until.map(Into::into),
                idle_limit_seconds: s.idle_seconds,
            })
        })
        .collect()
}

pub(super) fn groups(c: &Controller, _: Now) -> Vec<GroupView> {
    let policy = c.policy();
    let mut inside: BTreeMap<Name, Vec<String>> = BTreeMap::new();
    for (e, ..) in c.endpoints() {
        let Some(session) = &e.session else { continue };
        let label = e.name.as_ref().map_or_else(|| e.mac.to_string(), ToString::to_string);
        for group in &c.groups_of(&session.identity) {
            inside.entry(group.clone()).or_default().push(label.clone());
        }
    }
    policy
        .groups
        .values()
        .map(|g| GroupView {
            name: g.name.to_string(),
            description: g.description.clone(),
            members: g.members.iter().map(ToString::to_string).collect(),
            endpoints: inside.remove(&g.name).unwrap_or_default(),
            permits: policy
                .permits
                .iter()
                .filter(|p| p.from.contains(&g.name) || p.to.contains(&g.name))
                .map(|p| p.id.to_string())
                .collect(),
        })
        .collect()
}

pub(super) fn permits(c: &Controller, now: Now) -> Vec<PermitView> {
    c.policy().permits.iter().map(|p| permit(c, p, now)).collect()
}

fn permit(c: &Controller, p: &Permit, now: Now) -> PermitView {
    let usage = c.usage(&p.id);
    let mut services = names(&p.services);
    if services.is_empty() {
        services = p.terms.iter().map(ToString::to_string).collect();
    }
    PermitView {
        id: p.id.to_string(),
        from: names(&p.from),
        to: names(&p.to),
        services,
        protect: p.protect.as_ref().map(ToString::to_string),
        owner: p.owner.clone(),
        reason: p.reason.clone(),
        starts: p.starts.map(Into::into),
        expires: p.expires.map(Into::into),
        state: if p.has_expired(now.wall) {
            PermitState::Expired
        } else if !p.has_started(now.wall) {
            PermitState::Waiting
        } else if p.mode == fseg_policy::Mode::Observe {
            PermitState::Trial
        } else {
            PermitState::Active
        },
        packets: usage.packets,
        bytes: usage.bytes,
        connections: None,
        last_used: usage.last.map(Into::into),
    }
}

fn kind_text(kind: PortKind) -> &'static str {
    match kind {
        PortKind::Access => "access",
        PortKind::Shared => "shared",
        PortKind::Uplink => "uplink",
        PortKind::Tunnel => "tunnel",
        PortKind::Service => "service",
        PortKind::Legacy => "legacy",
    }
}

pub(super) fn switches(c: &Controller, outlets: &Outlets) -> Vec<SwitchView> {
    c.switches()
        .filter_map(|(dpid, status)| {
            let config = c.config().switch(dpid)?;
            let fit = c.switch_fit(dpid)?;
            let ports = config
                .ports
                .iter()
                .map(|p| PortView {
                    number: p.number.0,
                    name: p.name.to_string(),
                    kind: kind_text(p.kind).into(),
                    up: status.ports_up.get(&p.number).copied().unwrap_or(false),
                    uncontrolled: p.kind == PortKind::Shared,
                })
                .collect();
            Some(SwitchView {
                name: config.name.to_string(),
                dpid: dpid.to_string(),
                role: match config.role {
                    SwitchRole::Access => "access".into(),
                    SwitchRole::Node => "node".into(),
                },
                connected: status.phase != LinkPhase::Down,
                ready: status.phase == LinkPhase::Up,
                since: status.since.map(Into::into),
                peer: outlets.peer(dpid).map(|p| p.to_string()),
                ports,
                rows: status.rows as u64,
                foreign_rows: status.foreign as u64,
                pending: status.pending as u64,
                last_error: status.last_error.map(ToOwned::to_owned),
                profile: fit.profile,
                tables: fit.tables.into_iter().map(super::fit::table).collect(),
                lacking: fit.lacking.into_iter().map(super::fit::lacking).collect(),
                unfit: fit.unfit,
            })
        })
        .collect()
}

pub(super) fn row(c: &Controller, r: &PathRow) -> RowView {
    let key = &r.row.key;
    let mut text = r.row.to_add(c.round());
    let cookie = text.cookie;
    text.cookie = 0;
    let owner = match (r.row.owner, c.owner_label(r.row.owner)) {
        (Owner::System(s), _) => format!("system: {}", s.sentence()),
        (Owner::Spoof(_), (_, id)) => format!("forged sources of {id}"),
        (_, (kind, id)) => format!("{kind} {id}"),
    };
    RowView {
        switch: c.config().switch_name(r.dpid),
        table: key.table.number(),
        table_name: key.table.to_string(),
        priority: key.priority,
        text: text.to_string().trim_start_matches("ADD ").to_owned(),
        cookie: format!("{cookie:#018x}"),
        owner,
        packets: r.counter.packets,
        bytes: r.counter.bytes,
    }
}

fn party(c: &Controller, p: &Party) -> PartyView {
    PartyView {
        name: p.name.clone(),
        groups: names(&p.members),
        class: p.class.map(|c| c.get()),
        place: p.place.and_then(|l| c.config().place(l)).map(|p| p.to_string()),
        addresses: p.addresses.clone(),
    }
}

pub(super) fn explanation(c: &Controller, e: &Explained, now: Now) -> Explanation {
    Explanation {
        decision: match e.decision {
            _ if e.unreachable.is_some() => DecisionView::Deny,
            Decision::Permit { .. } => DecisionView::Permit,
            Decision::Observe { .. } => DecisionView::Observe,
            Decision::Deny { .. } => DecisionView::Deny,
        },
        permit: e.permit.as_ref().map(|p| permit(c, p, now)),
        reason: match &e.unreachable {
            Some(why) => format!("{}, but nobody is reached there: {why}", e.decision),
            None => e.decision.to_string(),
        },
        from: party(c, &e.from),
        to: party(c, &e.to),
        service: e.flow.to_string(),
        rows: e.rows.iter().map(|r| row(c, r)).collect(),
        tables: match &e.traced {
            Ok(traced) => traced.ends.iter().map(|end| trace::end(c, end)).collect::<Vec<_>>().join("; "),
            Err(why) => format!("the tables cannot be asked: {why}"),
        },
        defect: e.defect.clone(),
        notes: e.notes.clone(),
    }
}

pub(super) fn why(c: &Controller, cookie: u64, w: &Why) -> WhyView {
    WhyView {
        cookie: format!("{cookie:#018x}"),
        owner_kind: w.kind.into(),
        owner_id: w.id.clone(),
        sentence: w.sentence.clone(),
        rows: w.rows.iter().map(|r| row(c, r)).collect(),
    }
}

fn endpoints_of(c: &Controller, subject: &Subject) -> Vec<String> {
    c.endpoints()
        .filter(|(e, ..)| e.session.as_ref().is_some_and(|s| s.identity.subject == *subject))
        .map(|(e, ..)| e.name.as_ref().map_or_else(|| e.mac.to_string(), ToString::to_string))
        .collect()
}

pub(super) fn account(c: &Controller, a: &fseg_admission::Account) -> AccountView {
    AccountView {
        name: a.name.to_string(),
        display_name: a.display_name.clone(),
        roles: names(&a.roles),
        disabled: a.disabled,
        created: a.created.into(),
        changed: a.changed.into(),
        endpoints: endpoints_of(c, &Subject::User(a.name.clone())),
    }
}

pub(super) fn device(c: &Controller, d: &fseg_admission::Device) -> DeviceView {
    DeviceView {
        name: d.name.to_string(),
        mac: d.matcher.to_string(),
        roles: names(&d.roles),
        address: d.address,
        is_static: d.is_static,
        disabled: d.disabled,
        endpoints: endpoints_of(c, &Subject::Device(d.name.clone())),
    }
}
