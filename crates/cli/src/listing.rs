//! Listings: ask, print, and with `--watch` again and again.

use std::time::Duration;

use fseg_api::{
    AccountView, AuditEntry, CertificateState, DeviceView, EndpointState, EndpointView, Enrolments, GroupView, Health,
    LogEntry, LogKind, OperationId, PermitState, PermitView, PostureView, SessionView, SwitchView, TokenView,
};
use fseg_model::Wall;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{At, Client};
use crate::failure::{Failure, Outcome};
use crate::output::{Rows, Screen, Tone, count, list, printable};
use crate::when::{now, relative, relative_or, span};

/// Prints what an operation lists.
pub(crate) async fn show<T: DeserializeOwned + Serialize>(
    client: &Client,
    id: OperationId,
    watch: Option<u64>,
    screen: &Screen,
    render: fn(&[T], Wall, &Screen) -> String,
) -> Result<Outcome, Failure> {
    rounds(watch, screen, async || {
        let items: Vec<T> = client.get(id, At::default()).await?;
        print(screen, watch.is_some(), &items, render(&items, now(), screen))
    })
    .await
}

/// Once, or every so many seconds until interrupted. While watching, a node that is away for a moment is waited for.
pub(crate) async fn rounds(
    watch: Option<u64>,
    screen: &Screen,
    round: impl AsyncFn() -> Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    let Some(seconds) = watch else { return round().await };
    screen.next_round()?;
    round().await?;
    loop {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        screen.next_round()?;
        if let Err(failure) = round().await {
            screen.failure(&failure);
        }
    }
}

pub(crate) fn print<T: Serialize>(screen: &Screen, lines: bool, value: &T, text: String) -> Result<Outcome, Failure> {
    if screen.json { screen.value(value, lines) } else { screen.text(&text) }
}

fn text(value: Option<&String>) -> String {
    value.cloned().unwrap_or_default()
}

/// A word of JSON, such as an enum's.
fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// `fseg endpoints`
pub(crate) fn endpoints(items: &[EndpointView], now: Wall, screen: &Screen) -> String {
    let mut rows = Rows::new(
        &["NAME", "STATE", "PLACE", "ADDRESS", "MAC", "SUBJECT", "GROUPS", "SINCE", "NOTE"],
        "No endpoint has been seen yet. Is something plugged into an access port, and are the switches connected \
         (`fseg switches`)?",
    );
    for e in items {
        let tone = match (e.posture, e.state) {
            (PostureView::Black, _) => Tone::Bad,
            (PostureView::Grey, _) => Tone::Warning,
            (_, EndpointState::Stranger) => Tone::Warning,
            (_, EndpointState::Away) => Tone::Faint,
            (_, EndpointState::Admitted) => Tone::Plain,
        };
        let mut notes = Vec::new();
        if e.posture != PostureView::White {
            notes.push(format!("posture {}", word(&e.posture)));
        }
        if e.spoofed_packets > 0 {
            notes.push(format!("{} spoofed packets", count(e.spoofed_packets)));
        }
        if let Some(until) = e.until {
            notes.push(format!("until {}", relative(until, now)));
        }
        let addresses: Vec<String> = e.addresses.iter().map(ToString::to_string).collect();
        rows.add(
            tone,
            [
                text(e.name.as_ref()),
                word(&e.state),
                text(e.place.as_ref()),
                list(&addresses),
                e.mac.clone(),
                text(e.subject.as_ref()),
                list(&e.groups),
                relative_or(e.since, now, ""),
                notes.join("; "),
            ],
        );
    }
    rows.render(screen)
}

