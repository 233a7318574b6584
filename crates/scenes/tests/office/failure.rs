//! Faults of the node's own world: killed at any step, a slow disk, a clock that is set, floods; and its recording, which
//! tells afterwards what was decided. Running traffic must not lose a packet.

use std::time::{Duration, Instant};

use fseg_lab::{Client, Jack, Lab};
use fseg_scenes::SceneError;
use fseg_scenes::office::{Office, POLICY};

use crate::support::{
    Case, PATIENCE, Told, address, bring, check, eventually, field, fseg, pings, plug, unbroken, unnoticed, workers,
    wrong,
};

/// Numbers that look random and are the same in every run, so that a failure can be looked for again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> SceneError + '_ {
    move |e| SceneError::wrong(format!("{what}: {e}"))
}

#[test]
fn a_node_killed_at_any_step_of_start_and_apply_loses_no_packet() {
    Case::new("failure::a_node_killed_at_any_step_of_start_and_apply_loses_no_packet").run(|office| {
        workers(office)?;
        let other = office.lab().dir().join("other.yaml");
        let text = POLICY.replace("services:\n", "services:\n  spare: [tcp/4242]\n");
        std::fs::write(&other, text).map_err(io("other.yaml"))?;
        let files = [other, office.lab().dir().join("office.yaml")].map(|f| f.display().to_string());
        unbroken(office, || {
            let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
            for n in 0..10 {
                // Killed while it starts: opening the store, listening, reading the switches, repairing.
                office.node.kill()?;
                office.node.launch()?;
                std::thread::sleep(Duration::from_millis(dice.below(600)));
                office.node.kill()?;
                // Killed while it applies: checked, committed, sent, confirmed or not.
                office.node.start()?;
                let apply = std::thread::scope(|scope| {
                    let apply = scope.spawn(|| office.node.fseg(&["apply", &files[n % 2]]));
                    std::thread::sleep(Duration::from_millis(dice.below(250)));
                    let killed = office.node.kill();
                    apply.join().map(|out| (out, killed))
                });
                let (out, killed) = apply.map_err(|_| SceneError::wrong("the thread that applies failed"))?;
                killed?;
                let code = out?.status.code();
                // In force, not taken by switches that have only just come back, or nobody left to say.
                check(matches!(code, Some(0 | 1 | 3)), || {
                    format!("apply ended with {code:?} when the node was killed")
                })?;
            }
            office.node.start()?;
            office.node.wait_for_switches(3)
        })?;
        // Whatever came of the others: the last one counts, everywhere.
        office.apply(POLICY)?;
        bring(office, &["sales-2", "crm-2"])?;
        pings(office, "sales-2", "crm-2", true)?;
        let list = office.node.json(&["switches"])?;
        let foreign: Vec<_> = list.as_array().into_iter().flatten().filter(|s| s["foreign_rows"] != 0).collect();
        check(foreign.is_empty(), || format!("rows of nobody: {foreign:?}"))
    });
}

/// Builds the library that makes the faults, and lets the node be started with it.
fn with_faults(office: &Office<'_>) -> Told {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/office/faults.c");
    let dir = office.lab().dir();
    let library = dir.join("faults.so").display().to_string();
    office.lab().root().exec(&["cc", "-O1", "-shared", "-fPIC", "-o", &library, source])?.check()?;
    let [sync, clock] = ["sync-ms", "clock-s"].map(|f| dir.join(f).display().to_string());
    office.node.with_environment(&[("LD_PRELOAD", &library), ("FAULT_SYNC_MS", &sync), ("FAULT_CLOCK_S", &clock)]);
    office.node.stop()?;
    office.node.start()?;
    office.node.wait_for_switches(3)
}

fn fault(office: &Office<'_>, file: &str, value: i64) -> Told {
    std::fs::write(office.lab().dir().join(file), value.to_string()).map_err(io(file))
}

