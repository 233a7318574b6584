//! `fseg explain` and `fseg why`.

use std::fmt::Write as _;

use fseg_api::{DecisionView, ExplainRequest, Explanation, OperationId, PartyView, RowView, WhyView};

use crate::client::{At, Client};
use crate::failure::{Failure, Outcome};
use crate::output::{Rows, Screen, Tone, count, printable};

/// May this open a connection to that?
pub(crate) async fn explain(
    client: &Client,
    from: String,
    to: String,
    service: String,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    let question = ExplainRequest { from, to, service };
    let answer: Explanation = client.call(OperationId::Explain, At::default(), Some(&question)).await?;
    if screen.json {
        screen.value(&answer, false)?;
    } else {
        screen.text(&explanation(&answer, screen))?;
    }
    if answer.defect.is_some() {
        return Ok(Outcome::No);
    }
    Ok(match answer.decision {
        DecisionView::Permit | DecisionView::Observe => Outcome::Yes,
        DecisionView::Deny => Outcome::No,
    })
}

fn explanation(answer: &Explanation, screen: &Screen) -> String {
    let (tone, word) = match answer.decision {
        DecisionView::Permit => (Tone::Good, "PERMIT"),
        DecisionView::Observe => (Tone::Warning, "OBSERVED (passes, would be denied)"),
        DecisionView::Deny => (Tone::Bad, "DENY"),
    };
    let head = format!("{word}  {} -> {}  {}", answer.from.name, answer.to.name, answer.service);
    let mut out = screen.toned(tone, &printable(&head)) + "\n";
    let _ = writeln!(out, "{}", printable(&answer.reason));
    if let Some(permit) = &answer.permit {
        let said = |what: &str, value: &Option<String>| {
            value.as_ref().map(|v| format!("; {what}: {}", printable(v))).unwrap_or_default()
        };
        let (owner, reason) = (said("owner", &permit.owner), said("reason", &permit.reason));
        let _ = writeln!(out, "permit {}{owner}{reason}", printable(&permit.id));
    }
    if !answer.tables.is_empty() {
        let _ = writeln!(out, "tables: {}", printable(&answer.tables));
    }
    for note in &answer.notes {
        let _ = writeln!(out, "note: {}", printable(note));
    }
    if let Some(defect) = &answer.defect {
        let text = format!(
            "DEFECT: {defect}. Please report this; `fseg trace` shows each step, `fseg verify` what the switch holds"
        );
        let _ = writeln!(out, "{}", screen.toned(Tone::Bad, &printable(&text)));
    }
    let mut parties = Rows::new(&["", "NAME", "GROUPS", "CLASS", "PLACE", "ADDRESSES"], "");
    let mut party = |side: &str, p: &PartyView| {
        let addresses: Vec<String> = p.addresses.iter().map(ToString::to_string).collect();
        parties.add(
            Tone::Plain,
            [
                side.to_owned(),
                p.name.clone(),
                p.groups.join(", "),
                p.class.map(|c| c.to_string()).unwrap_or_default(),
                p.place.clone().unwrap_or_default(),
                addresses.join(", "),
            ],
        );
    };
    party("from", &answer.from);
    party("to", &answer.to);
    out + "\n" + &parties.render(screen) + "\n" + &rows(&answer.rows, "No row carries this.", screen)
}

/// Why do rows with this cookie exist?
pub(crate) async fn why(client: &Client, cookie: &str, screen: &Screen) -> Result<Outcome, Failure> {
    let at = At { item: Some(cookie), ..At::default() };
    let answer: WhyView = client.get(OperationId::Why, at).await?;
    if screen.json {
        return screen.value(&answer, false);
    }
    let head = format!("{}: {} {}", answer.cookie, answer.owner_kind, answer.owner_id);
    let head = screen.toned(Tone::Strong, &printable(&head));
    let rows = rows(&answer.rows, "No switch has a row with this cookie now.", screen);
    screen.text(&format!("{head}\n{}\n\n{rows}", printable(&answer.sentence)))
}

fn rows(items: &[RowView], empty: &'static str, screen: &Screen) -> String {
    let mut rows = Rows::new(&["SWITCH", "TABLE", "PRIO#", "PACKETS#", "BYTES#", "COOKIE", "OWNER", "ROW"], empty);
    for r in items {
        rows.add(
            Tone::Plain,
            [
                r.switch.clone(),
                format!("{} {}", r.table, r.table_name),
                r.priority.to_string(),
                count(r.packets),
                count(r.bytes),
                r.cookie.clone(),
                r.owner.clone(),
                r.text.clone(),
            ],
        );
    }
    rows.render(screen)
}
