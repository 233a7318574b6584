//! Externals by domain name: what the node's DNS tells an endpoint is open when it is told, and to nobody else.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};

use fseg_scenes::SceneError;
use fseg_scenes::office::{Office, POLICY, WEBSITE};

use crate::support::{Case, Told, address, bring, check, fseg, plug};

/// Where the resolver of the site listens, in the lab's own namespace where this process runs too.
const RESOLVER: &str = "127.0.0.1:5399";

fn with_resolver(config: String) -> String {
    config.replace("  domain: office.example\n", &format!("  domain: office.example\n  dns: [\"{RESOLVER}\"]\n"))
}

/// Answers questions for A records from a table (RFC 1035, section 4.1): an alias first, if there is one, then addresses.
fn resolver(table: BTreeMap<&'static str, (Option<&'static str>, Vec<Ipv4Addr>)>) -> Told {
    let socket = UdpSocket::bind(RESOLVER).map_err(|e| SceneError::wrong(format!("{RESOLVER}: {e}")))?;
    std::thread::spawn(move || {
        let mut bytes = [0; 1500];
        while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
            let (mut name, mut at) = (String::new(), 12);
            while let Some(&label) = bytes.get(at).filter(|l| **l != 0) {
                let end = at + 1 + usize::from(label);
                name += &String::from_utf8_lossy(bytes.get(at + 1..end).unwrap_or_default()).to_lowercase();
                name.push('.');
                at = end;
            }
            let question = bytes.get(12..(at + 5).min(length)).unwrap_or_default().to_vec();
            let found = table.get(name.as_str()).filter(|_| question.ends_with(&[0, 1, 0, 1]));
            let (mut count, mut records) = (0_u8, Vec::new());
            if let Some((alias, addresses)) = found {
                let mut owner = vec![0xc0, 12];
                if let Some(alias) = alias {
                    let target: Vec<u8> =
                        alias.split('.').flat_map(|l| std::iter::once(l.len() as u8).chain(l.bytes())).collect();
                    records.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, target.len() as u8]);
                    records.extend(&target);
                    owner = target;
                    count += 1;
                }
                for a in addresses {
                    records.extend(&owner);
                    records.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                    records.extend(a.octets());
                    count += 1;
                }
            }
            let code = 0x80;
            let mut answer = vec![bytes[0], bytes[1], 0x81, code, 0, 1, 0, count, 0, 0, 0, 0];
            answer.extend(question);
            answer.extend(records);
            // Whoever asked may be gone.
            let _ = socket.send_to(&answer, peer);
        }
    });
    Ok(())
}

/// The office's policy without the Internet, and with one service outside by its names.
fn policy() -> String {
    POLICY
        .replace("  internet: { cidr: [0.0.0.0/0] }\n", "  office365: { domains: [\"*.office365.example\"] }\n")
        .replace("from: staff, to: internet, services: [web, ping]", "from: sales, to: office365, services: [web]")
        .lines()
        .filter(|l| !l.contains("198.51.100.10"))
        .map(|l| format!("{l}\n"))
        .collect::<String>()
        + "  - { from: user:sales-1, to: login.office365.example, service: web, expect: permit }\n"
        + "  - { from: role:dev, to: login.office365.example, service: web, expect: deny }\n"
}

/// One attempt to fetch a page, at once and only once.
fn fetches(office: &Office<'_>, from: &str, url: &str) -> Told<bool> {
    let out = office.endpoint(from)?.curl(&["-s", "-o", "/dev/null", "--connect-timeout", "2", url])?;
    Ok(out.status.success())
}

fn lookup(office: &Office<'_>, from: &str, name: &str) -> Told<String> {
    let out = office.endpoint(from)?.exec(&["getent", "ahostsv4", name])?;
    Ok(out.stdout.split_whitespace().next().unwrap_or_default().to_owned())
}

