//! `fseg trace`.

use std::fmt::Write as _;

use fseg_api::{OperationId, PacketAge, TraceRequest, TraceStep, TraceView};

use crate::args::TraceArgs;
use crate::client::{At, Client};
use crate::failure::{Failure, Outcome};
use crate::output::{Screen, Tone, printable};

/// What do the tables do with a packet?
pub(crate) async fn trace(client: &Client, args: TraceArgs, screen: &Screen) -> Result<Outcome, Failure> {
    let age = match (args.established, args.reply) {
        (_, true) => PacketAge::Reply,
        (true, false) => PacketAge::Established,
        (false, false) => PacketAge::First,
    };
    let place = TraceRequest { switch: args.switch, port: args.port, age, ..TraceRequest::default() };
    let question = match <[String; 3]>::try_from(args.question) {
        Ok([from, to, service]) => TraceRequest { from: Some(from), to: Some(to), service: Some(service), ..place },
        // Blanks between the fields of a packet are as good as commas.
        Err(words) => TraceRequest { packet: Some(words.join(",")), ..place },
    };
    let answer: TraceView = client.call(OperationId::Trace, At::default(), Some(&question)).await?;
    if screen.json {
        screen.value(&answer, false)?;
    } else {
        screen.text(&text(&answer, screen))?;
    }
    Ok(if answer.delivered { Outcome::Yes } else { Outcome::No })
}

fn text(answer: &TraceView, screen: &Screen) -> String {
    let mut out = format!("{}\n", printable(&answer.packet));
    for hop in &answer.hops {
        let late = if hop.connected { "" } else { "  (not connected: it may hold older rows)" };
        let head = format!("{}  comes in at {}{late}", hop.switch, hop.port);
        let _ = writeln!(out, "\n{}", screen.toned(Tone::Strong, &printable(&head)));
        for step in &hop.steps {
            out += &lines(step);
        }
    }
    out.push('\n');
    for end in &answer.ends {
        let tone = if end.starts_with("delivered") { Tone::Good } else { Tone::Bad };
        let _ = writeln!(out, "{}", screen.toned(tone, &printable(end)));
    }
    out
}

fn lines(step: &TraceStep) -> String {
    let table = format!("  {:>2} {:<8}", step.table, step.table_name);
    let mut out = match &step.row {
        Some(row) => format!("{table} {}\n{:14}{}\n", printable(&row.owner), "", printable(&row.text)),
        None => format!("{table} no row matches\n"),
    };
    for event in &step.events {
        let _ = writeln!(out, "{:16}{}", "", printable(event));
    }
    out
}