/// `fseg sessions`
pub(crate) fn sessions(items: &[SessionView], now: Wall, screen: &Screen) -> String {
    let mut rows = Rows::new(
        &["ENDPOINT", "SUBJECT", "METHOD", "ROLES", "PLACE", "SINCE", "ENDS", "IDLE LIMIT"],
        "Nobody is admitted.",
    );
    for s in items {
        rows.add(
            if s.place.is_none() { Tone::Faint } else { Tone::Plain },
            [
                s.endpoint.clone(),
                s.subject.clone(),
                word(&s.method),
                list(&s.roles),
                text(s.place.as_ref()),
                relative(s.since, now),
                relative_or(s.until, now, "never"),
                if s.idle_limit_seconds == 0 { "none".to_owned() } else { span(s.idle_limit_seconds.into()) },
            ],
        );
    }
    rows.render(screen)
}

/// `fseg groups`
pub(crate) fn groups(items: &[GroupView], _: Wall, screen: &Screen) -> String {
    let mut rows = Rows::new(
        &["GROUP", "MEMBERS", "ENDPOINTS NOW", "PERMITS"],
        "The policy in force has no groups: nothing is permitted. `fseg apply FILE` puts a policy in force.",
    );
    for g in items {
        rows.add(Tone::Plain, [g.name.clone(), list(&g.members), list(&g.endpoints), list(&g.permits)]);
    }
    rows.render(screen)
}

/// `fseg permits`
pub(crate) fn permits(items: &[PermitView], now: Wall, screen: &Screen) -> String {
    let mut rows = Rows::new(
        &["PERMIT", "FROM", "TO", "SERVICES", "PACKETS#", "BYTES#", "LAST USED", "EXPIRES", "OWNER", "REASON"],
        "The policy in force permits nothing. `fseg apply FILE` puts a policy in force.",
    );
    for p in items {
        let (tone, expires) = match p.state {
            PermitState::Expired => (Tone::Warning, "expired ".to_owned() + &relative_or(p.expires, now, "")),
            PermitState::Waiting => (Tone::Warning, "starts ".to_owned() + &relative_or(p.starts, now, "")),
            PermitState::Trial => (Tone::Warning, "on trial, ".to_owned() + &relative_or(p.expires, now, "never")),
            PermitState::Active => (Tone::Plain, relative_or(p.expires, now, "never")),
        };
        rows.add(
            tone,
            [
                p.id.clone(),
                list(&p.from),
                list(&p.to),
                list(&p.services),
                count(p.packets),
                count(p.bytes),
                relative_or(p.last_used, now, "never"),
                expires,
                text(p.owner.as_ref()),
                text(p.reason.as_ref()),
            ],
        );
    }
    rows.render(screen)
}

/// `fseg switches`
pub(crate) fn switches(items: &[SwitchView], now: Wall, screen: &Screen) -> String {
    let mut rows = Rows::new(
        &[
            "SWITCH",
            "DATAPATH ID",
            "ROLE",
            "PROFILE",
            "STATE",
            "SINCE",
            "PEER",
            "ROWS#",
            "FOREIGN#",
            "PENDING#",
            "LAST ERROR",
        ],
        "No switch is configured and none has connected. Point a switch's controller at this node.",
    );
    let mut ports =
        Rows::new(&["SWITCH", "PORT#", "NAME", "KIND", "LINK", "NOTE"], "No port is known: no switch has connected.");
    for s in items {
        let tone = match (s.connected && s.unfit.is_none(), s.foreign_rows, &s.last_error) {
            (false, ..) => Tone::Bad,
            (true, 0, None) if s.lacking.is_empty() => Tone::Plain,
            _ => Tone::Warning,
        };
        rows.add(
            tone,
            [
                s.name.clone(),
                s.dpid.clone(),
                s.role.clone(),
                s.profile.clone(),
                match (s.connected, &s.unfit) {
                    (false, _) => "away",
                    (true, None) if !s.ready => "being read",
                    (true, None) => "connected",
                    (true, Some(_)) => "unusable",
                }
                .to_owned(),
                relative_or(s.since, now, ""),
                text(s.peer.as_ref()),
                s.rows.to_string(),
                s.foreign_rows.to_string(),
                s.pending.to_string(),
                text(s.last_error.as_ref()),
            ],
        );
        for p in &s.ports {
            let note = if p.uncontrolled { "traffic between endpoints behind it is not seen or filtered" } else { "" };
            let tone = match (p.up, p.uncontrolled) {
                (false, _) => Tone::Faint,
                (true, true) => Tone::Warning,
                (true, false) => Tone::Plain,
            };
            let link = if p.up { "up" } else { "down" };
            ports.add(
                tone,
                [
                    s.name.clone(),
                    p.number.to_string(),
                    p.name.clone(),
                    p.kind.clone(),
                    link.to_owned(),
                    note.to_owned(),
                ],
            );
        }
    }
    if items.is_empty() {
        rows.render(screen)
    } else {
        rows.render(screen) + "\n" + &ports.render(screen) + &fits(items, screen)
    }
}

