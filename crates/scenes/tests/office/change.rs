//! Changes of policy on real switches: on all or on none, back again, observed only, and permits that end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fseg_lab::probe::send_frames;
use fseg_lab::{Ovs, Signal};
use fseg_scenes::SceneError;
use fseg_scenes::office::{Office, POLICY};

use crate::support::{Case, Told, address, bring, check, eventually, fseg, pings, plug, unnoticed, workers};

fn file(office: &Office<'_>, name: &str, text: &str) -> Told<String> {
    let path = office.lab().dir().join(name);
    std::fs::write(&path, text).map_err(|error| SceneError::File { path: path.clone(), error })?;
    Ok(path.display().to_string())
}

/// The policy with one permit more: the customer database may reach the sales desk.
fn more() -> String {
    let permit = "permits:\n  - { id: crm-sales, from: crm, to: sales, services: [ping, ssh, syslog] }\n";
    POLICY.replacen("permits:\n", permit, 1)
}

/// The rows of the permit table, without counters.
fn permits(ovs: &Ovs, bridge: &str) -> Told<Vec<String>> {
    let dump = ovs.ofctl(&["dump-flows", bridge, "table=6", "--no-stats"])?;
    let mut rows: Vec<String> = dump.lines().filter(|l| l.contains("actions=")).map(|l| l.trim().to_owned()).collect();
    rows.sort();
    Ok(rows)
}

fn version(office: &Office<'_>) -> Told<serde_json::Value> {
    Ok(office.node.json(&["policy", "show"])?["version"].clone())
}

#[test]
fn a_switch_with_a_full_table_takes_all_others_back() {
    let case = Case::new("change::a_switch_with_a_full_table_takes_all_others_back");
    case.run(|office| {
        workers(office)?;
        let [node, sw1, sw2] = &office.switches;
        let before = [permits(node, "br-node")?, permits(sw1, "sw1")?, permits(sw2, "sw2")?];
        let limit = format!("flow_limit={}", before[2].len());
        let full = ["--", "--id=@full", "create", "Flow_Table", &limit, "overflow_policy=refuse"];
        sw2.vsctl(&[&full[..], &["--", "set", "Bridge", "sw2", "flow_tables:6=@full"]].concat())?;
        let path = file(office, "more.yaml", &more())?;
        unnoticed(office, || {
            let out = fseg(office, &["apply", &path], 1)?.stdout;
            check(out.contains("switch sw2: it refuses") && out.contains("version 1 stays in force"), || out.clone())?;
            eventually("everything as before", || {
                let now = [permits(node, "br-node")?, permits(sw1, "sw1")?, permits(sw2, "sw2")?];
                check(now == before, || format!("before {before:#?}\nnow {now:#?}"))
            })
        })?;
        check(version(office)? == 1, || "another version is in force".into())?;
        pings(office, "crm-1", "sales-1", false)?;
        let log = fseg(office, &["policy", "log"], 0)?.stdout;
        check(log.contains("undone") && log.contains("in force"), || log.clone())?;
        fseg(office, &["audit"], 0)?
            .stdout
            .contains("policy.undone")
            .then_some(())
            .ok_or_else(|| SceneError::wrong("the audit log does not say that it was undone"))?;
        // With room it is taken, and nobody who works notices.
        sw2.vsctl(&["clear", "Bridge", "sw2", "flow_tables"])?;
        office.node.wait_for_switches(3)?;
        unnoticed(office, || {
            let out = fseg(office, &["apply", &path, "--message", "with room"], 0)?.stdout;
            check(out.contains("in force as version 3"), || out.clone())
        })?;
        pings(office, "crm-1", "sales-1", true)
    });
}

