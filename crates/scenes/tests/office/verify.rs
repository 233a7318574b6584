//! Somebody changes the rows of running switches behind the node's back: the proof says so, and the rows are put right.

use fseg_lab::relay::Looks;
use fseg_scenes::SceneError;
use fseg_scenes::office::Office;

use crate::plain;
use crate::support::{Case, Told, check, eventually, fseg, pings, workers, wrong};

/// A switch by its place in the office, its bridge and its name.
type At = (usize, &'static str, &'static str);
const NODE: At = (0, "br-node", "node");
const SW1: At = (1, "sw1", "sw1");
const SW2: At = (2, "sw2", "sw2");

/// What a row matches, with its table and priority, as `ovs-ofctl --strict` takes it.
fn key(line: &str) -> Option<String> {
    let table = line.split("table=").nth(1)?.split(',').next()?;
    let rest = &line[line.find("priority=")?..];
    Some(format!("table={table},{}", rest.split(" actions=").next()?.trim()))
}

/// The first row whose text holds all of this.
fn row(office: &Office<'_>, at: At, holds: &[&str]) -> Told<String> {
    let rows = office.switches[at.0].dump_flows(at.1)?;
    let found = rows.lines().find(|l| holds.iter().all(|h| l.contains(h))).and_then(key);
    found.ok_or_else(|| SceneError::wrong(format!("{} has no row with {holds:?}:\n{rows}", at.2)))
}

/// One change of one row.
enum Change {
    /// The first row that holds this goes.
    Delete(&'static [&'static str]),
    /// It does something else.
    Alter(&'static [&'static str], &'static str),
    /// This one comes.
    Add(&'static str),
}

fn make(office: &Office<'_>, at: At, change: &Change) -> Told {
    let switch = &office.switches[at.0];
    let done = match change {
        Change::Delete(holds) => switch.ofctl(&["--strict", "del-flows", at.1, &row(office, at, holds)?]),
        Change::Alter(holds, actions) => {
            let altered = format!("{},actions={actions}", row(office, at, holds)?);
            switch.ofctl(&["--strict", "mod-flows", at.1, &altered])
        }
        Change::Add(row) => switch.ofctl(&["add-flow", at.1, row]),
    };
    done.map(drop).map_err(SceneError::from)
}

/// `fseg verify` proves this switch.
fn proved(office: &Office<'_>, at: At) -> Told {
    eventually("the proof", || {
        let out = office.node.fseg(&["verify", at.2])?;
        check(out.status.code() == Some(0) && out.stdout.contains("OK"), || format!("it says: {}", out.stdout))
    })
}

/// `fseg verify` finds the change, and blames a row with this text; then the row is put right.
fn found(office: &Office<'_>, at: At, change: &Change, blamed: &str) -> Told {
    // The proof in the background may be faster by chance; hardly ever thrice.
    for _ in 0..3 {
        make(office, at, change)?;
        let out = office.node.fseg(&["verify", at.2])?;
        if out.status.code() == Some(1) {
            let told = ["packet:", "expected:", "found:", blamed].iter().all(|part| out.stdout.contains(part));
            check(told, || format!("it should blame `{blamed}` and says: {}", out.stdout))?;
            return proved(office, at);
        }
        check(out.stdout.contains("OK"), || format!("{}{}", out.stdout, out.stderr))?;
    }
    wrong(format!("{}: the change that should blame `{blamed}` was not found", at.2))
}

/// Rows that let everybody through come to all switches, and nobody asks: the node finds them by itself, says it, and takes
/// them away.
fn found_in_the_background(office: &Office<'_>) -> Told {
    let open = "table=6,priority=64999,ip,actions=goto_table:7";
    for at in [NODE, SW1, SW2] {
        make(office, at, &Change::Add(open))?;
    }
    eventually("the alarm", || {
        let said = fseg(office, &["logs", "--kind", "verify"], 0)?.stdout;
        check(said.contains("treats packets otherwise than the policy says"), || format!("the log says: {said}"))?;
        let health = office.node.fseg(&["health"])?.stdout;
        check(health.contains("packets are treated otherwise than the policy says in"), || {
            format!("health says: {health}")
        })
    })?;
    let left = || -> Told<Vec<&str>> {
        let mut left = Vec::new();
        for at in [NODE, SW1, SW2] {
            if office.switches[at.0].dump_flows(at.1)?.contains("priority=64999") {
                left.push(at.2);
            }
        }
        Ok(left)
    };
    eventually("the first repair", || {
        let left = left()?;
        check(left.len() < 3, || format!("the row is still at {left:?}"))
    })?;
    // The others have their turn; whoever asks need not wait for it.
    for at in [NODE, SW1, SW2] {
        proved(office, at)?;
    }
    check(left()?.is_empty(), || "a proof passed over the row".into())
}

/// With the stream of an address under way: it is proved everywhere, and a copy to somebody else at sw1 is found.
pub(crate) fn of_stream(office: &Office<'_>, copies: &'static [&'static str], wrong: &'static str) -> Told {
    for at in [NODE, SW1, SW2] {
        proved(office, at)?;
    }
    found(office, SW1, &Change::Alter(copies, wrong), copies.last().copied().unwrap_or_default())
}

/// Whatever the kind of access switch.
fn found_and_repaired(office: &Office<'_>, more: &[(Change, &str)]) -> Told {
    workers(office)?;
    for at in [NODE, SW1, SW2] {
        proved(office, at)?;
    }
    let changes = [
        (Change::Delete(&["table=6,", "priority=1"]), "missing:"),
        (Change::Add("table=6,priority=64998,ip,actions=goto_table:7"), "priority=64998"),
        (Change::Alter(&["table=3,", "priority=300,"], "drop"), "priority=300"),
    ];
    for (change, blamed) in changes.iter().chain(more) {
        found(office, SW1, change, blamed)?;
    }
    for at in [NODE, SW1, SW2] {
        proved(office, at)?;
    }
    pings(office, "sales-1", "crm-1", true)?;
    pings(office, "crm-1", "git-1", false)
}

#[test]
fn changed_rows_are_found_and_repaired() {
    Case::new("verify::changed_rows_are_found_and_repaired").run(|office| {
        found_and_repaired(office, &[])?;
        found_in_the_background(office)
    });
}

#[test]
fn changed_rows_of_plain_switches_are_found_and_repaired() {
    let case = Case::new("verify::changed_rows_of_plain_switches_are_found_and_repaired");
    case.config(plain::behind_relays).before(|_| plain::start(Looks::default())).run(|office| {
        // Who denies without clearing the action set lets everything out.
        found_and_repaired(office, &[(Change::Alter(&["table=6,", "priority=0 "], "drop"), "priority=0")])
    });
}