#[test]
fn a_slow_disk_delays_promises_not_traffic() {
    Case::new("failure::a_slow_disk_delays_promises_not_traffic").run(|office| {
        with_faults(office)?;
        workers(office)?;
        let before = Instant::now();
        bring(office, &["dev-2"])?;
        let usual = before.elapsed();
        unnoticed(office, || {
            fault(office, "sync-ms", 400)?;
            let before = Instant::now();
            bring(office, &["sales-2"])?;
            eventually("crm-2 on a slow disk", || bring(office, &["crm-2"]))?;
            let slow = before.elapsed();
            println!(
                "an admission by login: {usual:?}; on a disk that takes 400 ms for each write, with a device: {slow:?}"
            );
            // Lease, session and names were durable before they were acknowledged: each cost at least one wait.
            check(slow > Duration::from_millis(800), || format!("acknowledged before it was durable: {slow:?}"))?;
            pings(office, "sales-2", "crm-2", true)
        })?;
        // What was acknowledged is there, whatever happens next.
        office.node.kill()?;
        fault(office, "sync-ms", 0)?;
        office.node.start()?;
        office.node.wait_for_switches(3)?;
        for who in ["sales-2", "crm-2", "dev-2"] {
            let state = field(office, who, "state")?;
            check(state == "admitted", || format!("{who} is {state} after the restart"))?;
        }
        pings(office, "sales-2", "crm-2", true)
    });
}

#[test]
fn the_wall_clock_is_set_and_nobody_notices() {
    Case::new("failure::the_wall_clock_is_set_and_nobody_notices").run(|office| {
        with_faults(office)?;
        workers(office)?;
        bring(office, &["crm-2"])?;
        let day = 24 * 3600;
        unnoticed(office, || {
            for seconds in [2 * day, -3 * day, 200 * day, 0] {
                fault(office, "clock-s", seconds)?;
                // The node lives in that time: what it writes down now says so.
                let mark = format!("02:cc:00:00:00:{:02x}", (seconds / day).rem_euclid(256));
                fseg(office, &["device", "add", &format!("mark-{}", seconds.unsigned_abs()), &mark], 0)?;
                let audit = office.node.json(&["audit", "-n", "1"])?;
                let entry = audit.as_array().and_then(|l| l.first()).cloned().unwrap_or_default();
                let date = office.lab().root().exec(&["date", "-u", "-d", &format!("{seconds} seconds"), "+%F"])?;
                let date = date.check()?.stdout;
                check(entry["at"].as_str().is_some_and(|at| at.starts_with(date.trim())), || {
                    format!("with a clock wrong by {seconds} s it writes {entry}")
                })?;
                // Its sweeps, one each second, have been over everybody.
                std::thread::sleep(Duration::from_millis(1500));
                for who in ["sales-1", "dev-1", "crm-1"] {
                    let state = field(office, who, "state")?;
                    check(state == "admitted", || format!("{who} is {state} with a clock wrong by {seconds} s"))?;
                }
                // Leases go on too: who asks again gets the same address.
                let before = address(office, "crm-2")?;
                office.endpoint("crm-2")?.dhcp(Client::Udhcpc)?;
                let after = address(office, "crm-2")?;
                check(before == after, || format!("crm-2 had {before} and has {after}"))?;
            }
            Ok(())
        })
    });
}

