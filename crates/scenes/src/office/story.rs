//! The demo: what a new user watches.

use std::io::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use fseg_lab::{Client, Lab, Story};

use super::{Expected, Kind, Office, PLANS, POLICY, ROUTER, ROUTER_MAC, SERVICES, WEBSITE};
use crate::SceneError;
use crate::node::{Login, portal_login};

type Told<T> = Result<T, SceneError>;

fn wrong<T>(text: impl Into<String>) -> Told<T> {
    Err(SceneError::wrong(text))
}

fn ms(since: Instant) -> String {
    format!("{:.0} ms", since.elapsed().as_secs_f64() * 1000.0)
}

/// Tells the whole story. What goes wrong is in the story's failures.
pub fn tell<'lab, W: Write>(lab: &'lab Lab, story: &mut Story<W>) -> Option<Office<'lab>> {
    story.chapter("An office: two access switches, one node, nobody on the network yet");
    let mut office = story.step("private switches, cables and endpoints", || Office::build(lab))?;
    story.step("the node starts, makes its bridges and takes its switches", || office.start())?;
    story.show("they are connected by TLS, each with its own certificate (fseg switch list)", || certificates(&office));
    story.show("a policy of names is applied (policies/office.yaml)", || office.apply(POLICY));
    story.step("four accounts and three devices are registered", || office.register())?;
    arrivals(&office, story);
    passes(&office, story);
    denied(&office, story);
    reasons(&office, story);
    withdrawal(&office, story);
    movement(&office, story);
    forgery(&office, story);
    story.chapter("The node restarts while traffic runs");
    story.show("the node restarts under a running ping: nothing is lost", || restart(&mut office));
    everybody(&office, story);
    story.show(
        "the tables, read back from the switches, permit what the policy says, for all packets: fseg verify",
        || office.node.run(&["verify"]),
    );
    story.show("everybody's DHCP client asks anew, and stays: same addresses, nobody is out", || stay(&mut office));
    Some(office)
}

fn certificates(office: &Office<'_>) -> Told<String> {
    let list = office.node.json(&["switch", "list"])?;
    let right = |s: &serde_json::Value| s["transport"] == "tls" && s["certificate"]["state"] == "valid";
    match list["switches"].as_array() {
        Some(all) if all.len() == 3 && all.iter().all(right) => office.node.run(&["switch", "list"]),
        _ => wrong(format!("not all by TLS: {list}")),
    }
}

fn arrivals<W: Write>(office: &Office<'_>, story: &mut Story<W>) {
    story.chapter("Who comes in, and how");
    for p in &PLANS {
        let what = match p.kind {
            Kind::Person(_) => format!("{} plugs in at {} and gets an address", p.name, p.port),
            Kind::Server => format!("{} at {}: known by the device list", p.name, p.port),
            Kind::Printer => format!("{} at {}: named by its place", p.name, p.port),
            Kind::Stranger => format!("a stranger plugs in at {}", p.port),
            Kind::Outside(..) => format!("{} is the outside network at {}", p.name, p.port),
        };
        story.show(&what, || -> Told<String> {
            let address = office.join(p)?;
            match p.kind {
                Kind::Server | Kind::Printer => {
                    let e = office.node.endpoint(p.name)?;
                    Ok(format!(
                        "{address}, admitted by {} as {}",
                        e["method"].as_str().unwrap_or("?"),
                        e["subject"].as_str().unwrap_or("?")
                    ))
                }
                _ => Ok(address.to_string()),
            }
        });
        if let Kind::Person(_) = p.kind {
            let begun = Instant::now();
            story.show(
                &format!("{} opens any web page, is shown the portal, and logs in", p.name),
                || -> Told<String> {
                    office.log_in(p.name)?;
                    let took = ms(begun);
                    let e = office.node.endpoint(p.name)?;
                    Ok(format!("in force after {took}; groups {}", e["groups"]))
                },
            );
        }
    }
    story.step("the stranger with a wrong password stays a stranger", || -> Told<()> {
        let at = office.endpoint("stranger")?;
        match portal_login(at.namespace(), ROUTER, "sales-1", "not-the-password")? {
            Login::Refused(_) => Ok(()),
            Login::Admitted => wrong("a wrong password was accepted"),
        }
    });
}

