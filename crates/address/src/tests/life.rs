//! Random clients on a small network, checked after every step: what clients believe, what is stored, what the book
//! says.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::MessageType;
use fseg_model::{Mac, Mono, Wall};
use proptest::prelude::*;

use super::client::{ROUTER, config, decline, discover, lease_time, mac, place, read, reboot, select, with_address};
use crate::{
    AddressBook, DhcpAnswer, DhcpContext, DhcpError, DhcpEvent, Holder, Lease, LeaseChange, LeaseState,
    MAX_EXPIRED_PER_CALL, MAX_OFFERS,
};

const CLIENTS: u8 = 9;
const PLACES: u8 = 3;

#[derive(Debug, Clone)]
enum Step {
    Say { who: u8, place: u8, admitted: bool, what: What, last: u8 },
    Wait(u16),
    Expire,
    Restart,
    Reconfigure { reserve: Option<(u8, u8)> },
    Claim(u8, u8),
    Unclaim(u8, u8),
    Revoke(u8),
    Admit(u8, bool),
}

#[derive(Debug, Clone, Copy)]
enum What {
    Discover,
    Select,
    /// Asks for what it was offered.
    Accept,
    Reboot,
    Extend,
    Release,
    Decline,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        4 => Just(What::Discover), 5 => Just(What::Accept), 1 => Just(What::Select), 1 => Just(What::Reboot),
        2 => Just(What::Extend), 1 => Just(What::Release), 1 => Just(What::Decline),
    ];
    let say = (0..CLIENTS, 0..PLACES, any::<bool>(), what, 0_u8..17)
        .prop_map(|(who, place, admitted, what, last)| Step::Say { who, place, admitted, what, last });
    let reserve = prop::option::of((0..CLIENTS, 2_u8..15));
    let step = prop_oneof![
        20 => say,
        3 => (0_u16..700).prop_map(Step::Wait),
        2 => Just(Step::Expire),
        1 => Just(Step::Restart),
        1 => reserve.prop_map(|reserve| Step::Reconfigure { reserve }),
        1 => (0..CLIENTS, 0_u8..17).prop_map(|(a, b)| Step::Claim(a, b)),
        1 => (0..CLIENTS, 0_u8..17).prop_map(|(a, b)| Step::Unclaim(a, b)),
        1 => (0..CLIENTS).prop_map(Step::Revoke),
        1 => (0..CLIENTS, any::<bool>()).prop_map(|(a, b)| Step::Admit(a, b)),
    ];
    prop::collection::vec(step, 1..120)
}

struct World {
    book: AddressBook,
    store: BTreeMap<Mac, Lease>,
    // What each client has been acknowledged, and until when it believes it.
    belief: BTreeMap<Mac, (Ipv4Addr, Mono)>,
    offered: BTreeMap<Mac, Ipv4Addr>,
    now: Mono,
    wall: Wall,
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

impl World {
    fn commit(&mut self, changes: Vec<LeaseChange>) {
        for change in changes {
            match change {
                LeaseChange::Put(lease) => {
                    assert_ne!(lease.state, LeaseState::Offered, "offers are never stored");
                    self.store.insert(lease.mac, lease);
                }
                LeaseChange::Delete(mac) => {
                    self.store.remove(&mac);
                }
            }
        }
    }