/// How full tables are, and what is not there: only where a switch has something to tell.
fn fits(items: &[SwitchView], screen: &Screen) -> String {
    let mut tables = Rows::new(&["SWITCH", "TABLE#", "NAME", "ROWS#", "SIZE#"], "");
    let mut missing = Rows::new(&["SWITCH", "MISSING FOR", "TABLE", "ROWS#", "WHY"], "");
    let (mut sized, mut lacks) = (false, false);
    for s in items {
        for t in &s.tables {
            sized = true;
            let tone = match (t.rows > t.size, t.rows * 10 > t.size * 9) {
                (true, _) => Tone::Bad,
                (false, true) => Tone::Warning,
                (false, false) => Tone::Plain,
            };
            let cells = [t.number.to_string(), t.name.clone(), t.rows.to_string(), t.size.to_string()];
            let [number, name, rows, size] = cells;
            tables.add(tone, [s.name.clone(), number, name, rows, size]);
        }
        for l in &s.lacking {
            lacks = true;
            let who = format!("{} {}", l.kind, l.owner);
            missing.add(Tone::Bad, [s.name.clone(), who, l.table.clone(), l.rows.to_string(), l.why.clone()]);
        }
        if let Some(why) = &s.unfit {
            lacks = true;
            missing.add(Tone::Bad, [s.name.clone(), "everything".into(), String::new(), String::new(), why.clone()]);
        }
    }
    let mut out = String::new();
    for (there, listing) in [(sized, tables), (lacks, missing)] {
        if there {
            out = out + "\n" + &listing.render(screen);
        }
    }
    out
}

/// `fseg user list`
pub(crate) fn accounts(items: &[AccountView], now: Wall, screen: &Screen) -> String {
    let mut rows = Rows::new(
        &["ACCOUNT", "NAME", "ROLES", "STATE", "SIGNED IN", "CHANGED"],
        "There are no accounts. `fseg user add NAME` makes one.",
    );
    for a in items {
        let (tone, state) = if a.disabled { (Tone::Faint, "disabled") } else { (Tone::Plain, "enabled") };
        rows.add(
            tone,
            [
                a.name.clone(),
                text(a.display_name.as_ref()),
                list(&a.roles),
                state.to_owned(),
                list(&a.endpoints),
                relative(a.changed, now),
            ],
        );
    }
    rows.render(screen)
}

/// `fseg device list`
pub(crate) fn devices(items: &[DeviceView], _: Wall, screen: &Screen) -> String {
    let mut rows = Rows::new(
        &["DEVICE", "MAC", "ROLES", "ADDRESS", "STATE", "PRESENT"],
        "The device list is empty. `fseg device add NAME MAC` adds one.",
    );
    for d in items {
        let (tone, state) = if d.disabled { (Tone::Faint, "disabled") } else { (Tone::Plain, "enabled") };
        let address = match (d.address, d.is_static) {
            (Some(a), true) => format!("{a} (its own)"),
            (Some(a), false) => a.to_string(),
            (None, _) => String::new(),
        };
        rows.add(tone, [d.name.clone(), d.mac.clone(), list(&d.roles), address, state.to_owned(), list(&d.endpoints)]);
    }
    rows.render(screen)
}

