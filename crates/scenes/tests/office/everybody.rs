//! Twelve hosts, five services, everybody against everybody, compared with the reference decision after whatever can
//! happen to a network.

use fseg_scenes::SceneError;
use fseg_scenes::office::{Office, POLICY};

use crate::support::{Case, Told, check, eventually, field, judge};

/// Permits withdrawn, narrowed, moved and new; whoever was in one group is in another.
pub(crate) fn other_policy() -> Told<String> {
    let (head, _) = POLICY.split_once("\ntests:").ok_or_else(|| SceneError::wrong("the policy has no tests"))?;
    let mut text = head.to_owned();
    for (before, after) in [
        ("from: sales, to: crm, services: [web]", "from: sales, to: git, services: [web, ssh]"),
        ("from: dev, to: git, services: [ssh, web]", "from: dev, to: git, services: [ssh]"),
        ("to: [crm, git, printers], services: [ping]", "to: [staff, printers], services: [ping]"),
        ("from: [crm, printers], to: git, services: [syslog]", "from: printers, to: crm, services: [syslog]"),
        ("from: old-hq, to: git, services: [ssh]", "from: old-hq, to: [git, crm], services: [ping]"),
        ("members: [user:sales-1, user:sales-2]", "members: [user:sales-1]"),
        ("members: [role:dev]", "members: [role:dev, user:sales-2]"),
    ] {
        check(text.contains(before), || format!("the office's policy has no `{before}` any more: change this test"))?;
        text = text.replace(before, after);
    }
    Ok(text + "\n")
}

/// The controllers that a switch is told to connect to.
fn controllers(office: &Office<'_>, switch: usize, bridge: &str) -> Told<Vec<String>> {
    let text = office.switches[switch].vsctl(&["get-controller", bridge])?;
    Ok(text.split_whitespace().map(ToOwned::to_owned).collect())
}

#[test]
fn after_login_and_other_policies() {
    Case::new("everybody::after_login_and_other_policies").run(|office| {
        office.everybody()?;
        judge(office, POLICY)?;
        let other = other_policy()?;
        office.apply(&other)?;
        judge(office, &other)?;
        office.apply("groups: {}\n")?;
        judge(office, "groups: {}\n")?;
        office.apply(POLICY)?;
        judge(office, POLICY)
    });
}

#[test]
fn after_moves_and_a_restart_of_the_node() {
    Case::new("everybody::after_moves_and_a_restart_of_the_node").run(|office| {
        office.everybody()?;
        for (name, port, place) in [("dev-1", "sw2-p6", "tokyo/sw2/p6"), ("crm-2", "sw1-p5", "tokyo/sw1/p5")] {
            let endpoint = office.endpoint(name)?;
            endpoint.move_to(office.jack(port))?;
            // Whoever moves says something sooner or later; a device renews its lease when its link comes up.
            eventually("the move", || {
                endpoint.exec(&["ping", "-c", "1", "-W", "1", "10.0.0.1"])?;
                let seen = field(office, name, "place")?;
                check(seen == place, || format!("{name} is at {seen}"))
            })?;
        }
        judge(office, POLICY)?;
        office.node.kill()?;
        office.node.start()?;
        office.node.wait_for_switches(3)?;
        judge(office, POLICY)?;
        office.node.stop()?;
        // Without a node everything stays as it was.
        judge(office, POLICY)?;
        office.node.start()?;
        office.node.wait_for_switches(3)?;
        judge(office, POLICY)
    });
}

#[test]
fn after_restarts_of_switches() {
    Case::new("everybody::after_restarts_of_switches").run(|office| {
        office.everybody()?;
        for (number, bridge) in [(1, "sw1"), (0, "br-node")] {
            let switch = &office.switches[number];
            switch.kill9();
            eventually("the loss of the switch", || {
                let list = office.node.json(&["switches"])?;
                let there = list.as_array().map_or(0, |l| l.iter().filter(|s| s["connected"] == true).count());
                check(there == 2, || format!("{there} switches are connected"))
            })?;
            switch.start()?;
            office.node.wait_for_switches(3)?;
            let rows = switch.dump_flows(bridge)?;
            check(rows.lines().count() > 20, || format!("{bridge} has only these rows: {rows}"))?;
            // Its ports were gone for a moment, so whoever is there must be seen again.
            eventually("everybody's return", || {
                for e in office.endpoints() {
                    e.exec(&["ping", "-c", "1", "-W", "0.3", "10.0.0.1"])?;
                }
                let list = office.node.json(&["endpoints"])?;
                let away: Vec<_> = list
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|e| e["state"] == "away")
                    .map(|e| e["name"].to_string())
                    .collect();
                check(away.is_empty(), || format!("{away:?} are away"))
            })?;
            judge(office, POLICY)?;
        }
        Ok(())
    });
}

#[test]
fn after_switches_disconnect_in_the_middle_of_applying() {
    Case::new("everybody::after_switches_disconnect_in_the_middle_of_applying").run(|office| {
        office.everybody()?;
        let other = other_policy()?;
        let path = office.lab().dir().join("other.yaml");
        std::fs::write(&path, &other).map_err(|error| SceneError::File { path: path.clone(), error })?;
        let first = path.display().to_string();
        let second = office.lab().dir().join("office.yaml").display().to_string();
        let kept = [controllers(office, 1, "sw1")?, controllers(office, 2, "sw2")?];
        for round in 0..6 {
            let file = if round % 2 == 0 { &first } else { &second };
            let fseg = fseg_scenes::program("fseg")?.display().to_string();
            let root = office.node.namespace();
            let applying = root.spawn(&[&fseg, "--node", &office.node.url(), "apply", file])?;
            // Now one, now the other, now both are gone before they have confirmed.
            for (n, (switch, bridge)) in [(1, "sw1"), (2, "sw2")].into_iter().enumerate() {
                if round % 3 == 2 || round % 3 == n {
                    // Half of the time to nobody, and half of the time without any, which empties Open vSwitch's tables.
                    let switch = &office.switches[switch];
                    match round {
                        ..3 => switch.vsctl(&["--no-wait", "set-controller", bridge, "tcp:192.0.2.9:1"])?,
                        _ => switch.vsctl(&["--no-wait", "del-controller", bridge])?,
                    };
                }
            }
            // In force on all switches that are there, or on none: which of the two depends on the moment.
            let out = applying.wait(std::time::Duration::from_secs(40))?;
            check(matches!(out.status.code(), Some(0 | 1)), || {
                format!("{:?} {}{}", out.status, out.stdout, out.stderr)
            })?;
            for (n, (switch, bridge)) in [(1, "sw1"), (2, "sw2")].into_iter().enumerate() {
                let mut args = vec!["set-controller", bridge];
                args.extend(kept[n].iter().map(String::as_str));
                office.switches[switch].vsctl(&args)?;
            }
            office.node.wait_for_switches(3)?;
        }
        office.apply(POLICY)?;
        judge(office, POLICY)?;
        office.apply(&other)?;
        judge(office, &other)?;
        let disconnected =
            office.node.log().lines().filter(|l| l.contains("is disconnected; it keeps its tables")).count();
        check(disconnected > 0, || "no switch was ever disconnected: this test did nothing".into())
    });
}
