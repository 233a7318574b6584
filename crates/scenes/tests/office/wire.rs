//! Frames that no honest device sends: malformed, forged, too many.

use std::net::Ipv4Addr;
use std::time::Duration;

use fseg_lab::probe::send_frames;
use fseg_lab::{Client, Endpoint};
use fseg_scenes::office::Office;

use crate::support::{
    Case, Told, bring, check, eventually, field, pings, plug, portal, roll, unnoticed, workers, wrong,
};

const BROADCAST: [u8; 6] = [0xff; 6];
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn mac(text: &str) -> [u8; 6] {
    let mut out = [0; 6];
    for (octet, digits) in out.iter_mut().zip(text.split(':')) {
        *octet = u8::from_str_radix(digits, 16).unwrap_or_default();
    }
    out
}

fn ethernet(source: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [&BROADCAST[..], &source, &kind.to_be_bytes(), payload].concat()
}

/// Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let pairs = bytes.chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(p.get(1).copied().unwrap_or(0)));
    let sum: u32 = pairs.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

fn ipv4(source: Ipv4Addr, target: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((20 + payload.len() as u16).to_be_bytes());
    header.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
    header.extend(source.octets());
    header.extend(target.octets());
    let sum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    [header, payload.to_vec()].concat()
}

/// RFC 768; without a checksum, which IPv4 allows.
fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len() as u16).to_be_bytes();
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length, &[0, 0], payload].concat()
}

/// A DHCP message (RFC 2131 figure 1) with these options.
fn dhcp(hardware: [u8; 6], options: &[u8]) -> Vec<u8> {
    let mut out = vec![1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78];
    out.resize(28, 0);
    out.extend(hardware);
    out.resize(236, 0);
    out.extend([99, 130, 83, 99]);
    out.extend(options);
    out
}

fn discover(source: [u8; 6], message: &[u8]) -> Vec<u8> {
    ethernet(source, 0x0800, &ipv4(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, 17, &udp(68, 67, message)))
}

/// RFC 826.
fn arp(operation: u16, source: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let body =
        [&[0, 1, 8, 0, 6, 4][..], &operation.to_be_bytes(), &source, &sender.octets(), &[0; 6], &target.octets()];
    ethernet(source, 0x0806, &body.concat())
}

/// Frames that must have no consequence, whoever sends them.
fn malformed(own: [u8; 6]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let good = discover(own, &dhcp(own, &[53, 1, 1, 255]));
    // Headers of every kind with nothing behind them; then a length where a type should be, and tags.
    for kind in [0x0800, 0x0806, 0x86dd, 0x888e, 0x8100, 0x88a8, 0x88cc, 0, 46, 1500, 0xffff] {
        out.push(ethernet(own, kind, &[]));
        out.push(ethernet(own, kind, &[0xff; 46]));
    }
    // The DHCP server's view of a message cut off at every length, and with single bits turned in every header.
    out.extend((14..good.len()).step_by(3).map(|length| good[..length].to_vec()));
    for (at, bit) in (14..54).flat_map(|at| [(at, 0x01), (at, 0x80)]) {
        let mut frame = good.clone();
        frame[at] ^= bit;
        // A turned bit in a field that nobody checks may leave an honest request: that one is not malformed.
        frame[42 + 236] ^= 0xff;
        out.push(frame);
    }
    // Options that run past the end, hardware addresses that are not, answers instead of questions.
    for options in [&[53, 200, 1][..], &[53], &[53, 0, 255], &[53, 1, 99, 255], &[82, 255], &[255], &[], &[50, 4, 1, 2]]
    {
        out.push(discover(own, &dhcp(own, options)));
    }
    for (at, value) in [(0, 2), (0, 0), (1, 99), (2, 255), (2, 0)] {
        let mut message = dhcp(own, &[53, 1, 1, 255]);
        message[at] = value;
        out.push(discover(own, &message));
    }
    out.push(discover(own, &dhcp([0xaa; 6], &[53, 1, 1, 255])));
    // ARP that lies about its own form.
    let request = arp(1, own, Ipv4Addr::new(10, 0, 1, 200), ROUTER);
    out.extend((14..request.len()).map(|length| request[..length].to_vec()));
    for (at, value) in [(15, 9), (16, 0x86), (18, 0), (18, 255), (19, 0), (19, 16), (20, 0xff), (21, 99)] {
        let mut frame = request.clone();
        frame[at] = value;
        out.push(frame);
    }
    // IP headers that cannot be: no length, more than is there, options past the end, ever more of the same fragment.
    for (at, value) in [(14, 0x40), (14, 0x4f), (14, 0x60), (16, 0xff), (17, 3), (20, 0x3f), (20, 0x20)] {
        let mut frame = good.clone();
        frame[at] = value;
        out.push(frame);
    }
    // Source addresses that no device can have, and the router's own.
    for source in [[0; 6], BROADCAST, [1, 0, 0x5e, 0, 0, 1], mac("02:f5:e6:00:00:01"), mac("02:f5:e6:03:00:01")] {
        out.push(discover(source, &dhcp(source, &[53, 1, 1, 255])));
        out.push(arp(1, source, ROUTER, ROUTER));
    }
    out
}