#[test]
fn a_switch_that_dies_between_the_steps_leaves_everything_as_it_was() {
    Case::new("change::a_switch_that_dies_between_the_steps_leaves_everything_as_it_was").run(|office| {
        workers(office)?;
        let [node, sw1, sw2] = &office.switches;
        let before = [permits(node, "br-node")?, permits(sw1, "sw1")?];
        let path = file(office, "more.yaml", &more())?;
        let pid = std::fs::read_to_string(sw2.dir().join("vs.pid"))
            .map_err(|error| SceneError::File { path: sw2.dir().join("vs.pid"), error })?;
        // It stands still when it is asked, and never answers.
        sw2.namespace().exec(&["kill", "-STOP", pid.trim()])?.check()?;
        let program = fseg_scenes::program("fseg")?.display().to_string();
        let applying = office.node.namespace().spawn(&[&program, "--node", &office.node.url(), "apply", &path])?;
        std::thread::sleep(Duration::from_millis(500)); // it may be killed before or after it was asked
        sw2.kill9();
        let out = applying.wait(Duration::from_secs(40))?;
        check(out.status.code() == Some(1), || format!("{:?} {}{}", out.status, out.stdout, out.stderr))?;
        check(out.stdout.contains("sw2"), || out.stdout.clone())?;
        let now = [permits(node, "br-node")?, permits(sw1, "sw1")?];
        check(now == before, || "the others are not as before".into())?;
        // Without it, the policy is in force except there; `--allow-missing` accepts that.
        eventually("the switch is known to be away", || {
            let list = office.node.json(&["switches"])?;
            let away = list.as_array().is_some_and(|l| l.iter().any(|s| s["name"] == "sw2" && s["connected"] == false));
            check(away, || list.to_string())
        })?;
        let out = fseg(office, &["apply", &path], 1)?.stdout;
        check(out.contains("except on sw2"), || out.clone())?;
        fseg(office, &["apply", "--allow-missing", &path], 0)?;
        sw2.start()?;
        office.node.wait_for_switches(3)?;
        eventually("the new permit on the switch that is back", || pings(office, "crm-1", "sales-1", true))
    });
}

/// Internet checksum (RFC 1071) of an IPv4 header.
fn checksum(header: &[u8]) -> [u8; 2] {
    let sum: u32 = header.chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(p[1])).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes()
}

/// A UDP datagram of its own connection (RFC 768), to the virtual router's MAC address.
fn datagram(from_mac: &str, from: &str, to: &str, port: u16) -> Vec<u8> {
    let mac = |text: &str| -> Vec<u8> { text.split(':').filter_map(|d| u8::from_str_radix(d, 16).ok()).collect() };
    let ip = |text: &str| -> Vec<u8> { text.split('.').filter_map(|d| d.parse().ok()).collect() };
    let mut header = vec![0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0];
    header.extend(ip(from));
    header.extend(ip(to));
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    let udp = [&port.to_be_bytes()[..], &7777_u16.to_be_bytes(), &[0, 8, 0, 0]].concat();
    [mac(fseg_scenes::office::ROUTER_MAC), mac(from_mac), vec![8, 0], header, udp].concat()
}

fn received(office: &Office<'_>, name: &str) -> Told<u64> {
    let out = office.endpoint(name)?.exec(&["cat", "/sys/class/net/eth0/statistics/rx_packets"])?.stdout;
    out.trim().parse().map_err(|_| SceneError::wrong(format!("rx_packets: {out}")))
}

