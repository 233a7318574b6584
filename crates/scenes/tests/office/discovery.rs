//! Multicast by policy, with real clients: zeroconf finds printers, an SSDP search finds devices, streams reach those who
//! joined, magic packets wake. Whoever has no permit hears and finds nothing.

use std::time::Duration;

use fseg_lab::{LabError, Proc};
use fseg_scenes::SceneError;
use fseg_scenes::office::{Office, POLICY};

use crate::support::{Case, Told, address, bring, check, eventually, field, plug};
use crate::verify;

/// The clients are Python programs: its libraries for multicast are those that people use.
const CLIENT: &str = include_str!("multicast.py");
const PATIENCE: Duration = Duration::from_secs(40);

fn client(office: &Office<'_>, at: &str, words: &[&str], ready: &str) -> Told<Proc> {
    let mut all = vec!["/usr/bin/python3", "-c", CLIENT];
    all.extend(words);
    let process = office.endpoint(at)?.spawn(&all)?;
    let lost = |e: LabError| SceneError::wrong(format!("{at}: {}: {e}\n{}", words.join(" "), process.stderr()));
    process.wait_for_stdout(ready, PATIENCE).map_err(lost)?;
    Ok(process)
}

fn run(office: &Office<'_>, at: &str, words: &[&str]) -> Told<String> {
    let mut all = vec!["/usr/bin/python3", "-c", CLIENT];
    all.extend(words);
    Ok(office.endpoint(at)?.exec_within(&all, PATIENCE)?.check()?.stdout)
}

/// The office's policy with more sections and permits.
fn policy(sections: &str, permits: &str) -> String {
    POLICY.replace("permits:\n", &format!("{sections}permits:\n{permits}"))
}

fn found(process: &Proc) -> Vec<String> {
    let mut all: Vec<String> =
        process.stdout().lines().filter_map(|l| l.strip_prefix("found ")).map(ToOwned::to_owned).collect();
    all.sort();
    all.dedup();
    all
}

fn finds(process: &Proc, expected: &[String]) -> Told {
    eventually("what is found", || {
        check(found(process) == expected, || format!("found {:?}, expected {expected:?}", found(process)))
    })
}

#[test]
fn printers_are_found_by_those_who_may_use_them() {
    Case::new("discovery::printers_are_found_by_those_who_may_use_them").run(|office| {
        let permit = "  - { id: staff-find, from: sales, to: printers, services: [discovery, ipp] }\n";
        office.apply(&policy("", permit))?;
        bring(office, &["sales-1", "dev-2", "crm-1", "printer-1", "printer-2"])?;
        plug(office, "stranger")?;
        let mut kept = Vec::new();
        for printer in ["printer-1", "printer-2"] {
            kept.push(client(office, printer, &["publish", printer], "published")?);
            kept.push(client(office, printer, &["answer"], "listening")?);
        }
        let addresses = [address(office, "printer-1")?, address(office, "printer-2")?];
        let printers = [format!("printer-1 {}", addresses[0]), format!("printer-2 {}", addresses[1])];

        let (mine, hers) = ("sales-1", "dev-2");
        let browser = client(office, mine, &["browse", "600"], "browsing")?;
        let others: Vec<Proc> = [hers, "crm-1", "stranger"]
            .iter()
            .map(|who| client(office, who, &["browse", "600"], "browsing"))
            .collect::<Told<_>>()?;
        let mut devices = addresses.to_vec();
        devices.sort();
        finds(&browser, &printers)?;
        // Answers come to the searcher's own port.
        let searcher = client(office, mine, &["search", "600"], "found")?;
        finds(&searcher, &devices)?;
        for who in [hers, "crm-1", "stranger"] {
            let out = run(office, who, &["search", "2"])?;
            check(!out.contains("found"), || format!("{who} found devices: {out}"))?;
        }
        for (process, who) in others.iter().zip([hers, "crm-1", "stranger"]) {
            check(found(process).is_empty(), || format!("{who} found {:?}", found(process)))?;
        }
        // What comes later is announced to those who may find it, and to nobody else.
        kept.push(client(office, "printer-2", &["publish", "plotter"], "published")?);
        let more = [format!("plotter {}", addresses[1]), printers[0].clone(), printers[1].clone()];
        finds(&browser, &more)?;
        check(found(&others[0]).is_empty(), || format!("dev-2 found {:?}", found(&others[0])))?;

        // Withdrawn: nobody new finds anything, on a running network.
        office.apply(POLICY)?;
        let out = run(office, mine, &["search", "2"])?;
        check(!out.contains("found"), || format!("found without a permit: {out}"))?;
        drop(kept);
        Ok(())
    });
}

