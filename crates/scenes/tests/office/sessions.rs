//! The life of a session: how it begins, what it survives, how it ends, and what a stranger is told meanwhile.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, PoisonError};

use fseg_lab::Client;
use fseg_scenes::SceneError;
use fseg_scenes::node::{Login, portal_login};
use fseg_scenes::office::{Office, PASSWORD, ROUTER, WEBSITE};

use crate::support::{
    Case, Told, address, bring, check, eventually, field, form_token, fseg, pings, plug, portal, unnoticed, workers,
};

fn state(office: &Office<'_>, name: &str, expected: &str) -> Told {
    let seen = field(office, name, "state")?;
    check(seen == expected, || format!("{name} is {seen}, expected {expected}"))
}

fn becomes(office: &Office<'_>, name: &str, expected: &str) -> Told {
    eventually(name, || state(office, name, expected))
}

/// What the captive portal API (RFC 8908) tells this endpoint.
fn captive(office: &Office<'_>, name: &str) -> Told<serde_json::Value> {
    let at = office.endpoint(name)?;
    let (code, body) = portal(at, "/captive-portal/api", &["-H", "Accept: application/captive+json"])?;
    let answer = serde_json::from_str(&body).map_err(|e| SceneError::wrong(format!("{code}: {e}: {body}")))?;
    check(code == 200, || format!("the captive portal API answers {name} with {code}"))?;
    Ok(answer)
}

#[test]
fn people_log_out_and_are_shut_out() {
    Case::new("sessions::people_log_out_and_are_shut_out").run(|office| {
        workers(office)?;
        bring(office, &["sales-2", "dev-2"])?;
        plug(office, "crm-2")?;
        unnoticed(office, || {
            let sales = office.endpoint("sales-2")?;
            pings(office, "sales-2", "crm-2", true)?;
            let told = captive(office, "sales-2")?;
            check(told["captive"] == false && told["seconds-remaining"].as_u64() > Some(40_000), || told.to_string())?;

            let token = form_token(sales)?;
            let (code, _) = portal(sales, "/logout", &["-d", &format!("token={token}&lang=en")])?;
            check(code == 303, || format!("logging out answers {code}"))?;
            // In force when it is answered: not one packet more.
            pings(office, "sales-2", "crm-2", false)?;
            state(office, "sales-2", "stranger")?;
            let told = captive(office, "sales-2")?;
            check(told["captive"] == true && told["user-portal-url"] == "http://10.0.0.1/", || told.to_string())?;
            office.log_in("sales-2")?;
            pings(office, "sales-2", "crm-2", true)?;

            // An account that is disabled is out when the command returns, and stays out.
            fseg(office, &["user", "disable", "sales-2"], 0)?;
            pings(office, "sales-2", "crm-2", false)?;
            let again = portal_login(sales, ROUTER, "sales-2", PASSWORD)?;
            check(again == Login::Refused(403), || format!("a disabled account: {again:?}"))?;
            fseg(office, &["user", "enable", "sales-2"], 0)?;
            pings(office, "sales-2", "crm-2", false)?;
            office.log_in("sales-2")?;
            pings(office, "sales-2", "crm-2", true)?;

            // A deleted account likewise; and a device that is taken off the list is a stranger.
            fseg(office, &["user", "delete", "dev-2"], 0)?;
            state(office, "dev-2", "stranger")?;
            fseg(office, &["device", "remove", "crm-2"], 0)?;
            state(office, "crm-2", "stranger")?;
            pings(office, "sales-2", "crm-2", false)?;
            let mac = office.endpoint("crm-2")?.mac().to_owned();
            fseg(office, &["device", "add", "crm-2", &mac], 0)?;
            state(office, "crm-2", "admitted")?;
            pings(office, "sales-2", "crm-2", true)
        })
    });
}