fn http(office: &Office<'_>, from: &str, url: &str) -> Told<(String, Duration)> {
    let at = office.endpoint(from)?;
    let out = at.curl(&["-s", "-m", "4", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url} %{exitcode}", url])?;
    Ok((out.stdout.trim().to_owned(), out.elapsed))
}

fn passes<W: Write>(office: &Office<'_>, story: &mut Story<W>) {
    story.chapter("What may pass, passes");
    let address = |name: &str| -> Told<Ipv4Addr> {
        office.endpoint(name)?.address()?.ok_or_else(|| SceneError::wrong(format!("{name} has no address")))
    };
    for (from, to, permit) in
        [("sales-1", "crm-1", "staff-ping"), ("sales-2", "crm-2", "staff-ping"), ("dev-2", "git-1", "staff-ping")]
    {
        story.step(&format!("ping from {from} to {to} (permit {permit})"), || -> Told<()> {
            if office.endpoint(from)?.ping(address(to)?)? { Ok(()) } else { wrong("no answer") }
        });
    }
    story.step("a ping of 3000 bytes, in fragments, across switches", || -> Told<()> {
        let to = address("crm-2")?.to_string();
        let out = office.endpoint("sales-1")?.exec(&["ping", "-c", "2", "-i", "0.2", "-s", "3000", "-W", "1", &to])?;
        if out.status.success() { Ok(()) } else { wrong(out.stdout) }
    });
    story.show("sales-1 sends bulk data to crm-1 on the same switch (permit sales-crm-bulk)", || {
        iperf(office, "sales-1", "crm-1")
    });
    story.show("sales-1 does the same to crm-2 on the other switch", || iperf(office, "sales-1", "crm-2"));
    story.show("sales-2 finds crm-1 by name (the node's DNS)", || -> Told<String> {
        let at = office.endpoint("sales-2")?;
        let out = at.exec(&["getent", "ahostsv4", "crm-1.office.example"])?.check()?.stdout;
        Ok(out.lines().next().unwrap_or_default().to_owned())
    });
    story.step("sales-1 reaches a web site on the Internet through NAT (permit staff-internet)", || -> Told<()> {
        let site = office.endpoint("internet")?;
        let page = "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nhi\n";
        let script = format!("printf '%s' \"$1\" | timeout 6 nc -l -N {WEBSITE} 80");
        let server = site.spawn(&["sh", "-c", &script, "sh", page])?;
        std::thread::sleep(Duration::from_millis(200));
        let out = office.endpoint("sales-1")?.curl(&["-s", "-m", "4", &format!("http://{WEBSITE}/")])?;
        drop(server);
        if out.stdout.trim() == "hi" { Ok(()) } else { wrong(format!("{}{}", out.stdout, out.stderr)) }
    });
}

fn iperf(office: &Office<'_>, from: &str, to: &str) -> Told<String> {
    let (client, server) = (office.endpoint(from)?, office.endpoint(to)?);
    let address = server.address()?.ok_or_else(|| SceneError::wrong("no address"))?;
    let listening = server.spawn(&["iperf3", "-s", "-1", "--forceflush"])?;
    listening.wait_for_stdout("listening", Duration::from_secs(5))?;
    let out = client.exec(&["iperf3", "-c", &address.to_string(), "-t", "2", "-J", "--connect-timeout", "3000"])?;
    let rate = out
        .stdout
        .rsplit("\"sum_received\"")
        .next()
        .and_then(|t| t.split("\"bits_per_second\":").nth(1))
        .and_then(|t| t.trim().split([',', '\n', '}']).next())
        .and_then(|t| t.trim().parse::<f64>().ok())
        .filter(|_| out.status.success());
    match rate {
        Some(rate) => Ok(format!("{:.0} Mbit/s over TCP", rate / 1e6)),
        None => wrong(format!("iperf3: {}{}", out.stdout, out.stderr)),
    }
}

fn denied<W: Write>(office: &Office<'_>, story: &mut Story<W>) {
    story.chapter("Everything else stops, and the log says why");
    let try_tcp = |from: &str, to: &str, port: u16| -> Told<bool> {
        let address = office.endpoint(to)?.address()?.ok_or_else(|| SceneError::wrong("no address"))?;
        let out = office.endpoint(from)?.exec(&["nc", "-z", "-w", "1", &address.to_string(), &port.to_string()])?;
        Ok(out.status.success())
    };
    for (from, to, port) in [
        ("sales-1", "git-1", 22),
        ("crm-1", "sales-1", 80),
        ("sales-1", "sales-2", 80),
        ("printer-1", "crm-1", 80),
        ("sales-1", "old-hq", 80),
    ] {
        story.show(&format!("{from} to {to}, tcp/{port}"), || -> Told<String> {
            if try_tcp(from, to, port)? {
                return wrong("it went through");
            }
            office.node.wait_for_log("denied", &[&format!("{from} to {to}"), &format!("tcp/{port}")])
        });
    }
    story.show("the stranger asks for any web page and is sent to the portal", || -> Told<String> {
        let (answer, took) = http(office, "stranger", &format!("http://{WEBSITE}/"))?;
        if answer.starts_with("302 http://10.0.0.1/") {
            Ok(format!("{answer} after {took:.0?}"))
        } else {
            wrong(answer)
        }
    });
    story.show("its TLS is refused at once, so that its browser does not wait", || -> Told<String> {
        let (answer, took) = http(office, "stranger", &format!("https://{WEBSITE}/"))?;
        if answer.ends_with(" 7") && took < Duration::from_secs(2) {
            Ok(format!("refused after {took:.0?}"))
        } else {
            wrong(format!("{answer} after {took:.0?}"))
        }
    });
    story.step("it reaches no server, whatever it tries", || -> Told<()> {
        let crm = office.endpoint("crm-1")?.address()?.ok_or_else(|| SceneError::wrong("no address"))?;
        if office.endpoint("stranger")?.ping(crm)? { wrong("crm-1 answered its ping") } else { Ok(()) }
    });
}

fn reasons<W: Write>(office: &Office<'_>, story: &mut Story<W>) {
    story.chapter("Ask why");
    story.show("fseg explain sales-1 crm-1 web", || office.node.run(&["explain", "sales-1", "crm-1", "web"]));
    story.show("fseg trace sales-1 crm-1 tcp/80: table by table, to the last port", || {
        office.node.run(&["trace", "sales-1", "crm-1", "tcp/80"])
    });
    story.show("fseg explain sales-1 git-1 ssh  (exit code 1: denied)", || -> Told<String> {
        let out = office.node.fseg(&["explain", "sales-1", "git-1", "ssh"])?;
        if out.status.code() == Some(1) { Ok(out.stdout) } else { wrong(format!("{:?} {}", out.status, out.stderr)) }
    });
    story.show("fseg why COOKIE, for a row as the switch shows it", || -> Told<String> {
        let [_, sw1, _] = &office.switches;
        let all = sw1.ofctl(&["-O", "OpenFlow13", "dump-flows", "sw1", "table=6"])?;
        let row = all.lines().find(|l| l.contains("cookie=0xf504")).unwrap_or_default().trim().to_owned();
        let cookie = row.split("cookie=").nth(1).and_then(|t| t.split(',').next()).unwrap_or_default().to_owned();
        let why = office.node.run(&["why", &cookie])?;
        Ok(format!("{row}\n{why}"))
    });
}

fn withdrawal<W: Write>(office: &Office<'_>, story: &mut Story<W>) {
    story.chapter("A permit is withdrawn under a running transfer");
    story.show("first the question what that would do: fseg plan", || -> Told<String> {
        let path = office.lab().dir().join("less.yaml");
        let less: String =
            POLICY.lines().filter(|l| !l.contains("id: sales-crm-bulk")).map(|l| format!("{l}\n")).collect();
        std::fs::write(&path, less).map_err(|error| SceneError::File { path: path.clone(), error })?;
        office.node.run(&["plan", &path.display().to_string()])
    });
    story.show("sales-1 uploads to crm-1; sales-crm-bulk is withdrawn; the transfer stops", || cut(office));
    story.step("the permit comes back", || office.apply(POLICY));
}

/// Bytes received by a process's namespace so far, on its `eth0`.
fn received(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/net/dev")).ok()?;
    let line = text.lines().find_map(|l| l.trim().strip_prefix("eth0:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn cut(office: &Office<'_>) -> Told<String> {
    let (client, server) = (office.endpoint("sales-1")?, office.endpoint("crm-1")?);
    let address = server.address()?.ok_or_else(|| SceneError::wrong("no address"))?;
    let listening = server.spawn(&["iperf3", "-s", "-1", "--forceflush"])?;
    listening.wait_for_stdout("listening", Duration::from_secs(5))?;
    let process = listening.id();
    let sending = client.spawn(&["iperf3", "-c", &address.to_string(), "-t", "20"])?;
    let flowing = Instant::now();
    let start = received(process).unwrap_or(0);
    while received(process).unwrap_or(0) < start + 10_000_000 {
        if flowing.elapsed() > Duration::from_secs(5) {
            return wrong("the transfer did not get going");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let without: String =
        POLICY.lines().filter(|l| !l.contains("id: sales-crm-bulk")).map(|l| format!("{l}\n")).collect();
    // Watch the receiving side while the policy is applied: when did the last full packet arrive?
    let begun = Instant::now();
    let watcher = std::thread::spawn(move || {
        let (mut last, mut seen) = (received(process).unwrap_or(0), Instant::now());
        while seen.elapsed() < Duration::from_millis(1500) && begun.elapsed() < Duration::from_secs(10) {
            let now = received(process).unwrap_or(last);
            // Less than a packet's worth is ARP or the like.
            if now > last + 500 {
                (last, seen) = (now, Instant::now());
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        seen.duration_since(begun)
    });
    office.apply(&without)?;
    let applied = begun.elapsed();
    let last = watcher.join().map_err(|_| SceneError::wrong("the watcher failed"))?;
    drop((sending, listening));
    if last > applied + Duration::from_millis(500) {
        return wrong(format!(
            "packets still arrived {last:.0?} after the call; `fseg apply` had returned after {applied:.0?}"
        ));
    }
    let log = office.node.wait_for_log("denied", &["sales-1 to crm-1", "tcp/5201"]);
    Ok(format!(
        "last packet {last:.1?} after `fseg apply` was called (the command itself took {applied:.1?})\n{}",
        log.unwrap_or_default()
    ))
}

fn movement<W: Write>(office: &Office<'_>, story: &mut Story<W>) {
    story.chapter("An endpoint moves");
    story.show("dev-1 moves from sw1/p3 to sw2/p6 and keeps its address and rights", || -> Told<String> {
        let dev = office.endpoint("dev-1")?;
        let before = dev.address()?;
        let git = office.endpoint("git-1")?.address()?.ok_or_else(|| SceneError::wrong("no address"))?;
        let begun = Instant::now();
        dev.move_to(office.jack("sw2-p6"))?;
        let plugged = begun.elapsed();
        let mut answered = false;
        while !answered && begun.elapsed() < Duration::from_secs(10) {
            let out = dev.exec(&["ping", "-c", "1", "-W", "0.2", &git.to_string()])?;
            answered = out.status.success();
        }
        if !answered {
            return wrong("it reaches git-1 no more");
        }
        let took = begun.elapsed();
        let e = office.node.endpoint("dev-1")?;
        if e["place"] != "tokyo/sw2/p6" || dev.address()? != before {
            return wrong(format!("it is at {} with {:?}", e["place"], dev.address()?));
        }
        Ok(format!(
            "{} at {}; cable {plugged:.0?}, git-1 answers after {took:.0?}",
            before.map(|a| a.to_string()).unwrap_or_default(),
            e["place"]
        ))
    });
    story.show("what the log says", || office.node.wait_for_log("moved", &["dev-1 moved"]));
}

fn forgery<W: Write>(office: &Office<'_>, story: &mut Story<W>) {
    story.chapter("A spoofed address");
    story.show("sales-2 gives itself crm-1's address and sends from it to git-1", || -> Told<String> {
        let (who, as_whom) = (office.endpoint("sales-2")?, office.endpoint("crm-1")?);
        let forged = as_whom.address()?.ok_or_else(|| SceneError::wrong("no address"))?;
        let target = office.endpoint("git-1")?.address()?.ok_or_else(|| SceneError::wrong("no address"))?.to_string();
        who.ip(&["address", "add", &format!("{forged}/32"), "dev", "eth0"])?;
        // With the neighbour known, the forged packets themselves go out, not only ARP for them.
        who.ip(&["neighbour", "replace", &target, "lladdr", ROUTER_MAC, "dev", "eth0", "nud", "permanent"])?;
        let out = who.exec(&["ping", "-c", "3", "-i", "0.2", "-W", "1", "-I", &forged.to_string(), &target])?;
        who.ip(&["neighbour", "del", &target, "dev", "eth0"])?;
        who.ip(&["address", "del", &format!("{forged}/32"), "dev", "eth0"])?;
        if out.status.success() {
            return wrong("the forged ping was answered");
        }
        office.node.wait_for_log("spoofed", &["sales-2", &format!("source {forged}")])
    });
    story.step("crm-1 itself is unaffected", || -> Told<()> {
        let crm = office.endpoint("crm-1")?.address()?.ok_or_else(|| SceneError::wrong("no address"))?;
        if office.endpoint("sales-1")?.ping(crm)? { Ok(()) } else { wrong("crm-1 does not answer") }
    });
    story.show("two devices with one MAC address: the first stays", || -> Told<String> {
        let stranger = office.endpoint("stranger")?;
        let ip = |args: &[&str]| stranger.ip(args);
        ip(&["link", "set", "eth0", "down"])?;
        ip(&["link", "set", "eth0", "address", "02:00:00:00:02:01"])?;
        ip(&["link", "set", "eth0", "up"])?;
        let got = stranger.dhcp(Client::Udhcpc).is_ok();
        ip(&["link", "set", "eth0", "down"])?;
        ip(&["link", "set", "eth0", "address", stranger.mac()])?;
        ip(&["link", "set", "eth0", "up"])?;
        stranger.dhcp(Client::Udhcpc)?;
        if got {
            return wrong("the second device with crm-1's MAC address got an address");
        }
        office.node.wait_for_log("refused", &["02:00:00:00:02:01", "crm-1 has this MAC address"])
    });
}

fn restart(office: &mut Office<'_>) -> Told<String> {
    let inside = office.endpoint("crm-2")?.address()?.ok_or_else(|| SceneError::wrong("no address"))?;
    let pings = [("sales-1", inside), ("sales-2", WEBSITE)].map(|(from, to)| -> Told<_> {
        Ok(office.endpoint(from)?.spawn(&["ping", "-i", "0.02", "-c", "200", "-q", &to.to_string()])?)
    });
    std::thread::sleep(Duration::from_millis(500));
    office.node.kill()?;
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    office.start()?;
    let mut lines = format!("killed, and ready again {:.0?} after its start\n", begun.elapsed());
    for (ping, to) in pings.into_iter().zip(["to crm-2 on the other switch", "to the Internet through NAT"]) {
        let out = ping?.wait(Duration::from_secs(30))?.stdout;
        let line = out.lines().find(|l| l.contains("packet loss")).unwrap_or_default();
        if !line.contains(" 0% packet loss") {
            return wrong(format!("{to}: lost packets: {out}"));
        }
        lines.push_str(&format!("{to}: {line}\n"));
    }
    for switch in ["node", "sw1", "sw2"] {
        let log = office.node.wait_for_log("switch", &[&format!("switch {switch} is connected")])?;
        if !log.contains("0 added, 0 removed") {
            return wrong(format!("rows were changed: {log}"));
        }
        lines.push_str(&format!("{log}\n"));
    }
    Ok(lines)
}

/// Who is admitted, and with which addresses.
fn roll(office: &Office<'_>) -> Told<Vec<String>> {
    let list = office.node.json(&["endpoints"])?;
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(list.iter().map(|e| format!("{} {} {} {}", e["mac"], e["name"], e["state"], e["addresses"])).collect())
}

fn stay(office: &mut Office<'_>) -> Told<String> {
    let before = roll(office)?;
    office.stay()?;
    let after = roll(office)?;
    if before != after {
        return wrong(format!("before: {before:#?}\nafter: {after:#?}"));
    }
    let admitted = after.iter().filter(|line| line.contains("\"admitted\"")).count();
    Ok(format!("{admitted} admitted, {} known", after.len()))
}

fn everybody<W: Write>(office: &Office<'_>, story: &mut Story<W>) {
    story.chapter("Everybody tries everything with everybody");
    let n = PLANS.len();
    let cells = n * (n - 1) * SERVICES.len();
    story.show(
        &format!("{n} × {} × {} services against the reference decision: {cells} cells", n - 1, SERVICES.len()),
        || -> Told<String> {
            let count = office.judge(&Expected::of(POLICY)?)?;
            Ok(format!("{count} cells tried, none is wrong"))
        },
    );
}