#[test]
fn streams_reach_those_who_joined_and_may() {
    const TV: &str = "239.10.1.1";
    let sections = "streams:\n  lobby-tv: { addresses: [239.10.0.0/16], from: crm }\n";
    let permit = "  - { id: tv, from: [sales, printers], to: lobby-tv, services: [rtp] }\n";
    let text = policy(sections, permit);
    Case::new("discovery::streams_reach_those_who_joined_and_may").run(|office| {
        office.apply(&text)?;
        bring(office, &["sales-1", "sales-2", "dev-2", "crm-1", "git-1", "printer-2"])?;
        // sales-1 beside the sender, printer-2 at the other switch; dev-2 joins without a permit; sales-2 and git-1 do not join.
        let near = client(office, "sales-1", &["receive", TV, "5004"], "joined")?;
        let far = client(office, "printer-2", &["receive", TV, "5004"], "joined")?;
        let wishful = client(office, "dev-2", &["receive", TV, "5004"], "joined")?;
        let quiet = client(office, "sales-2", &["sniff", TV], "sniffing")?;
        let outside = client(office, "git-1", &["sniff", TV], "sniffing")?;
        let listed = || -> Told<serde_json::Value> {
            let list = office.node.json(&["streams"])?;
            Ok(list.as_array().and_then(|l| l.iter().find(|s| s["group"] == TV)).cloned().unwrap_or_default())
        };
        eventually("the memberships", || {
            let s = listed()?;
            let of = |key: &str| s[key].as_array().map_or(0, Vec::len);
            check((of("receivers"), of("denied"), of("senders")) == (2, 1, 1), || s.to_string())
        })?;
        // All of it is proved; a copy to sales-2, who has not joined, would not be.
        verify::of_stream(office, &["table=3,", "nw_dst=239.10.1.1"], "output:2")?;
        run(office, "crm-1", &["send", TV, "5004", "one", "20"])?;
        for (process, who) in [(&near, "sales-1"), (&far, "printer-2")] {
            eventually(who, || check(process.stdout().contains("one-19"), || process.stdout()))?;
            let got = process.stdout().lines().filter(|l| l.starts_with("got ")).count();
            check(got == 20, || format!("{who} got {got} of 20"))?;
        }
        // Another service of the same address, and somebody who may not send.
        run(office, "crm-1", &["send", TV, "5006", "wrong-port", "3"])?;
        run(office, "sales-2", &["send", TV, "5004", "forged", "3"])?;
        run(office, "crm-1", &["send", TV, "5004", "two", "3"])?;
        for process in [&near, &far] {
            eventually("the second", || check(process.stdout().contains("two-2"), || process.stdout()))?;
            check(!process.stdout().contains("forged"), || process.stdout())?;
        }
        for (process, who) in [(&wishful, "dev-2"), (&outside, "git-1")] {
            let text = process.stdout();
            check(!text.contains("got") && !text.contains("saw"), || format!("{who}: {text}"))?;
        }
        check(!quiet.stdout().contains("saw one") && !quiet.stdout().contains("saw two"), || quiet.stdout())?;

        // A leave counts at once; a withdrawn permit too.
        let leaver = client(office, "sales-2", &["leave", TV, "5004"], "joined")?;
        eventually("one more receiver", || {
            let s = listed()?;
            check(s["receivers"].as_array().map_or(0, Vec::len) == 3, || s.to_string())
        })?;
        run(office, "crm-1", &["send", TV, "5004", "three", "1"])?;
        leaver.wait_for_stdout("sniffing", PATIENCE)?;
        eventually("the leave", || {
            let s = listed()?;
            check(s["receivers"].as_array().map_or(0, Vec::len) == 2, || s.to_string())
        })?;
        // The node's process ends and starts again in the middle of it.
        let sender = client(office, "crm-1", &["send", TV, "5004", "four", "200"], "")?;
        office.node.kill()?;
        office.node.start()?;
        office.node.wait_for_switches(3)?;
        drop(sender.wait(Duration::from_secs(60))?);
        eventually("the last", || check(far.stdout().contains("four-199"), || far.stdout()))?;
        let got = far.stdout().lines().filter(|l| l.contains("four-")).count();
        check(got == 200, || format!("printer-2 got {got} of 200 over a restart"))?;
        check(!leaver.stdout().contains("saw"), || leaver.stdout())?;

        office.apply(&text.replace("[sales, printers], to: lobby-tv", "printers, to: lobby-tv"))?;
        run(office, "crm-1", &["send", TV, "5004", "five", "3"])?;
        eventually("the fifth", || check(far.stdout().contains("five-2"), || far.stdout()))?;
        check(!near.stdout().contains("five"), || near.stdout())
    });
}

#[test]
fn a_sleeping_endpoint_is_woken_by_those_who_may() {
    Case::new("discovery::a_sleeping_endpoint_is_woken_by_those_who_may").run(|office| {
        office.apply(&policy("", "  - { id: wake, from: sales, to: crm, services: [wake-on-lan] }\n"))?;
        bring(office, &["sales-1", "dev-1", "crm-2"])?;
        let sleeper = office.endpoint("crm-2")?;
        let mac = sleeper.mac().to_owned();
        sleeper.ip(&["address", "flush", "dev", "eth0"])?;
        sleeper.unplug()?;
        eventually("asleep", || {
            let state = field(office, "crm-2", "state")?;
            check(state == "away", || state.to_string())
        })?;
        // Its card has power and a link, and says nothing.
        sleeper.plug(office.jack("sw2-p2"))?;
        let card = client(office, "crm-2", &["sleep", &mac], "asleep")?;
        run(office, "dev-1", &["wake", &mac])?;
        office.node.wait_for_log("denied", &["dev-1", "crm-2"])?;
        check(!card.stdout().contains("awake"), || "woken without a permit".into())?;
        eventually("waking", || {
            run(office, "sales-1", &["wake", &mac])?;
            check(card.stdout().contains("awake"), || "still asleep".into())
        })?;
        check(card.stdout().contains(&format!("awake {mac}")), || card.stdout())
    });
}