#[test]
fn a_session_survives_its_link_and_a_places_name_does_not_move() {
    Case::new("sessions::a_session_survives_its_link_and_a_places_name_does_not_move").run(|office| {
        workers(office)?;
        bring(office, &["sales-2", "crm-2", "printer-1"])?;
        unnoticed(office, || {
            let (sales, before) = (office.endpoint("sales-2")?, address(office, "sales-2")?);
            sales.unplug()?;
            becomes(office, "sales-2", "away")?;
            sales.plug(office.jack("sw2-p6"))?;
            // It goes on where it was, elsewhere, without asking anybody.
            eventually("the return", || pings(office, "sales-2", "crm-2", true))?;
            state(office, "sales-2", "admitted")?;
            let place = field(office, "sales-2", "place")?;
            check(place == "tokyo/sw2/p6", || format!("sales-2 is at {place}"))?;
            // Asking for an address again, as clients do when their link comes up, gives the same.
            sales.dhcp(Client::Udhcpc)?;
            let after = address(office, "sales-2")?;
            check(before == after, || format!("sales-2 had {before} and has {after}"))?;
            state(office, "sales-2", "admitted")?;

            // A printer is named by its place: elsewhere it is nobody, and back again it is the printer.
            let printer = office.endpoint("printer-1")?;
            state(office, "printer-1", "admitted")?;
            printer.move_to(office.jack("sw1-p5"))?;
            printer.dhcp(Client::Dhclient)?;
            state(office, "printer-1", "stranger")?;
            let subject = field(office, "printer-1", "subject")?;
            check(subject.is_null(), || format!("a printer in the wrong place is {subject}"))?;
            pings(office, "sales-1", "printer-1", false)?;
            printer.move_to(office.jack("sw1-p6"))?;
            printer.dhcp(Client::Dhclient)?;
            state(office, "printer-1", "admitted")?;
            let name = field(office, "printer-1", "name")?;
            check(name == "printer-1", || format!("the printer is called {name}"))?;
            pings(office, "sales-1", "printer-1", true)
        })
    });
}

/// Sessions of 35 s that end after 20 s without traffic, the shortest there is, and 4 s without a link.
fn short(config: String) -> String {
    config.replace("{ session: 12h, idle: 2h, readmit: 10m }", "{ session: 35s, idle: 20s, readmit: 4s }")
}

#[test]
fn sessions_end_by_themselves() {
    Case::new("sessions::sessions_end_by_themselves").config(short).run(|office| {
        plug(office, "crm-1")?;
        bring(office, &["sales-1", "sales-2", "dev-1"])?;
        let target = address(office, "crm-1")?;
        // sales-1 works without a pause, sales-2 says nothing, dev-1 goes.
        let busy = office.endpoint("sales-1")?.spawn(&["ping", "-n", "-i", "0.2", &target])?;
        office.endpoint("dev-1")?.unplug()?;
        eventually("dev-1's end", || office.node.wait_for_log("ended", &["dev-1", "away for too long"]))?;
        eventually("sales-2's end", || office.node.wait_for_log("ended", &["sales-2", "idle for too long"]))?;
        state(office, "sales-1", "admitted")?;
        eventually("sales-1's end", || office.node.wait_for_log("ended", &["sales-1", "its time was over"]))?;
        drop(busy);
        pings(office, "sales-1", "crm-1", false)?;
        // A device's session has no end.
        state(office, "crm-1", "admitted")?;
        // Who comes back logs in again.
        office.endpoint("dev-1")?.plug(office.jack("sw1-p3"))?;
        office.endpoint("dev-1")?.dhcp(Client::Udhcpc)?;
        state(office, "dev-1", "stranger")?;
        office.log_in("dev-1")?;
        state(office, "dev-1", "admitted")
    });
}

#[test]
fn the_portal_speaks_to_people_and_machines() {
    Case::new("sessions::the_portal_speaks_to_people_and_machines").run(|office| {
        plug(office, "stranger")?;
        let stranger = office.endpoint("stranger")?;
        let (_, page) = portal(stranger, "/", &["-H", "Accept-Language: ja-JP,ja;q=0.9,en;q=0.5"])?;
        for text in ["<html lang=\"ja\">", "ネットワークへのログイン", "パスワード", stranger.mac()] {
            check(page.contains(text), || format!("the Japanese page has no `{text}`: {page}"))?;
        }
        let token = form_token(stranger)?;
        let fields = ["token", "account", "password", "lang"].into_iter().zip([&*token, "sales-1", "falsch", "ja"]);
        let form: String = fields.map(|(name, value)| format!("{name}={value}&")).collect();
        let (code, page) = portal(stranger, "/login", &["-d", &form])?;
        check(code == 403 && page.contains("アカウントまたはパスワードが違います"), || {
            format!("{code}: {page}")
        })?;
        let (_, page) = portal(stranger, "/?lang=en", &["-H", "Accept-Language: ja"])?;
        check(page.contains("Sign in to the network"), || page.clone())?;

        // How devices find out: by the address of the API in DHCP option 114 (RFC 8910), by their own test pages, by DNS.
        let told = captive(office, "stranger")?;
        check(told["captive"] == true, || told.to_string())?;
        let capture = office.lab().capture(stranger, "eth0")?;
        stranger.dhcp(Client::Udhcpc)?;
        drop(capture);
        let captured = office.lab().dir().join("captures/stranger-eth0-1.pcap");
        let shown = office.node.namespace().exec(&["tcpdump", "-n", "-A", "-r", &captured.display().to_string()])?;
        let url = "http://10.0.0.1/captive-portal/api";
        // Option 114, its length, the text: `r` and `"` in ASCII.
        check(shown.stdout.contains(&format!("r\"{url}")), || format!("no option 114 in: {}", shown.stdout))?;
        for path in ["generate_204", "hotspot-detect.html", "connecttest.txt"] {
            let page = stranger.curl(&[
                "-o",
                "/dev/null",
                "-w",
                "%{http_code} %{redirect_url}",
                &format!("http://{WEBSITE}/{path}"),
            ])?;
            check(page.stdout == "302 http://10.0.0.1/", || format!("{path}: {}", page.stdout))?;
        }
        Ok(())
    });
}