    fn say(&mut self, who: u8, at: u8, admitted: bool, what: What, last: u8) {
        let me = mac(who + 1);
        let wanted = ip(last);
        let mine = self.belief.get(&me).map_or(wanted, |(a, _)| *a);
        let bytes = match what {
            What::Discover => discover(me, (last > 8).then_some(wanted)),
            What::Select => select(me, ROUTER, wanted),
            What::Accept => match self.offered.get(&me) {
                Some(a) => select(me, ROUTER, *a),
                None => discover(me, None),
            },
            What::Reboot => reboot(me, wanted),
            What::Extend => with_address(me, MessageType::Request, mine),
            What::Release => with_address(me, MessageType::Release, mine),
            What::Decline => decline(me, mine),
        };
        let place = place(at);
        let ctx = DhcpContext { mac: me, place: &place, admitted };
        match self.book.handle_dhcp(&ctx, &bytes, self.now, self.wall) {
            DhcpAnswer::Reply { reply, store, event } => {
                let m = read(&reply.payload);
                match event {
                    DhcpEvent::Offered { address, .. } => {
                        assert_eq!(m.yiaddr(), address);
                        self.offered.insert(me, address);
                        self.commit(store);
                    }
                    DhcpEvent::Bound { address, .. } | DhcpEvent::Renewed { address, .. } => {
                        assert_eq!(m.yiaddr(), address);
                        let Some(LeaseChange::Put(lease)) = store.last() else { panic!("acknowledged, not stored") };
                        assert_eq!((lease.mac, lease.address, lease.state), (me, address, LeaseState::Bound));
                        self.commit(store);
                        let time = lease_time(&m).unwrap();
                        let others = self.belief.iter().filter(|(m, (_, until))| **m != me && *until > self.now);
                        for (other, (a, _)) in others {
                            assert_ne!(*a, address, "{other} and {me} both have {address}");
                        }
                        self.belief.insert(me, (address, self.now.plus(Duration::from_secs(time.into()))));
                    }
                    DhcpEvent::Nak { .. } => {
                        assert!(!store.iter().any(|c| matches!(c, LeaseChange::Put(_))));
                        self.commit(store);
                        self.belief.remove(&me);
                        self.offered.remove(&me);
                    }
                    other => panic!("{other:?} with a reply"),
                }
            }
            DhcpAnswer::Silent { store, event } => {
                match event {
                    DhcpEvent::Released { .. } | DhcpEvent::Declined { .. } => {
                        self.belief.remove(&me);
                        self.offered.remove(&me);
                    }
                    other => panic!("{other:?} without a reply"),
                }
                self.commit(store);
            }
            DhcpAnswer::Refused(_) => {}
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Say { who, place, admitted, what, last } => self.say(who, place, admitted, what, last),
            Step::Wait(seconds) => {
                let passed = Duration::from_secs(seconds.into());
                (self.now, self.wall) = (self.now.plus(passed), self.wall.plus(passed));
            }
            Step::Expire => {
                let changes = self.book.expire(self.now, self.wall);
                self.commit(changes);
                assert!(self.book.poll_timeout().is_none_or(|(t, _)| t > self.now));
            }
            Step::Restart => {
                let stored = self.store.values().cloned().collect();
                let before: Vec<Lease> = self.book.leases().filter(|l| l.state == LeaseState::Bound).collect();
                let config = self.book.config().clone();
                let mut claims: Vec<_> = Vec::new();
                for last in 0..17 {
                    if let Some(Holder::Static(m)) = self.book.owner_of(ip(last)) {
                        claims.push((m, ip(last)));
                    }
                }
                self.book = AddressBook::new(config, stored, self.wall, self.now).unwrap();
                for (m, a) in claims {
                    // As a controller does with what it knows.
                    let _ = self.book.claim_static(m, a);
                }
                for lease in before {
                    assert_eq!(self.book.lease_of(lease.mac).map(|l| l.address), Some(lease.address));
                }
            }
            Step::Reconfigure { reserve } => {
                let mut next = config("10.0.0.0/28");
                next.reservations.extend(reserve.map(|(who, last)| (mac(who + 1), ip(last))));
                let changes = self.book.reconfigure(next).unwrap();
                self.commit(changes);
                // Whom the new configuration takes the address from is the operator's decision, so it is no belief to
                // keep.
                let book = &self.book;
                self.belief.retain(|m, (a, _)| book.lease_of(*m).is_some_and(|l| l.address == *a));
            }
            Step::Claim(who, last) => {
                let before = self.book.owner_of(ip(last));
                let me = mac(who + 1);
                match self.book.claim_static(me, ip(last)) {
                    Ok(()) => assert!(before.is_none_or(|h| h == Holder::Unknown || h.mac() == Some(me))),
                    Err(conflict) => assert!(conflict.holder.mac() != Some(me)),
                }
            }
            Step::Unclaim(who, last) => {
                self.book.release_static(mac(who + 1), ip(last));
                let book = &self.book;
                self.belief.retain(|m, (a, _)| book.lease_of(*m).is_some_and(|l| l.address == *a));
            }
            Step::Revoke(who) => {
                let changes = self.book.revoke(mac(who + 1), self.wall);
                self.commit(changes);
                self.belief.remove(&mac(who + 1));
            }
            Step::Admit(who, admitted) => {
                let change = self.book.mark_admitted(mac(who + 1), admitted);
                self.commit(change.into_iter().collect());
            }
        }
    }