#[test]
fn malformed_frames_change_nothing() {
    Case::new("wire::malformed_frames_change_nothing").run(|office| {
        workers(office)?;
        plug(office, "stranger")?;
        let before = roll(office)?;
        for name in ["stranger", "sales-1", "crm-1"] {
            let sender = office.endpoint(name)?;
            let frames = malformed(mac(sender.mac()));
            unnoticed(office, || {
                // Slowly enough that the port's meter lets most of them through to the node.
                let sent = send_frames(sender, &frames, 1, Duration::from_millis(8))?;
                check(sent as usize == frames.len(), || format!("only {sent} of {} frames were sent", frames.len()))
            })?;
        }
        let after = roll(office)?;
        check(before == after, || format!("malformed frames changed who is where:\n{before:#?}\n{after:#?}"))?;
        // What the node saw of it, it names.
        let log = office.node.log();
        for reason in [
            "unreadable packet from tokyo/sw2/p4",
            "malformed DHCP message at octet",
            "asks in the name of",
            "this MAC address cannot belong to a device",
        ] {
            check(log.contains(reason), || format!("the log never says `{reason}`"))?;
        }
        // And all three are served as before.
        office.endpoint("stranger")?.dhcp(Client::Udhcpc)?;
        let (code, _) = portal(office.endpoint("stranger")?, "/", &[])?;
        check(code == 200, || format!("the portal answers the stranger with {code}"))?;
        pings(office, "sales-1", "crm-1", true)
    });
}

fn set_mac(endpoint: &Endpoint, address: &str) -> Told {
    endpoint.ip(&["link", "set", "eth0", "down"])?;
    endpoint.ip(&["link", "set", "eth0", "address", address])?;
    endpoint.ip(&["link", "set", "eth0", "up"])?;
    Ok(())
}

fn address(office: &Office<'_>, name: &str) -> Told<Ipv4Addr> {
    match office.endpoint(name)?.address()? {
        Some(address) => Ok(address),
        None => wrong(format!("{name} has no address")),
    }
}

#[test]
fn the_first_owner_of_an_address_keeps_it() {
    Case::new("wire::the_first_owner_of_an_address_keeps_it").run(|office| {
        workers(office)?;
        bring(office, &["sales-2"])?;
        plug(office, "stranger")?;
        let (crm, git) = (address(office, "crm-1")?, address(office, "git-1")?);
        let stranger = office.endpoint("stranger")?;
        unnoticed(office, || {
            // Somebody without a name uses a server's address, by ARP and by IP, and says so to everybody.
            let own = mac(stranger.mac());
            let claims = [arp(1, own, crm, crm), arp(2, own, crm, git), arp(1, own, crm, ROUTER)];
            send_frames(stranger, &claims, 20, Duration::from_millis(5))?;
            stranger.static_address(&format!("{crm}/8"), None)?;
            stranger.exec(&["ping", "-c", "3", "-i", "0.2", "-W", "0.5", &git.to_string()])?;
            office.node.wait_for_log("spoofed", &[stranger.mac(), &crm.to_string()])?;
            // The router's address is nobody else's either.
            send_frames(
                stranger,
                &[arp(1, own, ROUTER, ROUTER), arp(2, own, ROUTER, crm)],
                20,
                Duration::from_millis(5),
            )?;
            // Somebody with a name and rights does the same.
            let thief = office.endpoint("sales-2")?;
            let theirs = mac(thief.mac());
            send_frames(thief, &[arp(1, theirs, crm, crm), arp(2, theirs, ROUTER, crm)], 20, Duration::from_millis(5))?;
            office.node.wait_for_log("spoofed", &["sales-2", &crm.to_string()])?;
            Ok(())
        })?;
        let holder = field(office, "crm-1", "addresses")?;
        check(holder == serde_json::json!([crm.to_string()]), || format!("crm-1 has {holder}"))?;
        // The stranger repents.
        stranger.dhcp(Client::Udhcpc)?;
        let (code, _) = portal(stranger, "/", &[])?;
        check(code == 200, || format!("the portal answers with {code}"))
    });
}