#[test]
fn observing_lets_an_existing_network_move_in() {
    Case::new("change::observing_lets_an_existing_network_move_in").run(|office| {
        workers(office)?;
        plug(office, "stranger")?;
        pings(office, "crm-1", "sales-1", false)?;
        let path = file(office, "observe.yaml", &format!("mode: observe\n{POLICY}"))?;
        unnoticed(office, || {
            let out = fseg(office, &["apply", &path], 0)?.stdout;
            check(out.contains("NOTHING IS ENFORCED"), || out.clone())?;
            // 1. What is denied passes, between the admitted only.
            pings(office, "crm-1", "sales-1", true)?;
            pings(office, "sales-1", "git-1", true)?;
            pings(office, "sales-1", "stranger", false)?;
            pings(office, "stranger", "crm-1", false)
        })?;
        // 2. It is said by name, and everybody can see that nothing is enforced.
        let said = eventually("the observed connection in the log", || {
            let out = fseg(office, &["logs", "--kind", "observed", "--about", "crm-1"], 0)?.stdout;
            check(out.contains("crm-1 to sales-1") && out.contains("would have been denied"), || out.clone())?;
            Ok(out)
        })?;
        check(!said.contains("sales-1 to crm-1"), || format!("what is permitted is said as well: {said}"))?;
        let health = fseg(office, &["health"], 0)?.stdout;
        check(health.contains("OBSERVE-ONLY"), || health.clone())?;
        let explained = fseg(office, &["explain", "crm-1", "sales-1", "ping"], 0)?.stdout;
        check(explained.contains("OBSERVED") && explained.contains("would be denied"), || explained.clone())?;
        // 3. Many new connections at once: what is shown to the node is metered, what passes is not.
        let (from, to) = (address(office, "crm-1")?, address(office, "sales-1")?);
        let crm = office.endpoint("crm-1")?;
        let frames: Vec<_> = (20_000..22_000).map(|port| datagram(crm.mac(), &from, &to, port)).collect();
        let before = received(office, "sales-1")?;
        let sent = send_frames(crm, &frames, 1, Duration::from_micros(200))?;
        eventually("all datagrams at the receiver", || {
            let arrived = received(office, "sales-1")? - before;
            check(arrived >= sent, || format!("{arrived} of {sent} arrived"))
        })?;
        // 4. Enforced, it is over; one permit on trial is missed where nothing else permits.
        let trial = POLICY.replace("{ id: staff-ping,", "{ id: staff-ping, mode: observe,");
        office.apply(&trial)?;
        pings(office, "crm-1", "sales-1", false)?;
        pings(office, "sales-1", "crm-1", true)?;
        eventually("the permit on trial in the log", || {
            let out = fseg(office, &["logs", "--kind", "observed", "-n", "1000"], 0)?.stdout;
            check(out.contains("would have been denied without permit staff-ping"), || out.clone())
        })?;
        let list = fseg(office, &["permits"], 0)?.stdout;
        check(list.contains("on trial"), || list.clone())?;
        office.apply(POLICY)?;
        workers_judged(office)
    });
}

/// Those who are in reach what the policy says, and nothing else.
fn workers_judged(office: &Office<'_>) -> Told {
    pings(office, "sales-1", "crm-1", true)?;
    pings(office, "dev-1", "git-1", true)?;
    pings(office, "crm-1", "sales-1", false)?;
    pings(office, "sales-1", "dev-1", false)
}

#[test]
fn plan_apply_diff_and_back_while_people_work() {
    Case::new("change::plan_apply_diff_and_back_while_people_work").run(|office| {
        workers(office)?;
        let path = file(office, "more.yaml", &more())?;
        let less: String = POLICY.lines().filter(|l| !l.contains("id: sales-crm,")).map(|l| format!("{l}\n")).collect();
        let less =
            less.lines().filter(|l| !l.contains("user:sales-1, to: device:crm-1")).collect::<Vec<_>>().join("\n");
        let less = file(office, "less.yaml", &less)?;
        // 1. The plan says by name what applying then does.
        let plan = fseg(office, &["plan", &path], 0)?.stdout;
        check(plan.contains("permits added: crm-sales") && plan.contains("+ crm (2) -> sales (2): gains "), || {
            plan.clone()
        })?;
        let planned = office.node.json(&["plan", &path])?;
        unnoticed(office, || {
            let applied = office.node.json(&["apply", "--if-version", "1", "--message", "for the audit", &path])?;
            check(applied["rows"] == planned["rows"], || format!("planned {planned:#}\napplied {applied:#}"))?;
            // The same against a version that is not in force any more is refused.
            let out = fseg(office, &["apply", "--if-version", "1", &less], 1)?.stderr;
            check(out.contains("version 2 is in force and not 1"), || out.clone())
        })?;
        pings(office, "crm-1", "sales-1", true)?;
        // 2. Who talks now over what a plan takes away is named.
        let _web = office.endpoint("crm-1")?.spawn(&["nc", "-l", "-k", "-p", "80"])?;
        let talk = format!("while sleep 0.1; do echo x; done | nc {} 80", address(office, "crm-1")?);
        let _talking = office.endpoint("sales-1")?.spawn(&["sh", "-c", &talk])?;
        eventually("the conversation in the plan", || {
            let out = fseg(office, &["plan", &less], 0)?.stdout;
            check(out.contains("ends: sales-1 with") && out.contains("by permit sales-crm"), || out.clone())
        })?;
        // 3. What differs, in meaning and in text; and back.
        let out = fseg(office, &["policy", "diff", "1", "2"], 1)?.stdout;
        check(out.contains("permits added: crm-sales") && out.contains("gains"), || out.clone())?;
        let out = fseg(office, &["policy", "diff", "--text"], 1)?.stdout;
        check(out.contains("+   - { id: crm-sales"), || out.clone())?;
        unnoticed(office, || {
            let out = fseg(office, &["policy", "rollback", "1"], 0)?.stdout;
            check(out.contains("permits removed: crm-sales") && out.contains("in force as version 3"), || out.clone())
        })?;
        pings(office, "crm-1", "sales-1", false)?;
        let log = fseg(office, &["policy", "log"], 0)?.stdout;
        check(log.contains("rollback to version 1") && log.contains("for the audit"), || log.clone())?;
        check(fseg(office, &["policy", "diff", "1", "3"], 0)?.stdout.contains("no difference"), || {
            "1 and 3 differ".into()
        })?;
        fseg(office, &["policy", "show", "99"], 1)?;
        bring(office, &["sales-2", "dev-2", "crm-2"])?;
        judge_present(office)
    });
}