#[test]
fn a_name_opens_its_addresses_for_those_who_may() {
    Case::new("domains::a_name_opens_its_addresses_for_those_who_may").config(with_resolver).run(|office| {
        let inside = Ipv4Addr::new(10, 0, 1, 77);
        let beyond = Ipv4Addr::new(198, 51, 100, 99);
        resolver(BTreeMap::from([
            ("login.office365.example.", (Some("edge.cdn.example."), vec![WEBSITE])),
            ("evil.office365.example.", (None, vec![inside])),
            ("mixed.office365.example.", (None, vec![inside, beyond])),
            ("www.elsewhere.example.", (None, vec![WEBSITE])),
        ]))?;
        office.apply(&policy())?;
        bring(office, &["sales-1", "dev-1", "internet"])?;
        plug(office, "stranger")?;
        let site = office.endpoint("internet")?;
        let server = site.spawn(&["/usr/bin/python3", "-u", "-m", "http.server", "80"])?;
        server.wait_for_stdout("Serving", std::time::Duration::from_secs(30))?;
        let (by_name, by_number) = ("http://login.office365.example/", format!("http://{WEBSITE}/"));

        check(!fetches(office, "sales-1", &by_number)?, || "open before anybody asked".into())?;
        // Another name with the same address, and somebody without a permit, open nothing.
        check(!fetches(office, "sales-1", "http://www.elsewhere.example/")?, || "a name that nobody listed".into())?;
        check(!fetches(office, "dev-1", by_name)?, || "dev-1 has no permit".into())?;
        check(!fetches(office, "sales-1", &by_number)?, || "dev-1 may not open it for others".into())?;
        let listed = || -> Told<serde_json::Value> {
            let list = office.node.json(&["externals"])?;
            Ok(list.as_array().and_then(|l| l.iter().find(|e| e["name"] == "office365")).cloned().unwrap_or_default())
        };
        let before = listed()?;
        check(before["addresses"].as_array().is_some_and(Vec::is_empty), || before.to_string())?;

        // The very first packet after the answer passes: not a second try.
        check(fetches(office, "sales-1", by_name)?, || "the first fetch by name failed".into())?;
        check(fetches(office, "sales-1", &by_number)?, || "its address is closed".into())?;
        check(!fetches(office, "dev-1", &by_number)?, || "open for dev-1 too".into())?;
        let now = listed()?;
        let entry = &now["addresses"][0];
        check(
            entry["address"] == WEBSITE.to_string() && entry["names"][0]["name"] == "login.office365.example",
            || now.to_string(),
        )?;
        fseg(office, &["explain", "sales-1", "login.office365.example", "web"], 0)?;
        fseg(office, &["explain", "sales-1", &WEBSITE.to_string(), "https"], 0)?;
        fseg(office, &["explain", "dev-1", "login.office365.example", "web"], 1)?;
        let services = fseg(office, &["services"], 0)?;
        check(services.stdout.contains("wake-on-lan"), || services.stdout.clone())?;

        // Nobody is led inside by a name.
        let led = lookup(office, "sales-1", "evil.office365.example")?;
        check(led.is_empty(), || format!("evil.office365.example is {led}"))?;
        let led = lookup(office, "sales-1", "mixed.office365.example")?;
        check(led == beyond.to_string(), || format!("mixed.office365.example is {led}"))?;
        office.node.wait_for_log("refused", &["evil.office365.example", "10.0.1.77"])?;
        check(address(office, "sales-1")? != inside.to_string(), || "the test's own address".into())?;

        // A restart keeps what was learned; another policy takes it away at once.
        office.node.kill()?;
        office.node.start()?;
        office.node.wait_for_switches(3)?;
        check(fetches(office, "sales-1", &by_number)?, || "forgotten over a restart".into())?;
        let without = policy().replace("*.office365.example", "*.other.example");
        let without: String = without.lines().filter(|l| !l.contains("to: login")).map(|l| format!("{l}\n")).collect();
        office.apply(&without)?;
        check(!fetches(office, "sales-1", &by_number)?, || "still open".into())
    });
}
