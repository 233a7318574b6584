//! Conversations as numbered steps: what is done, `=>`, and everything that comes of it.
//!
//! A line is `[+SECONDS] WHO@PORT[!] WHAT [ARGUMENT..] => REPLY[; STORED..]`. `WHO` is a letter (its MAC address ends
//! with it), `!` means admitted. Addresses are written by their last octet (`.7` is 10.0.0.7).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::{DhcpOption, MessageType, OptionCode};
use fseg_model::{Mac, Mono, Wall};

use super::client::{ROUTER, config, decline, discover, lease_time, mac, place, read, reboot, select, with_address};
use crate::{
    AddressBook, AddressConfig, DhcpAnswer, DhcpContext, DhcpError, DhcpEvent, Holder, Lease, LeaseChange, Pool,
};

struct Scene {
    book: AddressBook,
    store: BTreeMap<Mac, Lease>,
    now: Mono,
    wall: Wall,
}

fn ip(text: &str) -> Ipv4Addr {
    match text.strip_prefix('.') {
        Some(last) => Ipv4Addr::new(10, 0, 0, last.parse().unwrap()),
        None => text.parse().unwrap(),
    }
}

fn short(address: Ipv4Addr) -> String {
    match address.octets() {
        [10, 0, 0, last] => format!(".{last}"),
        _ => address.to_string(),
    }
}

fn letter(mac: Mac) -> char {
    char::from(mac.0[5])
}

/// A holder, by its letter.
fn named(holder: Holder) -> String {
    match holder.mac() {
        Some(m) => holder.to_string().replace(&m.to_string(), &letter(m).to_string()),
        None => holder.to_string(),
    }
}

impl Scene {
    fn new(config: AddressConfig) -> Self {
        let (now, wall) = (Mono(5_000), Wall(1_800_000_000_000));
        Self { book: AddressBook::new(config, vec![], wall, now).unwrap(), store: BTreeMap::new(), now, wall }
    }