    fn check(&self) {
        self.book.table.check();
        let mut addresses = BTreeMap::new();
        for lease in self.book.leases() {
            assert_eq!(addresses.insert(lease.address, lease.mac), None, "twice: {}", lease.address);
            let last = lease.address.octets()[3];
            let inside = (2..15).contains(&last) && lease.address.octets()[..3] == [10, 0, 0];
            assert!(inside, "{} is not of the network", lease.address);
            if lease.state == LeaseState::Bound {
                let stored = self.store.get(&lease.mac).expect("bound, not stored");
                assert_eq!((stored.address, stored.state), (lease.address, LeaseState::Bound));
            }
        }
        for (mac, (address, until)) in &self.belief {
            if *until > self.now {
                assert_eq!(self.book.owner_of(*address), Some(Holder::Leased(*mac)), "{mac} believes in {address}");
            }
        }
        for pool in self.book.utilisation() {
            let sum = pool.fixed + pool.bound + pool.offered + pool.former + pool.resting + pool.free;
            assert_eq!(sum, pool.size);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
    #[test]
    fn random_lives_keep_the_rules(steps in steps()) {
        let (now, wall) = (Mono(0), Wall(1_800_000_000_000));
        let book = AddressBook::new(config("10.0.0.0/28"), vec![], wall, now).unwrap();
        let (store, belief, offered) = Default::default();
        let mut world = World { book, store, belief, offered, now, wall };
        for step in steps {
            world.step(step);
            world.check();
        }
    }
}

#[test]
fn a_large_pool_is_given_out_to_the_last_address_and_comes_back() {
    let mut config = config("10.0.0.0/19");
    config.max_strangers_per_place = u32::MAX;
    let mut book = AddressBook::new(config, vec![], Wall(0), Mono(0)).unwrap();
    let place = place(1);
    // All but the network's own: network, router, broadcast.
    let grantable = 8192 - 3;
    for n in 0..grantable {
        let me = Mac::from_u64(0x0200_0000_0000 + n);
        let ctx = DhcpContext { mac: me, place: &place, admitted: n % 2 == 0 };
        let answer = book.handle_dhcp(&ctx, &discover(me, None), Mono(n), Wall(n));
        let DhcpAnswer::Reply { event: DhcpEvent::Offered { address, .. }, .. } = answer else { panic!("{n}") };
        let answer = book.handle_dhcp(&ctx, &select(me, ROUTER, address), Mono(n), Wall(n));
        assert!(matches!(answer, DhcpAnswer::Reply { event: DhcpEvent::Bound { .. }, .. }));
    }
    let used = &book.utilisation()[0];
    assert_eq!((used.size, used.fixed, used.bound, used.free), (8192, 3, grantable, 0));
    book.table.check();

    // All end at once: no call handles more than its share, and the deadline says that there is more.
    let late = Mono(3_600_000);
    assert_eq!(book.expire(late, Wall(0)).len(), MAX_EXPIRED_PER_CALL);
    assert!(book.poll_timeout().is_some_and(|(t, _)| t <= late));
    assert_eq!(book.expire(late, Wall(0)).len() as u64, grantable - MAX_EXPIRED_PER_CALL as u64);
    assert_eq!(book.poll_timeout(), None);
    assert_eq!(book.utilisation()[0].former, grantable);
    book.table.check();
}

#[test]
fn offers_are_bounded() {
    let mut config = config("10.0.0.0/16");
    config.max_strangers_per_place = u32::MAX;
    let mut book = AddressBook::new(config, vec![], Wall(0), Mono(0)).unwrap();
    let place = place(1);
    let mut ask = |n: usize, now: Mono| {
        let me = Mac::from_u64(0x0200_0000_0000 + n as u64);
        let ctx = DhcpContext { mac: me, place: &place, admitted: false };
        let answer = book.handle_dhcp(&ctx, &discover(me, None), now, Wall(0));
        (answer, book.expire(now, Wall(0)))
    };
    for n in 0..MAX_OFFERS {
        assert!(matches!(ask(n, Mono(0)).0, DhcpAnswer::Reply { .. }));
    }
    assert_eq!(ask(MAX_OFFERS, Mono(1)).0, DhcpAnswer::Refused(DhcpError::TooManyOffers));
    // Who has an offer is answered still.
    assert!(matches!(ask(0, Mono(2)).0, DhcpAnswer::Reply { .. }));
    // Offers that lapse make room and leave nothing to store.
    assert_eq!(ask(MAX_OFFERS, Mono(30_000)), (DhcpAnswer::Refused(DhcpError::TooManyOffers), vec![]));
    assert!(matches!(ask(MAX_OFFERS, Mono(30_000)).0, DhcpAnswer::Reply { .. }));
}
