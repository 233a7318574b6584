//! Names outside: what the resolver's answers teach, who may teach it, and for how long.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod kit;

use std::net::Ipv4Addr;
use std::time::Duration;

use fseg_control::{Answer, EventKind, Input};
use fseg_model::Flow;
use fseg_openflow::Field;
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_test_kit::{Packet, frames};
use kit::*;

const OFFICE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
const SHARED_EDGE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 30);

const HTTPS: u16 = 443;
const NONE: [Ipv4Addr; 0] = [];

const NAMES: &str = "
groups:
  sales: { members: [user:anna] }
  ops:   { members: [user:bert] }
externals:
  office: { domains: [\"*.office.com\", login.office.example] }
  shop:   { domains: [shop.example] }
  net:    { cidr: [0.0.0.0/0] }
permits:
  - { id: sales-office, from: sales, to: office, services: [https] }
  - { id: ops-shop, from: ops, to: shop, services: [https] }
  - { id: ops-net, from: ops, to: net, services: [http] }
";

fn named() -> World {
    let mut world = World::office();
    world.apply(NAMES);
    world.events.clear();
    world
}

fn staff(world: &mut World) -> (Client, Client) {
    let (anna, bert) = (world.joined(1, at(SW1, 1)), world.joined(2, at(SW2, 1)));
    world.login(&anna, "anna");
    world.login(&bert, "bert");
    world.events.clear();
    (anna, bert)
}

/// What the resolver does before it answers; the addresses that it must leave out.
fn resolve(world: &mut World, asker: &Client, name: &str, addresses: &[(Ipv4Addr, u32)]) -> Vec<Ipv4Addr> {
    let (asker, name, addresses) = (asker.ip(), name.to_owned(), addresses.to_vec());
    match world.ask(|ticket| Input::Resolved { ticket, asker, name, addresses }) {
        Answer::Resolved { refused } => refused,
        other => panic!("{other:?}"),
    }
}

/// Whether the first packet leaves by the way out.
fn leaves(world: &World, from: &Client, to: Ipv4Addr, flow: Flow) -> bool {
    let mut net = world.net.clone();
    net.arrived.clear();
    net.send(from.place, &frames::first_of(flow, from.mac, ROUTER_MAC, from.ip(), to));
    match net.arrived.as_slice() {
        [] => false,
        [one] => {
            let packet = Packet::new(&one.frame, 0);
            assert_eq!((one.place, packet.get(Field::EthDst)), (GATEWAY, Some(GATEWAY_MAC.to_u64().into())));
            true
        }
        many => panic!("{} frames of one", many.len()),
    }
}

fn known(world: &World) -> Vec<Ipv4Addr> {
    world.controller.learned_addresses().map(|l| l.address).collect()
}

#[test]
fn an_address_is_open_when_its_answer_is_given_and_for_its_time() {
    let mut world = named();
    let (anna, bert) = staff(&mut world);
    assert!(!leaves(&world, &anna, OFFICE, Flow::tcp(HTTPS)));
    assert_eq!(resolve(&mut world, &anna, "login.office.com", &[(OFFICE, 300)]), NONE);
    assert!(leaves(&world, &anna, OFFICE, Flow::tcp(HTTPS)), "in force when the answer is given");
    assert!(!leaves(&world, &anna, OFFICE, Flow::tcp(80)), "only what the permit says");
    assert!(!leaves(&world, &bert, OFFICE, Flow::tcp(HTTPS)), "and for whom");
    assert!(leaves(&world, &bert, OFFICE, Flow::tcp(80)), "what belongs to an external by its number still does");
    world.pass(Duration::from_secs(299));
    assert!(leaves(&world, &anna, OFFICE, Flow::tcp(HTTPS)));
    world.pass(Duration::from_secs(60));
    assert!(!leaves(&world, &anna, OFFICE, Flow::tcp(HTTPS)), "over, and not in use");
    assert_eq!(known(&world), NONE);
    assert!(leaves(&world, &bert, OFFICE, Flow::tcp(80)));
}

#[test]
fn asking_again_prolongs_and_a_short_time_has_a_floor() {
    let mut world = named();
    let (anna, _) = staff(&mut world);
    for _ in 0..10 {
        resolve(&mut world, &anna, "login.office.com", &[(OFFICE, 1)]);
        world.pass(Duration::from_secs(59));
        assert!(leaves(&world, &anna, OFFICE, Flow::tcp(HTTPS)));
    }
    world.pass(Duration::from_secs(130));
    assert_eq!(known(&world), NONE);
}

#[test]
fn an_answer_waits_until_every_switch_has_the_rows() {
    let mut world = named();
    let (anna, _) = staff(&mut world);
    world.hold(NODE);
    let (asker, addresses) = (anna.ip(), vec![(OFFICE, 300)]);
    let name = "login.office.com".to_owned();
    let ticket = world.submit(|ticket| Input::Resolved { ticket, asker, name, addresses });
    assert!(!world.answers.contains_key(&ticket), "the exit's switch has not confirmed");
    world.release(NODE);
    assert_eq!(world.answers.remove(&ticket), Some(Answer::Resolved { refused: vec![] }));
    assert!(leaves(&world, &anna, OFFICE, Flow::tcp(HTTPS)));
}

#[test]
fn only_those_whom_a_permit_joins_teach_and_only_listed_names() {
    let mut world = named();
    let (anna, bert) = staff(&mut world);
    let stranger = world.joined(3, at(SW2, 2));
    for (who, name) in [(&bert, "login.office.com"), (&stranger, "login.office.com"), (&anna, "shop.example")] {
        assert_eq!(resolve(&mut world, who, name, &[(OFFICE, 300)]), NONE);
    }
    for name in ["office.com", "evil-office.com", "www.login.office.example", "office.com.evil.example", ""] {
        resolve(&mut world, &anna, name, &[(OFFICE, 300)]);
    }
    assert_eq!(known(&world), NONE);
    resolve(&mut world, &anna, "login.office.example", &[(OFFICE, 300)]);
    assert_eq!(known(&world), [OFFICE]);
}

#[test]
fn nobody_is_led_inside_by_a_name() {
    let mut world = named();
    let (anna, _) = staff(&mut world);
    let inside: [Ipv4Addr; 9] = [
        anna.ip(),
        ROUTER,
        [10, 200, 0, 1].into(),
        [127, 0, 0, 1].into(),
        [0, 0, 0, 0].into(),
        [169, 254, 169, 254].into(),
        [239, 1, 1, 1].into(),
        [203, 0, 113, 2].into(),
        // Private, and no exit but the one to everywhere leads there.
        [192, 168, 1, 1].into(),
    ];
    let mut answer: Vec<_> = inside.iter().map(|a| (*a, 300)).collect();
    answer.push((OFFICE, 300));
    assert_eq!(resolve(&mut world, &anna, "evil.office.com", &answer), inside);
    assert_eq!(known(&world), [OFFICE]);
    let said = world.said(EventKind::Refused);
    assert_eq!(said.len(), inside.len());
    assert!(said[0].contains("evil.office.com") && said[0].contains("anna"), "{said:?}");
    resolve(&mut world, &anna, "evil.office.com", &answer);
    assert_eq!(world.said(EventKind::Refused), Vec::<String>::new(), "said once");
}

#[test]
fn an_address_of_two_names_belongs_to_both() {
    let mut world = named();
    let (anna, bert) = staff(&mut world);
    resolve(&mut world, &anna, "cdn.office.com", &[(SHARED_EDGE, 100)]);
    assert!(!leaves(&world, &bert, SHARED_EDGE, Flow::tcp(HTTPS)));
    resolve(&mut world, &bert, "shop.example", &[(SHARED_EDGE, 1000)]);
    assert!(leaves(&world, &anna, SHARED_EDGE, Flow::tcp(HTTPS)));
    assert!(leaves(&world, &bert, SHARED_EDGE, Flow::tcp(HTTPS)));
    let all: Vec<_> = world.controller.learned_addresses().collect();
    assert_eq!(all[0].externals, [name("office"), name("shop")].into());
    world.pass(Duration::from_secs(400));
    assert!(!leaves(&world, &anna, SHARED_EDGE, Flow::tcp(HTTPS)), "one name's time is over");
    assert!(leaves(&world, &bert, SHARED_EDGE, Flow::tcp(HTTPS)), "the other's is not");
}

#[test]
fn what_is_in_use_stays_until_it_is_not() {
    let mut world = named();
    let (anna, _) = staff(&mut world);
    resolve(&mut world, &anna, "login.office.com", &[(OFFICE, 60)]);
    for _ in 0..30 {
        let frame = frames::first_of(Flow::tcp(HTTPS), anna.mac, ROUTER_MAC, anna.ip(), OFFICE);
        world.send(&anna, &frame);
        world.pass(Duration::from_secs(20));
        assert_eq!(known(&world), [OFFICE]);
    }
    let view = world.controller.learned_addresses().next().unwrap();
    assert!(view.packets >= 20, "{view:?}");
    assert_eq!(view.names["login.office.com"], Duration::ZERO);
    world.pass(Duration::from_secs(150));
    assert_eq!(known(&world), NONE);
}

#[test]
fn a_restart_keeps_them_with_their_time() {
    let mut world = named();
    let (anna, _) = staff(&mut world);
    resolve(&mut world, &anna, "login.office.com", &[(OFFICE, 600)]);
    let before = world.touched();
    world.restart();
    assert_eq!(world.touched(), before, "no row is touched");
    assert!(leaves(&world, &anna, OFFICE, Flow::tcp(HTTPS)));
    world.pass(Duration::from_secs(590));
    assert!(leaves(&world, &anna, OFFICE, Flow::tcp(HTTPS)));
    world.pass(Duration::from_secs(60));
    assert_eq!(known(&world), NONE);
    world.restart();
    assert_eq!(known(&world), NONE);
    assert!(!leaves(&world, &anna, OFFICE, Flow::tcp(HTTPS)));
}

#[test]
fn another_policy_takes_names_away_and_keeps_the_others() {
    let mut world = named();
    let (anna, bert) = staff(&mut world);
    resolve(&mut world, &anna, "login.office.com", &[(OFFICE, 600)]);
    resolve(&mut world, &bert, "shop.example", &[(SHARED_EDGE, 600)]);
    world.apply(&NAMES.replace("\"*.office.com\", ", ""));
    assert!(!leaves(&world, &anna, OFFICE, Flow::tcp(HTTPS)));
    assert!(leaves(&world, &bert, SHARED_EDGE, Flow::tcp(HTTPS)));
    assert_eq!(known(&world), [SHARED_EDGE]);
    // The permit alone changes: the address stays, the right goes at once.
    world.apply(&NAMES.replace("to: shop, services: [https]", "to: shop, services: [ssh]"));
    assert!(!leaves(&world, &bert, SHARED_EDGE, Flow::tcp(HTTPS)));
    assert!(leaves(&world, &bert, SHARED_EDGE, Flow::tcp(22)));
    world.apply(POLICY);
    assert_eq!(known(&world), NONE);
    assert!(!leaves(&world, &bert, SHARED_EDGE, Flow::tcp(22)));
}

#[test]
fn addresses_are_bounded_and_the_oldest_goes() {
    let mut world = named();
    let (anna, bert) = staff(&mut world);
    let address = |n: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 128, 0, 0)) + n);
    for n in 0..70 {
        let many: Vec<_> = (n * 64..n * 64 + 64).map(|m| (address(m), 3600)).collect();
        resolve(&mut world, &anna, &format!("n{n}.office.com"), &many);
        world.now.mono = world.now.mono.plus(Duration::from_millis(1));
    }
    let all = known(&world);
    assert_eq!(all.len(), 4096);
    assert!(!all.contains(&address(0)) && all.contains(&address(4479)));
    assert!(leaves(&world, &anna, address(4479), Flow::tcp(HTTPS)));
    assert!(!leaves(&world, &anna, address(0), Flow::tcp(HTTPS)));
    // A full external takes nothing from another.
    resolve(&mut world, &bert, "shop.example", &[(SHARED_EDGE, 600)]);
    assert_eq!(known(&world).len(), 4097);
    // One answer teaches a bounded number, and one address has a bounded number of names.
    let endless: Vec<_> = (10_000..11_000).map(|m| (address(m), 3600)).collect();
    resolve(&mut world, &bert, "shop.example", &endless);
    assert_eq!(known(&world).len(), 4096 + 1 + 64);
    for n in 0..40 {
        resolve(&mut world, &anna, &format!("m{n}.office.com"), &[(OFFICE, 3600 + n)]);
    }
    let view = world.controller.learned_addresses().find(|l| l.address == OFFICE).unwrap();
    assert_eq!(view.names.len(), 16);
    assert!(view.names.contains_key("m39.office.com"));
}