    fn run(&mut self, steps: &str) {
        for (number, line) in steps.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let (step, expected) = line.split_once("=>").unwrap();
            let mut words = step.split_whitespace().peekable();
            if let Some(seconds) = words.peek().and_then(|w| w.strip_prefix('+')) {
                let passed = Duration::from_secs(seconds.parse().unwrap());
                (self.now, self.wall) = (self.now.plus(passed), self.wall.plus(passed));
                words.next();
            }
            let got = self.step(&words.collect::<Vec<_>>());
            assert_eq!(got.trim_end_matches("; "), expected.trim(), "line {number}: {line}");
            self.book.table.check();
        }
    }

    fn step(&mut self, words: &[&str]) -> String {
        if let ["clock", hours] = words {
            // The wall clock jumps; monotonic time does not.
            let jump = hours.parse::<i64>().unwrap() * 3_600_000;
            self.wall = Wall(self.wall.0.checked_add_signed(jump).unwrap());
            return "ok".into();
        }
        if let ["restart"] = words {
            self.now = Mono(1);
            let stored = self.store.values().cloned().collect();
            self.book = AddressBook::new(self.book.config().clone(), stored, self.wall, self.now).unwrap();
            return "ok".into();
        }
        if let ["expire"] = words {
            let changes = self.book.expire(self.now, self.wall);
            return format!("ok; {}", self.commit(changes));
        }
        if let ["owner", address] = words {
            return self.book.owner_of(ip(address)).map_or("nobody".into(), named);
        }
        let (who, rest) = words.split_first().unwrap();
        let admitted = who.ends_with('!');
        let (name, port) = who.trim_end_matches('!').split_once('@').unwrap();
        let me = mac(name.as_bytes()[0]);
        let bytes = match rest {
            ["discover"] => discover(me, None),
            ["discover", a] => discover(me, Some(ip(a))),
            ["select", a] => select(me, ROUTER, ip(a)),
            ["select", a, server] => select(me, ip(server), ip(a)),
            ["reboot", a] => reboot(me, ip(a)),
            ["extend", a] => with_address(me, MessageType::Request, ip(a)),
            ["release", a] => with_address(me, MessageType::Release, ip(a)),
            ["inform", a] => with_address(me, MessageType::Inform, ip(a)),
            ["decline", a] => decline(me, ip(a)),
            ["claim", a] => {
                let claim = self.book.claim_static(me, ip(a));
                return claim.map_or_else(|c| format!("{} {}", short(c.address), named(c.holder)), |()| "ok".into());
            }
            ["unclaim", a] => return self.book.release_static(me, ip(a)).to_string(),
            ["admit" | "demote"] => {
                let change = self.book.mark_admitted(me, rest == ["admit"]);
                return format!("ok; {}", self.commit(change.into_iter().collect()));
            }
            ["revoke"] => {
                let changes = self.book.revoke(me, self.wall);
                return format!("ok; {}", self.commit(changes));
            }
            other => panic!("no step {other:?}"),
        };
        let place = place(port.parse().unwrap());
        let ctx = DhcpContext { mac: me, place: &place, admitted };
        match self.book.handle_dhcp(&ctx, &bytes, self.now, self.wall) {
            DhcpAnswer::Reply { reply, store, .. } => {
                let m = read(&reply.payload);
                let text = match m.opts().msg_type() {
                    Some(MessageType::Offer) => format!("offer {} {}s", short(m.yiaddr()), lease_time(&m).unwrap()),
                    Some(MessageType::Ack) => match lease_time(&m) {
                        Some(seconds) => format!("ack {} {seconds}s", short(m.yiaddr())),
                        None => "parameters".into(),
                    },
                    Some(MessageType::Nak) => match m.opts().get(OptionCode::Message) {
                        Some(DhcpOption::Message(why)) => format!("nak: {why}"),
                        _ => "nak".into(),
                    },
                    other => panic!("{other:?}"),
                };
                format!("{text}; {}", self.commit(store))
            }
            DhcpAnswer::Silent { store, event } => {
                let text = match event {
                    DhcpEvent::Released { .. } => "released",
                    DhcpEvent::Declined { rests: true, .. } => "declined, rests",
                    DhcpEvent::Declined { rests: false, .. } => "declined",
                    DhcpEvent::OtherServer { .. } => "other server",
                    DhcpEvent::NotKnown { .. } => "not known",
                    other => panic!("{other:?}"),
                };
                format!("{text}; {}", self.commit(store))
            }
            DhcpAnswer::Refused(DhcpError::TooManyStrangers { place, max: 2 }) if place == *ctx.place => {
                "refused: too many strangers".into()
            }
            DhcpAnswer::Refused(e) => format!("refused: {e}"),
        }
    }

    fn commit(&mut self, changes: Vec<LeaseChange>) -> String {
        let texts: Vec<String> = changes
            .into_iter()
            .map(|change| match change {
                LeaseChange::Put(lease) => {
                    let text = format!("{} {} {}", letter(lease.mac), short(lease.address), lease.state);
                    self.store.insert(lease.mac, lease);
                    text
                }
                LeaseChange::Delete(mac) => {
                    self.store.remove(&mac);
                    format!("{} gone", letter(mac))
                }
            })
            .collect();
        texts.join(", ")
    }
}

#[test]
fn from_discover_to_release() {
    Scene::new(config("10.0.0.0/24")).run(
        "
        a@1 discover => offer .2 60s
        owner .2 => is leased to a
        +1 a@1 select .2 => ack .2 60s; a .2 bound
        +30 a@1! extend .2 => ack .2 600s; a .2 bound
        +300 a@1! extend .2 => ack .2 600s; a .2 bound
        +1 a@1! inform .2 => parameters
        +1 a@1! release .2 => released; a .2 former
        owner .2 => nobody
        b@2 discover => offer .3 60s
        a@2! discover => offer .2 600s
        ",
    );
}

#[test]
fn requests_are_told_apart() {
    Scene::new(config("10.0.0.0/24")).run(
        "
        a@1! discover => offer .2 600s
        a@1! select .3 => nak: this client's address is 10.0.0.2
        a@1! select .2 .9 => other server
        owner .2 => nobody
        a@1! discover => offer .3 600s
        a@1! select .3 => ack .3 600s; a .3 bound
        a@1! reboot .3 => ack .3 600s; a .3 bound
        a@1! reboot .4 => nak: this client's address is 10.0.0.3
        a@1! reboot 192.168.1.5 => nak: this client's address is 10.0.0.3
        b@2! reboot 192.168.1.5 => nak: the address is not of this network
        b@2! reboot .3 => nak: the address is not available
        b@2! extend .1 => nak: the address is not available
        b@2! extend .77 => ack .77 600s; b .77 bound
        c@2! discover .77 => offer .4 600s
        d@2! discover .78 => offer .78 600s
        d@2! discover => offer .78 600s
        a@1! select .3 .9 => other server
        a@1! extend .3 => ack .3 600s; a .3 bound
        ",
    );
}