/// The node's resident memory in KiB (proc(5), VmRSS).
fn memory(office: &Office<'_>) -> Told<u64> {
    let id = office.node.id().ok_or_else(|| SceneError::wrong("the node does not run"))?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).map_err(io("the node's status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().map_err(|_| SceneError::wrong(format!("VmRSS is `{line}`")))
}

/// How long one endpoint takes from its cable to its address, several times; sorted.
fn arrivals(office: &Office<'_>, name: &str, port: &str) -> Told<Vec<Duration>> {
    let endpoint = office.endpoint(name)?;
    let mut all = Vec::new();
    for _ in 0..8 {
        endpoint.plug(office.jack(port))?;
        let before = Instant::now();
        endpoint.dhcp(Client::Udhcpc)?;
        all.push(before.elapsed());
        endpoint.unplug()?;
    }
    all.sort();
    Ok(all)
}

/// An Ethernet frame with a DHCPDISCOVER (RFC 2131) of a device that nobody knows, whole or with its end missing.
fn discover(n: u32, missing: usize) -> Vec<u8> {
    let mac = [2, 0xdd, (n >> 24) as u8, (n >> 16) as u8, (n >> 8) as u8, n as u8];
    let mut dhcp = vec![1, 1, 6, 0, 1, 2, 3, 4];
    dhcp.resize(28, 0);
    dhcp.extend(mac);
    dhcp.resize(236, 0);
    dhcp.extend([99, 130, 83, 99, 53, 1, 1, 255]);
    let udp = [&[0, 68, 0, 67][..], &(8 + dhcp.len() as u16).to_be_bytes(), &[0, 0], &dhcp].concat();
    let mut ip = vec![0x45, 0];
    ip.extend((20 + udp.len() as u16).to_be_bytes());
    ip.extend([0, 1, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]);
    let sum: u32 = ip.chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(p[1])).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [&[0xff; 6][..], &mac, &[8, 0], &ip, &udp].concat();
    frame.truncate(frame.len().saturating_sub(missing));
    frame
}

#[test]
fn a_flood_leaves_others_their_time_and_the_node_its_memory() {
    Case::new("failure::a_flood_leaves_others_their_time_and_the_node_its_memory").run(|office| {
        workers(office)?;
        plug(office, "stranger")?;
        let quiet = arrivals(office, "crm-2", "sw2-p2")?;
        let before = memory(office)?;
        let flooder = office.endpoint("stranger")?;
        // Whole and malformed, each of another device.
        let frames: Vec<Vec<u8>> =
            (0..2000).map(|n| discover(n, if n % 2 == 0 { 0 } else { n as usize % 300 })).collect();
        let flooded = unnoticed(office, || {
            std::thread::scope(|scope| {
                let flood =
                    scope.spawn(|| fseg_lab::probe::send_frames(flooder, &frames, 20, Duration::from_micros(100)));
                let flooded = arrivals(office, "crm-2", "sw2-p2")?;
                let sent = flood.join().map_err(|_| SceneError::wrong("the flood's thread failed"))??;
                check(sent > 10_000, || format!("{sent} frames are no flood"))?;
                Ok(flooded)
            })
        })?;
        let after = memory(office)?;
        let (a, b) = (quiet[quiet.len() / 2], flooded[flooded.len() / 2]);
        println!(
            "from cable to address, median: {a:?} in silence, {b:?} beside a flood; memory {before} and {after} KiB"
        );
        check(b < a + Duration::from_secs(10), || format!("{a:?} in silence and {b:?} beside a flood"))?;
        check(after < before + 64 * 1024, || format!("the node grew from {before} to {after} KiB"))
    });
}

/// A port behind which an ordinary switch is.
fn shared(config: String) -> String {
    config.replace("{ number: 5, name: p5, device: sw1-p5 }", "{ number: 5, name: p5, device: sw1-p5, kind: shared }")
}