/// `fseg token list`
pub(crate) fn tokens(items: &[TokenView], now: Wall, screen: &Screen) -> String {
    let mut rows = Rows::new(
        &["TOKEN", "ROLE", "CREATED", "BY", "EXPIRES"],
        "There are no tokens. `fseg token create NAME` makes one.",
    );
    for t in items {
        let gone = t.expires.is_some_and(|at| at.0 <= now);
        rows.add(
            if gone { Tone::Faint } else { Tone::Plain },
            [
                t.name.clone(),
                t.role.to_string(),
                relative(t.created, now),
                t.created_by.clone(),
                relative_or(t.expires, now, "never"),
            ],
        );
    }
    rows.render(screen)
}

/// `fseg health`: exits with 1 when a part is down.
pub(crate) async fn health(client: &Client, watch: Option<u64>, screen: &Screen) -> Result<Outcome, Failure> {
    rounds(watch, screen, async || {
        let health: Health = client.get(OperationId::Health, At::default()).await?;
        let mut rows = Rows::new(&["PART", "STATE", "DETAIL"], "The node names no parts.");
        for part in &health.parts {
            let tone = match (part.ok, part.warning) {
                (true, false) => Tone::Plain,
                (true, true) => Tone::Warning,
                (false, _) => Tone::Bad,
            };
            rows.add(tone, [part.name.clone(), part.state().to_owned(), part.detail.clone()]);
        }
        let (tone, state) = match (health.ok, health.warning) {
            (true, false) => (Tone::Good, "is well"),
            (true, true) => (Tone::Warning, "works, WITH WARNINGS"),
            (false, _) => (Tone::Bad, "is NOT well"),
        };
        let head = format!("{} (version {}) {state}", printable(&health.node), printable(&health.version));
        print(screen, watch.is_some(), &health, screen.toned(tone, &head) + "\n\n" + &rows.render(screen))?;
        Ok(if health.ok { Outcome::Yes } else { Outcome::No })
    })
    .await
}

/// `fseg switch list`
pub(crate) async fn enrolments(client: &Client, watch: Option<u64>, screen: &Screen) -> Result<Outcome, Failure> {
    rounds(watch, screen, async || {
        let list: Enrolments = client.get(OperationId::Enrolments, At::default()).await?;
        print(screen, watch.is_some(), &list, enrolment_table(&list, now(), screen))
    })
    .await
}

fn enrolment_table(list: &Enrolments, now: Wall, screen: &Screen) -> String {
    let mut rows = Rows::new(
        &["SWITCH", "DPID", "CONNECTED", "CERTIFICATE", "ISSUED", "BY", "EXPIRES", "SERIAL"],
        "The node's configuration names no switches.",
    );
    for s in &list.switches {
        let connected = s.transport.clone().unwrap_or_else(|| "no".to_owned());
        let Some(c) = &s.certificate else {
            let none = [s.name.clone(), s.dpid.clone(), connected, "none".into()];
            let [name, dpid, connected, state] = none;
            rows.add(
                Tone::Plain,
                [name, dpid, connected, state, String::new(), String::new(), String::new(), String::new()],
            );
            continue;
        };
        let tone = if c.state == CertificateState::Valid { Tone::Plain } else { Tone::Bad };
        let state =
            if c.automatic { format!("{}, by the node", c.state.as_str()) } else { c.state.as_str().to_owned() };
        rows.add(
            tone,
            [
                s.name.clone(),
                s.dpid.clone(),
                connected,
                state,
                relative(c.issued, now),
                c.issued_by.clone(),
                relative(c.expires, now),
                c.serial.clone(),
            ],
        );
    }
    let mut out = rows.render(screen);
    if !list.turned_away.is_empty() {
        let mut rows = Rows::new(&["TURNED AWAY", "LAST", "TIMES#", "WHY"], "");
        for t in &list.turned_away {
            let when = relative(t.at, now);
            rows.add(Tone::Warning, [t.peer.clone(), when, t.count.to_string(), t.reason.clone()]);
        }
        out.push('\n');
        out.push_str(&rows.render(screen));
    }
    out
}