#[test]
fn the_first_owner_of_a_mac_address_keeps_it() {
    Case::new("wire::the_first_owner_of_a_mac_address_keeps_it").run(|office| {
        workers(office)?;
        plug(office, "stranger")?;
        let before = roll(office)?;
        let stranger = office.endpoint("stranger")?;
        let (own, victim) = (stranger.mac().to_owned(), office.endpoint("crm-1")?.mac().to_owned());
        unnoticed(office, || {
            set_mac(stranger, &victim)?;
            check(stranger.dhcp(Client::Udhcpc).is_err(), || {
                "a second device with crm-1's MAC address got an address".into()
            })?;
            office.node.wait_for_log("refused", &[&victim, "crm-1 has this MAC address"])?;
            // Not by DHCP but straight away, as crm-1 would speak.
            let crm = address(office, "crm-1")?;
            stranger.static_address(&format!("{crm}/8"), Some(ROUTER))?;
            stranger.exec(&["ping", "-c", "3", "-i", "0.2", "-W", "0.5", "10.0.0.1"])?;
            Ok(())
        })?;
        set_mac(stranger, &own)?;
        stranger.dhcp(Client::Udhcpc)?;
        let after = roll(office)?;
        check(before == after, || format!("the claim changed who is where:\n{before:#?}\n{after:#?}"))
    });
}

/// The stranger's port is on the switch where dev-2 and crm-2 come in meanwhile.
#[test]
fn a_flood_from_one_port_stays_there() {
    Case::new("wire::a_flood_from_one_port_stays_there").run(|office| {
        workers(office)?;
        plug(office, "stranger")?;
        let stranger = office.endpoint("stranger")?;
        let own = mac(stranger.mac());
        let target = address(office, "stranger")?;
        // New devices by the hundred, first packets, requests for addresses, and a ping flood at the router.
        let mut frames = Vec::new();
        for n in 0..250_u8 {
            let other = [2, 0xbb, 0, 0, 0, n];
            frames.push(discover(other, &dhcp(other, &[53, 1, 1, 255])));
            frames.push(arp(1, own, Ipv4Addr::new(10, 0, 9, n), ROUTER));
            frames.push(discover(own, &dhcp(own, &[53, 1, 1, 255])));
            frames.push(ethernet(other, 0x0800, &ipv4(target, ROUTER, 1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0])));
        }
        unnoticed(office, || {
            std::thread::scope(|scope| {
                let flood = scope.spawn(|| send_frames(stranger, &frames, 12, Duration::from_micros(200)));
                let shower = stranger.spawn(&["ping", "-f", "-q", "10.0.0.1"])?;
                bring(office, &["dev-2", "crm-2"])?;
                check(!flood.is_finished(), || "the flood was over before the others were in".into())?;
                drop(shower);
                let sent = flood.join().map_err(|_| fseg_scenes::SceneError::wrong("the flood's thread failed"))??;
                check(sent > 5000, || format!("{sent} frames are no flood"))
            })
        })?;
        pings(office, "dev-2", "git-1", true)?;
        let list = roll(office)?;
        check(list.len() == 7, || format!("the flood made endpoints: {list:#?}"))?;
        // Nor does it fill the log: what repeats is said once.
        let said = office.node.log().lines().filter(|l| l.contains("02:bb:00")).count();
        check(said <= 1500, || format!("the flood wrote {said} lines into the log"))?;
        eventually("the stranger's own service", || {
            let (code, _) = portal(stranger, "/", &[])?;
            check(code == 200, || format!("the portal answers with {code}"))
        })
    });
}