#[test]
fn who_leaves_an_ordinary_switch_is_asked_for_there() {
    Case::new("failure::who_leaves_an_ordinary_switch_is_asked_for_there").config(shared).run(|office| {
        let lab: &Lab = office.lab();
        let plain = lab.ovs_in("plain", &lab.namespace("plain")?)?;
        plain.add_bridge("br-plain")?;
        for (n, port) in ["plain-up", "plain-1", "plain-2"].into_iter().enumerate() {
            lab.jack(Jack::of(&plain, port))?;
            plain.add_port("br-plain", port, n as u16 + 1)?;
        }
        plain.add_flow("br-plain", "priority=0,actions=NORMAL")?;
        lab.patch(Jack::of(&plain, "plain-up"), office.jack("sw1-p5"))?;
        workers(office)?;
        let sales = office.endpoint("sales-2")?;
        sales.plug(Jack::of(&plain, "plain-1"))?;
        sales.dhcp(Client::Udhcpc)?;
        office.log_in("sales-2")?;
        let crm = office.endpoint("crm-1")?.address()?.ok_or_else(|| SceneError::wrong("crm-1 has no address"))?;
        check(sales.ping(crm)?, || "no answer from behind the ordinary switch".into())?;
        // 1. Out of the ordinary switch, into another port: no link of the network went down, and nobody answers there.
        sales.plug(office.jack("sw2-p6"))?;
        let begun = Instant::now();
        eventually("traffic from the new place", || check(sales.ping(crm)?, || "no answer from the new place".into()))?;
        println!("traffic again {:?} after the move from behind an ordinary switch", begun.elapsed());
        let place = field(office, "sales-2", "place")?;
        check(place == "tokyo/sw2/p6", || format!("sales-2 is said to be at {place}"))?;
        office.node.wait_for_log("moved", &["left tokyo/sw1/p5", "does not answer"])?;
        // 2. Back behind it; a twin with the same MAC address elsewhere is refused, since she answers.
        sales.plug(Jack::of(&plain, "plain-2"))?;
        eventually("traffic from behind the ordinary switch", || check(sales.ping(crm)?, || "no answer".into()))?;
        let twin = office.endpoint("stranger")?;
        twin.plug(office.jack("sw2-p4"))?;
        let mac = sales.mac().to_owned();
        for args in [
            &["link", "set", "eth0", "down"][..],
            &["link", "set", "eth0", "address", &mac],
            &["link", "set", "eth0", "up"],
        ] {
            twin.ip(args)?.check()?;
        }
        check(twin.dhcp(Client::Udhcpc).is_err(), || "the twin was given an address".into())?;
        office.node.wait_for_log("refused", &["sales-2", "still heard at tokyo/sw1/p5"])?;
        check(sales.ping(crm)?, || "the first one lost its place to a twin".into())
    });
}

#[test]
fn a_recorded_day_is_lived_through_again() {
    Case::new("failure::a_recorded_day_is_lived_through_again").run(|office| {
        let file = office.lab().dir().join("day.rec");
        let path = file.display().to_string();
        office.node.with_arguments(&["--record", &path]);
        office.node.stop()?;
        office.node.start()?;
        office.node.wait_for_switches(3)?;
        bring(office, &["sales-1", "dev-1", "crm-1", "git-1", "printer-1"])?;
        plug(office, "stranger")?;
        let wrong_password = fseg_scenes::node::portal_login(
            office.endpoint("stranger")?.namespace(),
            fseg_scenes::office::ROUTER,
            "sales-2",
            "not-the-one",
        )?;
        check(wrong_password != fseg_scenes::node::Login::Admitted, || "admitted by a wrong password".into())?;
        office.endpoint("dev-1")?.move_to(office.jack("sw2-p6"))?;
        eventually("dev-1 from its new place", || pings(office, "dev-1", "git-1", true))?;
        fseg(office, &["user", "disable", "sales-2"], 0)?;
        office.apply(&POLICY.replace("services:\n", "services:\n  spare: [tcp/4242]\n"))?;
        let known = office.node.json(&["endpoints"])?;
        // Killed, as a node is whose recording somebody wants to see.
        office.node.kill()?;

        let summary = office.node.json(&["replay", &path])?;
        check(summary["as_recorded"] == true && summary["steps"].as_u64() > Some(50), || format!("{summary}"))?;
        println!("{} steps with {} effects, all as recorded", summary["steps"], summary["effects"]);
        let again = office.node.json(&["replay", &path, "--show", "endpoints"])?;
        for e in known.as_array().into_iter().flatten() {
            let same =
                |r: &&serde_json::Value| ["mac", "name", "place", "state", "addresses"].iter().all(|f| r[f] == e[f]);
            let found = again.as_array().is_some_and(|l| l.iter().any(|r| same(&r)));
            check(found, || format!("{e} is not among the replayed {again}"))?;
        }
        // Any step, and what led to it.
        let half = (summary["steps"].as_u64().unwrap_or_default() / 2).to_string();
        for show in ["endpoints", "switches", "rows", "events", "decisions"] {
            let out = fseg(office, &["replay", &path, "--at", &half, "--show", show], 0)?;
            check(!out.stdout.is_empty(), || format!("nothing to show of {show}"))?;
        }
        let steps = fseg(office, &["replay", &path, "--step"], 0)?.stdout;
        check(steps.contains("login as sales-2") && steps.contains("the password is wrong"), || {
            "no login in it".into()
        })?;
        fseg(office, &["replay", &path, "--at", "99999999"], 2)?;

        // No secret is in it.
        let bytes = std::fs::read(&file).map_err(io("the recording"))?;
        let hashes = std::fs::read(office.lab().dir().join("state/fseg.db")).map_err(io("the store"))?;
        let has = |all: &[u8], part: &[u8]| all.windows(part.len()).any(|w| w == part);
        check(has(&hashes, b"$argon2id$"), || "this test looks for hashes in the wrong place".into())?;
        let salt = hashes.windows(6).position(|w| w == b"$argon").map(|at| &hashes[at..at + 60]).unwrap_or_default();
        for secret in [fseg_scenes::office::PASSWORD.as_bytes(), b"not-the-one", &salt[salt.len() - 20..]] {
            check(!has(&bytes, secret), || format!("a secret is in the recording: {secret:?}"))?;
        }
        // Torn, altered, foreign.
        let torn = office.lab().dir().join("torn.rec");
        std::fs::write(&torn, &bytes[..bytes.len() - 3]).map_err(io("torn.rec"))?;
        let torn = torn.display().to_string();
        let out = fseg(office, &["replay", &torn], 0)?;
        check(out.stdout.contains("unfinished step"), || out.stdout.clone())?;
        let mut altered = bytes.clone();
        let middle = altered.len() / 2;
        altered[middle] ^= 1;
        let path = office.lab().dir().join("altered.rec");
        std::fs::write(&path, &altered).map_err(io("altered.rec"))?;
        let out = fseg(office, &["replay", &path.display().to_string()], 2)?;
        check(out.stderr.contains("altered or damaged"), || out.stderr.clone())?;
        let out = fseg(office, &["replay", "/bin/sh"], 2)?;
        if out.stderr.contains("not a recording") { Ok(()) } else { wrong(out.stderr) }
    });
}