/// Where the upstream of the next test listens, in the lab's own namespace where this process runs too.
const UPSTREAM: &str = "127.0.0.1:5353";

fn with_upstream(config: String) -> String {
    config.replace("  domain: office.example\n", &format!("  domain: office.example\n  dns: [\"{UPSTREAM}\"]\n"))
}

/// Answers every question for an A record with 198.51.100.77 (RFC 1035 section 4.1); the rest with no records. Keeps the
/// questions.
fn upstream() -> Told<Arc<Mutex<Vec<String>>>> {
    let socket = UdpSocket::bind(UPSTREAM).map_err(|e| SceneError::wrong(format!("{UPSTREAM}: {e}")))?;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut bytes = [0; 1500];
        while let Ok((length, peer)) = socket.recv_from(&mut bytes) {
            let (mut name, mut at) = (String::new(), 12);
            while let Some(&label) = bytes.get(at).filter(|l| **l != 0) {
                let end = at + 1 + usize::from(label);
                name += &String::from_utf8_lossy(bytes.get(at + 1..end).unwrap_or_default());
                name.push('.');
                at = end;
            }
            let question = bytes.get(12..(at + 5).min(length)).unwrap_or_default().to_vec();
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(name);
            let is_a = question.ends_with(&[0, 1, 0, 1]);
            let mut answer = vec![bytes[0], bytes[1], 0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0];
            answer.extend(question);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 77]);
            }
            // Whoever asked may be gone.
            let _ = socket.send_to(&answer, peer);
        }
    });
    Ok(asked)
}

/// The first IPv4 address of a name, as the endpoint's own resolver finds it.
fn lookup(office: &Office<'_>, from: &str, name: &str) -> Told<String> {
    let out = office.endpoint(from)?.exec(&["getent", "ahostsv4", name])?;
    Ok(out.stdout.split_whitespace().next().unwrap_or_default().to_owned())
}

#[test]
fn names_are_answered_by_who_asks() {
    Case::new("sessions::names_are_answered_by_who_asks").config(with_upstream).run(|office| {
        let asked = upstream()?;
        let questions = || asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        bring(office, &["sales-1", "crm-1"])?;
        plug(office, "stranger")?;
        for name in ["www.example.com", "secret-data.tunnel.example.net", "nothing.invalid"] {
            let answer = lookup(office, "stranger", name)?;
            check(answer == ROUTER.to_string(), || format!("{name} is {answer} for a stranger"))?;
        }
        // The names of others are not a stranger's business.
        let inside = lookup(office, "stranger", "crm-1.office.example")?;
        check(inside.is_empty() || inside == ROUTER.to_string(), || {
            format!("a stranger learns that crm-1 is {inside}")
        })?;
        check(questions().is_empty(), || format!("a stranger's questions went out: {:?}", questions()))?;

        let answer = lookup(office, "sales-1", "www.example.com")?;
        check(answer == "198.51.100.77", || format!("www.example.com is {answer} for sales-1"))?;
        check(questions().iter().any(|n| n.eq_ignore_ascii_case("www.example.com.")), || format!("{:?}", questions()))?;
        let crm = address(office, "crm-1")?;
        let answer = lookup(office, "sales-1", "crm-1.office.example")?;
        check(answer == crm, || format!("crm-1 is {answer}, has {crm}"))?;
        check(!questions().iter().any(|n| n.contains("crm-1")), || "a name of the office went out".into())?;

        // Who was a stranger a moment ago is answered anew.
        let stranger = office.endpoint("stranger")?;
        let login = portal_login(stranger, ROUTER, "sales-2", PASSWORD)?;
        check(login == Login::Admitted, || format!("{login:?}"))?;
        let answer = lookup(office, "stranger", "www.example.com")?;
        check(answer == "198.51.100.77", || format!("www.example.com is {answer} after logging in"))?;
        let by_person = lookup(office, "sales-1", "sales-2.office.example")?;
        check(by_person == address(office, "stranger")?, || format!("sales-2 is {by_person}"))?;
        Ok(())
    });
}
