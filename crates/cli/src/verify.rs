//! `fseg verify`: do the switches treat every packet as the policy says?

use std::fmt::Write as _;

use fseg_api::{OperationId, ProofView, SwitchView};

use crate::client::{At, Client};
use crate::failure::{Failure, Outcome};
use crate::output::{Screen, Tone, printable};

/// Proves one switch, or all of them one after the other.
pub(crate) async fn verify(client: &Client, switch: Option<String>, screen: &Screen) -> Result<Outcome, Failure> {
    let names = match switch {
        Some(name) => vec![name],
        None => {
            let all: Vec<SwitchView> = client.get(OperationId::Switches, At::default()).await?;
            all.into_iter().map(|s| s.name).collect()
        }
    };
    let mut proofs: Vec<ProofView> = Vec::new();
    for name in &names {
        let proof: ProofView = client.get(OperationId::SwitchProof, At { item: Some(name), ..At::default() }).await?;
        if !screen.json {
            screen.text(&told(&proof, screen))?;
        }
        proofs.push(proof);
    }
    if screen.json {
        screen.value(&proofs, false)?;
    }
    Ok(if proofs.iter().all(|p| p.proved) { Outcome::Yes } else { Outcome::No })
}

fn told(p: &ProofView, screen: &Screen) -> String {
    let mut out = String::new();
    if let Some(why) = &p.unknown {
        let head = format!("{}: not proved: {why}", p.switch);
        return screen.toned(Tone::Warning, &printable(&head)) + "\n";
    }
    let counts = format!(
        "{} rows, {} pairs of classes that permits join, {} parts of tables ({} unchanged since the last proof), {} ms",
        p.rows, p.pairs, p.parts, p.remembered, p.milliseconds
    );
    let (tone, head) = match p.proved {
        true => (Tone::Good, format!("{}: OK, every packet is treated as the policy says", p.switch)),
        false => (Tone::Bad, format!("{}: packets are treated otherwise in {} places", p.switch, p.different)),
    };
    let _ = writeln!(out, "{}", screen.toned(tone, &printable(&head)));
    let _ = writeln!(out, "  {counts}");
    for f in &p.findings {
        let _ = writeln!(out, "\n  {}", screen.toned(Tone::Strong, &printable(&f.place)));
        match &f.packet {
            Some(packet) => drop(writeln!(out, "    packet:   {}", printable(packet))),
            None => drop(writeln!(
                out,
                "    packet:   none that anybody known here can send now; inputs: {}",
                printable(&f.inputs)
            )),
        }
        let _ = writeln!(out, "    expected: {}", printable(&f.expected));
        let _ = writeln!(out, "    found:    {}", printable(&f.found));
        for r in &f.rows {
            let what = if r.missing { "missing: " } else { "row:     " };
            let _ = writeln!(out, "    {what} {} ({}, {})", printable(&r.row), printable(&r.owner), r.cookie);
        }
    }
    if p.different as usize > p.findings.len() {
        let _ = writeln!(out, "\n  and {} places more", p.different as usize - p.findings.len());
    }
    for (what, rows) in
        [("foreign", &p.foreign), ("temporary", &p.temporary), ("harmless, but not the node's", &p.harmless)]
    {
        for row in rows {
            let _ = writeln!(out, "  {what}: {}", printable(row));
        }
    }
    out
}
