//! The store's disk is full; the node dies at any moment.

use std::collections::BTreeSet;
use std::time::Duration;

use fseg_lab::{Client, Lab};
use fseg_scenes::SceneError;
use fseg_scenes::office::{Kind, Office, PLANS, POLICY};

use crate::support::{Case, Told, api, bring, check, eventually, fseg, judge, pings, plug, unnoticed, wrong};

/// A state folder of 16 MiB.
fn small_disk(lab: &Lab) -> Told {
    let state = lab.dir().join("state");
    std::fs::create_dir(&state).map_err(|error| SceneError::File { path: state.clone(), error })?;
    let state = state.display().to_string();
    lab.root().exec(&["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "fseg-state", &state])?.check()?;
    Ok(())
}

/// Fills the disk to its last byte, and keeps at it until a change is refused: the store may have room set aside.
fn fill(office: &Office<'_>) -> Told {
    let filler = office.lab().dir().join("state/filler").display().to_string();
    for n in 0..400 {
        // It fails when the disk is full, which is what it is for.
        office.node.namespace().exec(&["sh", "-c", &format!("cat /dev/zero >>{filler}")])?;
        let name = format!("filler-{n}");
        let out =
            office.node.fseg(&["device", "add", &name, &format!("02:ee:00:00:{:02x}:{:02x}", n >> 8, n & 0xff)])?;
        match out.status.code() {
            Some(0) => {}
            Some(3) => return check(out.stderr.contains("store"), || format!("the refusal says: {}", out.stderr)),
            other => return wrong(format!("exit code {other:?} on a full disk: {}{}", out.stdout, out.stderr)),
        }
    }
    wrong("400 changes were accepted on a full disk")
}

#[test]
fn a_full_disk_stops_promises_not_traffic() {
    let case = Case::new("crash::a_full_disk_stops_promises_not_traffic").before(small_disk);
    case.errors(&["the store does not take changes"]).run(|office| {
        bring(
            office,
            &["sales-1", "dev-1", "dev-2", "crm-1", "crm-2", "git-1", "printer-1", "printer-2", "old-hq", "internet"],
        )?;
        plug(office, "stranger")?;
        unnoticed(office, || {
            fill(office)?;
            let health = fseg(office, &["health"], 1)?.stdout;
            check(health.contains("is NOT well") && health.contains("changes are not accepted"), || health.clone())?;
            let (_, metrics) = api(office, "/metrics", &[])?;
            check(metrics.contains("fseg_store_ok 0"), || "the metrics do not tell".into())?;
            let (ready, _) = api(office, "/readyz", &[])?;
            let (alive, _) = api(office, "/healthz", &[])?;
            check((ready, alive) == (503, 200), || format!("readyz {ready}, healthz {alive}"))?;
            check(office.node.log().contains(" ERROR "), || "the log does not tell".into())?;

            // Nobody new gets an address that would be forgotten; nobody logs in; nothing is promised.
            let sales = office.endpoint("sales-2")?;
            sales.plug(office.jack("sw1-p2"))?;
            for attempt in 1..=2 {
                check(sales.dhcp(Client::Udhcpc).is_err(), || {
                    format!("an address was acknowledged at attempt {attempt}")
                })?;
            }
            let stranger = office.endpoint("stranger")?.namespace();
            let login = fseg_scenes::node::portal_login(
                stranger,
                fseg_scenes::office::ROUTER,
                "sales-2",
                fseg_scenes::office::PASSWORD,
            )?;
            check(login == fseg_scenes::node::Login::Refused(503), || format!("a login on a full disk: {login:?}"))?;
            fseg(office, &["user", "disable", "sales-2"], 3)?;
            // What only reads, works.
            for command in ["endpoints", "sessions", "permits", "switches", "logs", "policy"] {
                fseg(office, &[command], 0)?;
            }
            pings(office, "dev-2", "git-1", true)
        })?;
        let filler = office.lab().dir().join("state/filler");
        std::fs::remove_file(&filler).map_err(|error| SceneError::File { path: filler, error })?;
        eventually("the store's recovery", || fseg(office, &["health"], 0).map(drop))?;
        recovered(office)?;
        // And what was promised since is durable.
        office.node.kill()?;
        office.node.start()?;
        office.node.wait_for_switches(3)?;
        judge(office, POLICY)
    });
}

/// Back to the twelve as they should be: what was refused meanwhile may have happened or not, but is known.
fn recovered(office: &Office<'_>) -> Told {
    fseg(office, &["user", "enable", "sales-2"], 0)?;
    let stranger = office.endpoint("stranger")?.namespace();
    if crate::support::field(office, "stranger", "state")? == "admitted" {
        let token = crate::support::form_token(stranger)?;
        crate::support::portal(stranger, "/logout", &["-d", &format!("token={token}")])?;
    }
    bring(office, &["sales-2"])
}

/// Tries to be in until it is: an endpoint's own patience, while the node comes and goes.
fn insist(office: &Office<'_>, name: &str) -> Told {
    let plan = PLANS.iter().find(|p| p.name == name).ok_or_else(|| SceneError::wrong(name))?;
    eventually(name, || {
        office.join(plan)?;
        if let Kind::Person(_) = plan.kind {
            // The former try may have worked although its answer was lost.
            if crate::support::field(office, name, "state")? != "admitted" {
                office.log_in(name)?;
            }
        }
        Ok(())
    })
}

/// No two with one address, nobody with two; every name is its owner's.
fn consistent(office: &Office<'_>) -> Told {
    let list = office.node.json(&["endpoints"])?;
    let list = list.as_array().cloned().unwrap_or_default();
    let mut taken = BTreeSet::new();
    for p in PLANS.iter().filter(|p| !matches!(p.kind, Kind::Outside(..))) {
        let seen: Vec<_> = list.iter().filter(|e| e["mac"] == p.mac).collect();
        check(seen.len() == 1, || format!("{} is known {} times: {seen:?}", p.name, seen.len()))?;
        let name = seen[0]["name"].as_str().unwrap_or_default();
        let right = match p.kind {
            Kind::Stranger => name.is_empty(),
            // Numbered in the order of arrival.
            Kind::Printer => name.starts_with("printer-"),
            _ => name == p.name,
        };
        check(right && (name.is_empty() || taken.insert(name.to_owned())), || {
            format!("{} is called `{name}`", p.name)
        })?;
        let own = office.endpoint(p.name)?;
        let shown = own.ip(&["-4", "-o", "address", "show", "dev", "eth0"])?.stdout;
        check(shown.lines().count() == 1, || format!("{} has: {shown}", p.name))?;
        let own = own.address()?.map(|a| a.to_string()).unwrap_or_default();
        check(seen[0]["addresses"] == serde_json::json!([own]), || {
            format!("{} has {own}, the node says {}", p.name, seen[0]["addresses"])
        })?;
        check(taken.insert(own.clone()), || format!("{own} is used twice"))?;
    }
    Ok(())
}

#[test]
fn a_node_killed_while_everybody_arrives_converges() {
    Case::new("crash::a_node_killed_while_everybody_arrives_converges").run(|office| {
        std::thread::scope(|scope| -> Told {
            let arrivals: Vec<_> = [
                &["sales-1", "crm-1", "printer-1"][..],
                &["sales-2", "git-1", "old-hq", "internet"],
                &["dev-1", "crm-2", "stranger"],
                &["dev-2", "printer-2"],
            ]
            .into_iter()
            .map(|names| scope.spawn(move || names.iter().try_for_each(|name| insist(office, name))))
            .collect();
            // Another moment each time, from a fixed seed so that a failure can be looked for again.
            let mut seed = 0x2545_f491_4f6c_dd1d_u64;
            for _ in 0..8 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                std::thread::sleep(Duration::from_millis(40 + seed % 500));
                office.node.kill()?;
                office.node.start()?;
            }
            for arrival in arrivals {
                arrival.join().map_err(|_| SceneError::wrong("an arrival's thread failed"))??;
            }
            Ok(())
        })?;
        office.node.wait_for_switches(3)?;
        consistent(office)?;
        judge(office, POLICY)?;
        let switch = office.node.json(&["switches"])?;
        let foreign: Vec<_> = switch.as_array().into_iter().flatten().filter(|s| s["foreign_rows"] != 0).collect();
        check(foreign.is_empty(), || format!("rows of nobody: {foreign:?}"))
    });
}