#[test]
fn a_server_among_others_is_silent_about_strangers() {
    let mut config = config("10.0.0.0/24");
    config.authoritative = false;
    config.reservations.insert(mac(b'r'), ip(".50"));
    Scene::new(config).run(
        "
        a@1! reboot .9 => not known
        a@1! extend .9 => not known
        a@1! reboot 192.168.1.5 => nak: the address is not of this network
        a@1! select .9 => ack .9 600s; a .9 bound
        a@1! reboot .9 => ack .9 600s; a .9 bound
        r@1! reboot .50 => ack .50 600s; r .50 bound
        r@1! reboot .51 => nak: this client's address is 10.0.0.50
        ",
    );
}

#[test]
fn addresses_are_sticky_and_the_oldest_goes_first() {
    // Three addresses: .2, .3, .4 (and .5, .6, which are taken away).
    let mut config = config("10.0.0.0/29");
    config.statics.insert(mac(b's'), vec![ip(".5"), ip(".6")]);
    Scene::new(config).run(
        "
        a@1! discover => offer .2 600s
        a@1! select .2 => ack .2 600s; a .2 bound
        b@2! discover => offer .3 600s
        b@2! select .3 => ack .3 600s; b .3 bound
        b@2! release .3 => released; b .3 former
        +5 a@1! release .2 => released; a .2 former
        c@3! discover .3 => offer .4 600s
        c@3! select .4 => ack .4 600s; c .4 bound
        b@2! discover => offer .3 600s
        +31 expire => ok
        d@4! discover => offer .2 600s; a gone
        e@5! discover => offer .3 600s; b gone
        f@6! discover => refused: no address left in any pool; add a pool or shorten the lease time
        +31 expire => ok
        f@6! discover => offer .2 600s
        f@6! select .2 => ack .2 600s; f .2 bound
        a@1! discover => offer .3 600s
        +700 expire => ok; c .4 former, f .2 former
        c@3! discover => offer .4 600s
        ",
    );
}

#[test]
fn an_unanswered_offer_leaves_a_former_lease_as_it_was() {
    Scene::new(config("10.0.0.0/24")).run(
        "
        a@1! discover => offer .2 600s
        a@1! select .2 => ack .2 600s; a .2 bound
        a@1! release .2 => released; a .2 former
        a@1! discover => offer .2 600s
        +40 expire => ok
        restart => ok
        a@1! discover => offer .2 600s
        ",
    );
}

#[test]
fn strangers_are_few_per_place() {
    Scene::new(config("10.0.0.0/24")).run(
        "
        a@1 discover => offer .2 60s
        b@1 discover => offer .3 60s
        c@1 discover => refused: too many strangers
        c@1 extend .9 => refused: too many strangers
        c@2 discover => offer .4 60s
        d@1! discover => offer .5 600s
        a@1 select .2 => ack .2 60s; a .2 bound
        b@1 discover => offer .3 60s
        a@1 admit => ok; a .2 bound
        e@1 discover => offer .6 60s
        f@1 discover => refused: too many strangers
        +31 expire => ok
        f@1 discover => offer .7 60s
        ",
    );
}

#[test]
fn declined_addresses_rest() {
    Scene::new(config("10.0.0.0/29")).run(
        "
        a@1! discover => offer .2 600s
        a@1! select .2 => ack .2 600s; a .2 bound
        b@1! decline .2 => refused: 02:00:00:00:00:62 at tokyo/sw1/p1 does not hold 10.0.0.2
        a@2! decline .2 => refused: 02:00:00:00:00:61 at tokyo/sw1/p2 does not hold 10.0.0.2
        a@1! decline .2 => declined, rests; a .2 declined
        owner .2 => is used by a device nobody knows
        a@1! reboot .2 => nak: the address is not available
        a@1! discover .2 => offer .3 600s
        restart => ok
        b@2! discover .2 => offer .3 600s
        owner .2 => is used by a device nobody knows
        +601 expire => ok; a gone
        c@3! discover .2 => offer .2 600s
        ",
    );
}