/// The rights of those who are in, each way.
fn judge_present(office: &Office<'_>) -> Told {
    workers_judged(office)?;
    pings(office, "dev-2", "crm-2", true)?;
    pings(office, "sales-2", "sales-1", false)
}

#[test]
fn a_permit_that_expires_stops_what_runs() {
    Case::new("change::a_permit_that_expires_stops_what_runs").run(|office| {
        workers(office)?;
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let end = now().as_secs() + 12;
        let text = office.node.namespace().exec(&["date", "-u", "-d", &format!("@{end}"), "+%Y-%m-%dT%H:%M:%SZ"])?;
        let end_text = text.check()?.stdout;
        // The same again for another service starts when this one ends.
        let timed = POLICY
            .replace(
                "services: [ping], owner: helpdesk",
                &format!("services: [ping], expires: {}, owner: helpdesk", end_text.trim()),
            )
            .replacen(
                "permits:\n",
                &format!(
                    "permits:\n  - {{ id: later, from: sales, to: git, services: [ping], starts: {} }}\n",
                    end_text.trim()
                ),
                1,
            );
        office.apply(&timed)?;
        let target = address(office, "crm-1")?;
        pings(office, "sales-1", "git-1", true)?;
        let running = office.endpoint("sales-1")?.spawn(&["ping", "-D", "-n", "-i", "0.01", &target])?;
        running.wait_for_stdout("icmp_seq=3 ", Duration::from_secs(30))?;
        let answers = || running.stdout().lines().filter(|l| l.contains("icmp_seq=")).count();
        eventually("the end of the permit", || check(now().as_secs() > end, || "not yet".into()))?;
        eventually("the end of the running ping", || {
            let before = answers();
            std::thread::sleep(Duration::from_millis(500));
            check(answers() == before, || format!("{before} answers and counting"))
        })?;
        running.signal(Signal::SIGINT);
        let out = running.wait(Duration::from_secs(10))?.stdout;
        let stamp = |l: &str| l.strip_prefix('[')?.split(']').next()?.parse::<f64>().ok();
        let last = out.lines().filter(|l| l.contains("icmp_seq=")).filter_map(stamp).fold(0.0, f64::max);
        println!("the last answer came {:+.0} ms after the permit's end", (last - end as f64) * 1000.0);
        check(last > 0.0, || out.clone())?;
        pings(office, "sales-1", "crm-1", false)?;
        pings(office, "sales-1", "git-1", true)?;
        office.node.wait_for_log("policy", &["staff-ping", "expired"])?;
        office.node.wait_for_log("policy", &["later", "started"]).map(drop)
    });
}