#[test]
fn explain_speaks_of_names() {
    let mut world = named();
    let (anna, _) = staff(&mut world);
    let ask = |world: &World, from: &str, to: &str| {
        let (from, to) = (world.controller.party(from).unwrap(), world.controller.party(to)?);
        let flow = world.controller.flows_of("https").unwrap()[0];
        Some(world.controller.explain(from, to, flow))
    };
    let before = ask(&world, "anna", "Login.Office.com").unwrap();
    assert!(before.decision.is_permit(), "the name alone is known: {before:?}");
    resolve(&mut world, &anna, "login.office.com", &[(OFFICE, 600)]);
    let after = ask(&world, "anna", "login.office.com").unwrap();
    assert_eq!(after.to.addresses, [std::net::IpAddr::V4(OFFICE)]);
    assert!(after.decision.is_permit() && after.to.class.is_some());
    let tables: Vec<_> = after.rows.iter().map(|r| r.row.key.table.to_string()).collect();
    for table in ["guard", "locate", "permit"] {
        assert!(tables.iter().any(|t| t == table), "{tables:?}");
    }
    let row = after.rows.iter().find(|r| r.row.key.table.to_string() == "locate").unwrap();
    let why = world.controller.why(row.row.to_add(0).cookie).unwrap();
    assert_eq!((why.kind, why.id.as_str()), ("learned", "login.office.com (198.51.100.20)"));
    assert!(!ask(&world, "bert", "login.office.com").unwrap().decision.is_permit());
    assert!(ask(&world, "anna", "nonsense").is_none());
}