#[test]
fn declining_everything_does_not_empty_the_pool() {
    let mut scene = Scene::new(config("10.0.0.0/24"));
    for n in 2..10 {
        scene.run(&format!(
            "a@1! discover => offer .{n} 600s
             a@1! select .{n} => ack .{n} 600s; a .{n} bound
             a@1! decline .{n} => declined, rests; a .{n} declined"
        ));
    }
    scene.run(
        "a@1! discover => offer .10 600s
         a@1! select .10 => ack .10 600s; a .10 bound
         a@1! decline .10 => declined; a gone
         a@1! discover .10 => offer .10 600s",
    );
    assert_eq!(scene.book.utilisation()[0].resting, 8);
}

#[test]
fn reservations_and_static_addresses_belong_to_their_device() {
    let mut config = config("10.0.0.0/24");
    config.reservations.insert(mac(b'r'), ip(".3"));
    config.statics.insert(mac(b's'), vec![ip(".2")]);
    Scene::new(config).run(
        "
        a@1! discover .3 => offer .4 600s
        a@1! select .2 => nak: this client's address is 10.0.0.4
        b@1! extend .2 => nak: the address is not available
        r@2! discover .9 => offer .3 600s
        r@2! select .3 => ack .3 600s; r .3 bound
        r@2! decline .3 => declined; r gone
        r@2! discover => offer .3 600s
        owner .2 => is set on s
        s@3! discover => offer .5 600s
        owner .1 => belongs to the network itself
        x@4! claim .1 => .1 belongs to the network itself
        x@4! claim .3 => .3 is reserved for r
        x@4! claim .2 => .2 is set on s
        x@4! claim .4 => .4 is leased to a
        x@4! claim .6 => ok
        x@4! claim .6 => ok
        b@1! discover .6 => offer .7 600s
        y@5! unclaim .6 => false
        x@4! unclaim .6 => true
        c@1! discover .6 => offer .6 600s
        x@4! claim 192.168.0.9 => ok
        x@4! discover 192.168.0.9 => offer .8 600s
        ",
    );
}

/// The forgotten lease's removal must not come after, and so undo, the same endpoint's next lease.
#[test]
fn a_static_address_over_a_lease_or_a_former_lease() {
    Scene::new(config("10.0.0.0/24")).run(
        "
        a@1! discover => offer .2 600s
        a@1! select .2 => ack .2 600s; a .2 bound
        a@1! claim .2 => ok
        a@1! extend .2 => ack .2 600s; a .2 bound
        a@1! unclaim .2 => true
        a@1! extend .2 => ack .2 600s; a .2 bound
        a@1! release .2 => released; a .2 former
        b@2! claim .2 => ok
        c@1! discover .1 => offer .3 600s; a gone
        c@1! select .3 => ack .3 600s; c .3 bound
        c@1! release .3 => released; c .3 former
        d@2! claim .3 => ok
        c@1! discover => offer .4 600s; c gone
        c@1! select .4 => ack .4 600s; c .4 bound
        expire => ok
        ",
    );
}

#[test]
fn clock_jumps_end_no_lease() {
    Scene::new(config("10.0.0.0/24")).run(
        "
        a@1! discover => offer .2 600s
        a@1! select .2 => ack .2 600s; a .2 bound
        clock 1000 => ok
        expire => ok
        owner .2 => is leased to a
        restart => ok
        expire => ok
        owner .2 => is leased to a
        +119 expire => ok
        +1 expire => ok; a .2 former
        a@1! reboot .2 => ack .2 600s; a .2 bound
        clock -2000 => ok
        restart => ok
        +599 expire => ok
        +1 expire => ok; a .2 former
        ",
    );
}

/// What counts after a restart is what the client was told, not what it would be told now.
#[test]
fn losing_the_admission_does_not_cut_the_lease() {
    Scene::new(config("10.0.0.0/24")).run(
        "
        a@1! discover => offer .2 600s
        a@1! select .2 => ack .2 600s; a .2 bound
        a@1 demote => ok; a .2 bound
        +10 restart => ok
        +589 expire => ok
        owner .2 => is leased to a
        +1 expire => ok; a .2 former
        ",
    );
}