/// What a process's namespace received so far on its `eth0`, in bytes.
fn received(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/net/dev")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.trim().strip_prefix("eth0:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_default()
}

#[test]
fn a_download_goes_on_when_its_receiver_moves() {
    Case::new("failure::a_download_goes_on_when_its_receiver_moves").run(|office| {
        workers(office)?;
        let (server, client) = (office.endpoint("crm-1")?, office.endpoint("sales-1")?);
        let listening = server.spawn(&["iperf3", "-s", "-1", "--forceflush"])?;
        listening.wait_for_stdout("listening", PATIENCE)?;
        // 1. A slow download: the receiver has nothing to say but that it got what came.
        let address = address(office, "crm-1")?;
        let download = client.spawn(&["iperf3", "-c", &address, "-R", "-b", "4M", "-t", "120"])?;
        let process = download.id();
        let grows = |by: u64| {
            let before = received(process);
            eventually("more of the download", || {
                let now = received(process);
                check(now > before + by, || format!("{before} bytes, and {now} now"))
            })
        };
        grows(1_000_000)?;
        // 2. It moves to the other switch, and there speaks ARP only, as a laptop does whose cable is plugged in anew.
        client.plug(office.jack("sw2-p6"))?;
        let begun = Instant::now();
        client.exec(&["busybox", "arping", "-c", "1", "-w", "2", "-I", "eth0", "10.0.0.1"])?;
        office.node.wait_for_log("moved", &["sales-1 moved from tokyo/sw1/p1 to tokyo/sw2/p6"])?;
        // 3. The server goes on by itself.
        office.node.wait_for_log("moved", &["sales-1 moved while it used tcp/5201 of crm-1"])?;
        grows(500_000)?;
        println!("the download went on {:?} after the move", begun.elapsed());
        pings(office, "sales-1", "crm-1", true)?;
        drop((download, listening));
        Ok(())
    });
}