/// One line of the log.
pub(crate) fn log_line(entry: &LogEntry, screen: &Screen) -> String {
    let tone = match entry.kind {
        LogKind::Spoofed => Tone::Bad,
        LogKind::Refused | LogKind::Denied => Tone::Warning,
        LogKind::Admitted => Tone::Good,
        _ => Tone::Plain,
    };
    let line = format!("{}  {:<8}  {}", entry.at, entry.kind.as_str(), printable(&entry.message).replace('\n', " "));
    screen.toned(tone, &line) + "\n"
}

/// `fseg logs`, the oldest first, so that the newest stands just above the prompt.
pub(crate) async fn logs(
    client: &Client,
    limit: u16,
    filter: &Filter,
    watch: Option<u64>,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    rounds(watch, screen, async || {
        let mut entries: Vec<LogEntry> = Vec::new();
        let mut before = None;
        // With a filter, back to where the node's memory ends.
        loop {
            let page = if filter.is_empty() { limit } else { 1000 };
            let from = before.map(|seq: u64| format!("&before={seq}")).unwrap_or_default();
            let query = format!("limit={page}{from}");
            let at = At { query: Some(&query), ..At::default() };
            let got: Vec<LogEntry> = client.get(OperationId::Log, at).await?;
            before = got.last().map(|e| e.seq);
            let more = got.len() == usize::from(page) && !filter.is_empty();
            entries.extend(got.into_iter().filter(|e| filter.fits(e)));
            if !more || entries.len() >= usize::from(limit) {
                break;
            }
        }
        entries.truncate(limit.into());
        entries.reverse();
        let lines: String = entries.iter().map(|e| log_line(e, screen)).collect();
        let none = if filter.is_empty() { "Nothing has happened yet.\n" } else { "Nothing of this has happened.\n" };
        let lines = if entries.is_empty() { none.to_owned() } else { lines };
        print(screen, watch.is_some(), &entries, lines)
    })
    .await
}

/// Which entries of the log are wanted.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Of one of these kinds; all kinds when there are none.
    pub(crate) kinds: Vec<LogKind>,
    /// About this endpoint, or with this text.
    pub(crate) about: Option<String>,
}

impl Filter {
    fn is_empty(&self) -> bool {
        self.kinds.is_empty() && self.about.is_none()
    }

    pub(crate) fn fits(&self, entry: &LogEntry) -> bool {
        let kind = self.kinds.is_empty() || self.kinds.contains(&entry.kind);
        let about = self.about.as_ref().is_none_or(|text| {
            [&entry.endpoint, &entry.peer].into_iter().flatten().any(|n| n == text) || entry.message.contains(text)
        });
        kind && about
    }
}

/// `fseg audit`, the oldest first.
pub(crate) async fn audit(
    client: &Client,
    limit: u16,
    watch: Option<u64>,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    rounds(watch, screen, async || {
        let query = format!("limit={limit}");
        let at = At { query: Some(&query), ..At::default() };
        let mut entries: Vec<AuditEntry> = client.get(OperationId::Audit, at).await?;
        entries.reverse();
        let mut rows = Rows::new(&["SEQ#", "WHEN", "WHO", "WHAT", "DETAIL"], "Nobody has changed anything yet.");
        for e in &entries {
            rows.add(
                Tone::Plain,
                [e.seq.to_string(), e.at.to_string(), e.who.clone(), e.what.clone(), e.detail.to_string()],
            );
        }
        print(screen, watch.is_some(), &entries, rows.render(screen))
    })
    .await
}