#[test]
fn the_operator_ends_a_lease() {
    Scene::new(config("10.0.0.0/24")).run(
        "
        a@1! discover => offer .2 600s
        a@1! select .2 => ack .2 600s; a .2 bound
        a@1! revoke => ok; a .2 former
        a@1! revoke => ok
        a@1 discover => offer .2 60s
        a@1 admit => ok
        a@1! select .2 => ack .2 600s; a .2 bound
        ",
    );
}

#[test]
fn a_new_configuration_keeps_what_it_allows() {
    let mut scene = Scene::new(config("10.0.0.0/24"));
    scene.run(
        "
        a@1! discover => offer .2 600s
        a@1! select .2 => ack .2 600s; a .2 bound
        b@1! discover => offer .3 600s
        b@1! select .3 => ack .3 600s; b .3 bound
        c@1! discover => offer .4 600s
        d@1! claim .5 => ok
        e@1! claim .6 => ok
        f@1! discover .9 => offer .9 600s
        f@1! select .9 => ack .9 600s; f .9 bound
        f@1! decline .9 => declined, rests; f .9 declined
        ",
    );
    let mut next = config("10.0.0.0/24");
    next.reservations.insert(mac(b'r'), ip(".3"));
    next.reservations.insert(mac(b'q'), ip(".6"));
    let changes = scene.book.reconfigure(next).unwrap();
    assert_eq!(scene.commit(changes), "b gone");
    scene.run(
        "
        owner .2 => is leased to a
        owner .3 => is reserved for r
        owner .4 => is leased to c
        owner .5 => is set on d
        owner .6 => is reserved for q
        owner .9 => is used by a device nobody knows
        b@1! extend .3 => nak: the address is not available
        c@1! select .4 => ack .4 600s; c .4 bound
        +600 expire => ok; a .2 former, c .4 former, f gone
        ",
    );
    let mut wrong = config("10.0.0.0/24");
    wrong.subnet_prefix_len = 33;
    assert!(scene.book.reconfigure(wrong).is_err());
    scene.run("owner .5 => is set on d");
}

#[test]
fn what_contradicts_at_the_start_is_dropped() {
    let mut scene = Scene::new(config("10.0.0.0/24"));
    scene.run(
        "
        a@1! discover => offer .2 600s
        a@1! select .2 => ack .2 600s; a .2 bound
        b@1! discover => offer .3 600s
        b@1! select .3 => ack .3 600s; b .3 bound
        b@1! release .3 => released; b .3 former
        ",
    );
    let mut twin = scene.store[&mac(b'a')].clone();
    twin.mac = mac(b'b');
    twin.state = crate::LeaseState::Former;
    scene.store.insert(mac(b'b'), twin);
    let mut outside = scene.store[&mac(b'a')].clone();
    (outside.mac, outside.address) = (mac(b'c'), "192.168.0.1".parse().unwrap());
    scene.store.insert(mac(b'c'), outside);
    scene.run(
        "
        restart => ok
        expire => ok; c gone, b gone
        owner .2 => is leased to a
        b@1! discover => offer .3 600s
        ",
    );
}

#[test]
fn pools_are_used_up_one_after_the_other() {
    let mut config = config("10.0.0.0/24");
    let pool = |name: &str, first: &str, last: &str| Pool {
        name: name.into(),
        prefix: "10.0.0.0/24".parse().unwrap(),
        first: ip(first),
        last: ip(last),
    };
    config.pools = vec![pool("late", ".100", ".101"), pool("early", ".1", ".2")];
    let mut scene = Scene::new(config);
    scene.run(
        "
        a@1! discover .50 => offer .100 600s
        b@1! discover => offer .101 600s
        c@1! discover => offer .2 600s
        c@1! select .2 => ack .2 600s; c .2 bound
        d@1! discover => refused: no address left in any pool; add a pool or shorten the lease time
        ",
    );
    let used = scene.book.utilisation();
    assert_eq!((used[0].name.as_str(), used[0].size, used[0].offered, used[0].free), ("late", 2, 2, 0));
    assert_eq!((used[1].size, used[1].fixed, used[1].bound, used[1].free), (2, 1, 1, 0));
}
