//! A real switch: rows as it has them, and a corpus of what it sends.

use std::collections::BTreeSet;

use fseg_openflow::nicira::{PACKET_IN_NXT2, TlvCommand, TlvMap, TlvTableMod};
use fseg_openflow::*;

use crate::generated::some;
use crate::oracle::hex;
use crate::sane::usual_row;
use crate::switch::{Connection, Switch};

fn flow_mod(row: &FlowStats) -> Body {
    Body::FlowMod(FlowMod {
        cookie: row.cookie,
        idle_timeout: 0,
        hard_timeout: 0,
        flags: row.flags & !flow::FLAG_CHECK_OVERLAP,
        matches: row.matches.clone(),
        instructions: row.instructions.clone(),
        ..FlowMod::add(row.table, row.priority)
    })
}

fn map_options(connection: &mut Connection) {
    let map = |index: u16| TlvMap { class: 0xff5e, type_: index as u8, len: 16, index };
    let maps = vec![map(0), map(17)];
    connection.send(Body::NxTlvTableMod(TlvTableMod { command: TlvCommand::Add, maps }));
}

#[test]
fn dump_flows_line_by_line() {
    let Some(switch) = Switch::start() else { return };
    let mut connection = switch.connect();
    map_options(&mut connection);
    let group = |group_id| {
        let (command, type_) = (GroupCommand::Add, GroupType::All);
        Body::GroupMod(GroupMod { command, type_, group_id, buckets: vec![Bucket::new(vec![Action::output(1)])] })
    };
    for id in 0..100 {
        connection.send(group(id));
    }
    let bands = vec![Band::Drop { rate: 100, burst: 0 }];
    let (command, flags) = (MeterCommand::Add, meter::FLAG_PACKETS);
    connection.send(Body::MeterMod(MeterMod { command, flags, meter_id: 1, bands }));
    assert_eq!(connection.barrier().len(), 1, "nothing was refused");
    let rows = some(usual_row(true), 1_000);
    let mut refused = BTreeSet::new();
    for rows in rows.chunks(100) {
        for row in rows {
            connection.send(flow_mod(row));
        }
        for message in connection.barrier() {
            if let Body::Error(error) = &message.body {
                refused.insert(error.to_string());
            }
        }
    }
    let request = MultipartRequest { more: false, query: Query::Flow(FlowQuery::default()) };
    let mut ours = Vec::new();
    for message in connection.ask(Body::MultipartRequest(request)) {
        let Body::MultipartReply(MultipartReply { answer: Answer::Flow(rows), .. }) = message.body else { continue };
        ours.extend(rows.iter().map(|row| row.to_string().trim_end().to_owned()));
    }
    let theirs = switch.ofctl(&["--no-names", "--no-stats"], "dump-flows");
    let mut theirs: Vec<String> =
        theirs.lines().filter(|line| line.contains("actions=")).map(|line| line.trim().to_owned()).collect();
    ours.sort();
    theirs.sort();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
    println!("{} of {} rows compared; refused were: {refused:?}", ours.len(), rows.len());
    assert!(ours.len() * 10 > rows.len() * 7, "only {} of {} rows are there: {refused:?}", ours.len(), rows.len());
}

/// Has a conversation in which the switch says everything it can say to a controller.
fn conversation(switch: &Switch) -> Vec<Vec<u8>> {
    let mut connection = switch.connect();
    let query = |query| Body::MultipartRequest(MultipartRequest { more: false, query });
    let controller = vec![Instruction::ApplyActions(vec![Action::output(port::CONTROLLER)])];
    connection.ask(Body::FeaturesRequest);
    connection.ask(Body::GetConfigRequest);
    connection.ask(Body::EchoRequest(b"are you there".to_vec()));
    connection.ask(Body::RoleRequest(RoleMessage { role: Role::Master, generation_id: 7 }));
    connection.send(Body::SetConfig(SwitchConfig { flags: 0, miss_send_len: 0xffff }));
    connection.send(Body::SetAsync(AsyncConfig { packet_in: [7, 7], port_status: [7, 7], flow_removed: [15, 15] }));
    connection.ask(Body::GetAsyncRequest);
    map_options(&mut connection);
    connection.ask(Body::NxTlvTableRequest);
    for (group_id, type_) in
        [(1, GroupType::All), (2, GroupType::Select), (3, GroupType::Indirect), (4, GroupType::FastFailover)]
    {
        let mut bucket = Bucket::new(vec![Action::set_field(Field::EthDst, 5u8), Action::output(7)]);
        match type_ {
            GroupType::Select => bucket.weight = 9,
            GroupType::FastFailover => bucket.watch_port = 7,
            _ => {}
        }
        let buckets = if group_id == 3 { vec![bucket] } else { vec![bucket.clone(), bucket] };
        connection.send(Body::GroupMod(GroupMod { command: GroupCommand::Add, type_, group_id, buckets }));
    }
    for (meter_id, flags) in [(1, meter::FLAG_PACKETS | meter::FLAG_BURST | meter::FLAG_STATS), (2, meter::FLAG_KBPS)] {
        let bands = vec![Band::Drop { rate: 100, burst: 10 }];
        connection.send(Body::MeterMod(MeterMod { command: MeterCommand::Add, flags, meter_id, bands }));
    }
    for row in some(usual_row(true), 60) {
        connection.send(flow_mod(&row));
    }
    connection.barrier();
    for question in [
        Query::Desc,
        Query::Flow(FlowQuery::default()),
        Query::Aggregate(FlowQuery::default()),
        Query::Table,
        Query::PortStats(port::ANY),
        Query::Queue { port_no: port::ANY, queue_id: queue::ALL },
        Query::Group(group::ALL),
        Query::GroupDesc,
        Query::GroupFeatures,
        Query::Meter(meter::ALL),
        Query::MeterConfig(meter::ALL),
        Query::MeterFeatures,
        Query::PortDesc,
    ] {
        connection.ask(query(question));
    }
    // Of the 254 tables, which say nearly the same, two are enough.
    let tables = connection.ask(query(Query::TableFeatures(Vec::new())));
    connection.log.retain(|bytes| {
        !matches!(
            Message::decode(bytes),
            Ok(Message { body: Body::MultipartReply(MultipartReply { answer: Answer::TableFeatures(_), .. }), .. })
        )
    });
    let all: Vec<table::TableFeatures> = tables
        .into_iter()
        .filter_map(|message| match message.body {
            Body::MultipartReply(MultipartReply { answer: Answer::TableFeatures(tables), .. }) => Some(tables),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(all.len(), 254);
    let two = [all.first(), all.last()].into_iter().flatten().cloned().collect();
    let body = Body::MultipartReply(MultipartReply { more: false, answer: Answer::TableFeatures(two) });
    connection.log.push(Message { xid: 77, body }.encode());
    connection.ask(Body::QueueGetConfigRequest(7));
    // Packets: a row that sends them up, in both forms, and a row that goes.
    connection.send(Body::FlowMod(FlowMod {
        instructions: controller,
        cookie: 5,
        flags: flow::FLAG_SEND_FLOW_REMOVED,
        ..FlowMod::add(0, 65_535)
    }));
    let frame = || [vec![0xff; 6], vec![2, 0, 0, 0, 0, 1, 0x88, 0xb5], vec![0; 46]].concat();
    let out = || {
        Body::PacketOut(PacketOut {
            buffer_id: flow::NO_BUFFER,
            in_port: 7,
            actions: vec![Action::output(port::TABLE)],
            data: frame(),
        })
    };
    connection.send(out());
    connection.wait("a packet", |message| matches!(message.body, Body::PacketIn(_)));
    connection.send(Body::NxSetPacketInFormat(PACKET_IN_NXT2));
    connection.send(out());
    connection.wait("a packet", |message| matches!(message.body, Body::NxPacketIn2(_)));
    connection.send(Body::FlowMod(FlowMod::delete_strict(0, 65_535, Match::new())));
    connection.wait("a removed row", |message| matches!(message.body, Body::FlowRemoved(_)));
    connection.send(Body::PortMod(PortMod {
        port_no: 7,
        config: port::CONFIG_NO_FWD,
        mask: port::CONFIG_NO_FWD,
        ..PortMod::default()
    }));
    switch.vsctl(&["add-port", "br0", "int0", "--", "set", "interface", "int0", "type=internal"]);
    connection.wait("a port", |message| matches!(message.body, Body::PortStatus(_)));
    switch.vsctl(&["del-port", "br0", "int0"]);
    connection.wait(
        "a port",
        |message| matches!(&message.body, Body::PortStatus(status) if status.reason == PortReason::Delete),
    );
    // A bundle that goes well, and one that fails.
    for (bundle_id, table) in [(1, 3), (2, 255)] {
        let control = |type_| Body::BundleControl(BundleControl { bundle_id, type_, flags: 3 });
        connection.ask(control(bundle::control::OPEN_REQUEST));
        let message = Box::new(Message { xid: 90, body: Body::FlowMod(FlowMod::add(table, 1)) });
        let add = Message { xid: 90, body: Body::BundleAdd(BundleAdd { bundle_id, flags: 3, message }) };
        connection.send_bytes(&add.encode());
        connection.ask(control(bundle::control::CLOSE_REQUEST));
        connection.ask(control(bundle::control::COMMIT_REQUEST));
    }
    // Errors of many kinds.
    let refused = [
        Body::RoleRequest(RoleMessage { role: Role::Slave, generation_id: 1 }),
        Body::GroupMod(GroupMod { command: GroupCommand::Add, type_: GroupType::All, group_id: 1, buckets: vec![] }),
        Body::MeterMod(MeterMod { command: MeterCommand::Modify, flags: 2, meter_id: 99, bands: vec![] }),
        Body::FlowMod(FlowMod { matches: Match::new().with(Field::TcpDst, 80u8), ..FlowMod::add(0, 1) }),
        Body::FlowMod(FlowMod { instructions: vec![Instruction::GotoTable(1)], ..FlowMod::add(5, 1) }),
        Body::FlowMod(FlowMod {
            instructions: vec![Instruction::Unknown { type_: 99, body: vec![0; 4] }],
            ..FlowMod::add(5, 1)
        }),
        Body::PortMod(PortMod { port_no: 99, ..PortMod::default() }),
        Body::Experimenter(Experimenter { experimenter: 0x1234, exp_type: 5, data: vec![1, 2, 3, 4] }),
        Body::Unknown { type_: 99, body: vec![] },
        query(Query::Unknown { type_: 99, body: vec![] }),
        query(Query::Experimenter(Experimenter { experimenter: 0x1234, exp_type: 5, data: vec![] })),
        Body::PacketOut(PacketOut { buffer_id: 5, in_port: 7, actions: vec![], data: vec![] }),
    ];
    let count = refused.len();
    for body in refused {
        connection.send(body);
    }
    let errors = connection.barrier().iter().filter(|message| matches!(message.body, Body::Error(_))).count();
    assert!(errors + 2 >= count, "only {errors} of {count} were refused");
    std::mem::take(&mut connection.log)
}

#[test]
fn what_a_switch_says_is_understood() {
    let Some(switch) = Switch::start() else { return };
    let log = conversation(&switch);
    let mut kinds = BTreeSet::new();
    for bytes in &log {
        let message = Message::decode(bytes).unwrap_or_else(|error| panic!("{}: {error}", hex(bytes)));
        kinds.insert(message.body.name());
        assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(&message));
        // Of rows the matches are sent in an order of our own; all else byte for byte.
        if message.body.name() != "OFPST_FLOW reply" {
            assert_eq!(hex(&message.encode()), hex(bytes), "{message}");
        }
    }
    println!("{} messages of {} kinds: {kinds:?}", log.len(), kinds.len());
    assert!(kinds.len() >= 28, "only {} kinds: {kinds:?}", kinds.len());
    if std::env::var_os("FSEG_OPENFLOW_RECORD").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/openvswitch-3.1.hex");
        let head = "# What Open vSwitch 3.1.0 (userspace datapath, Debian 12) sent to a controller, OpenFlow 1.3, one message per line.\n\
                    # Recorded by tests/ovs/live.rs with FSEG_OPENFLOW_RECORD=1; of the table features two tables are kept.\n";
        let lines: String = log.iter().flat_map(|bytes| [hex(bytes), "\n".to_owned()]).collect();
        std::fs::write(path, format!("{head}{lines}")).unwrap();
    }
}

#[test]
fn barriers_errors_and_roles_are_matched_to_what_they_answer() {
    let Some(switch) = Switch::start() else { return };
    let mut connection = switch.connect();
    let mut book: Transactions<&str> = Transactions::new(100);
    let change = |flow: FlowMod, name, book: &mut Transactions<&'static str>| Message {
        xid: book.change(name).unwrap(),
        body: Body::FlowMod(flow),
    };
    let good = change(FlowMod::add(0, 1), "good", &mut book);
    let bad =
        change(FlowMod { matches: Match::new().with(Field::TcpDst, 80u8), ..FlowMod::add(0, 2) }, "bad", &mut book);
    let also_good = change(FlowMod::add(0, 3), "also good", &mut book);
    let barrier = Message { xid: book.barrier(), body: Body::BarrierRequest };
    let question = MultipartRequest { more: false, query: Query::Aggregate(FlowQuery::default()) };
    let question = Message { xid: book.question("sums").unwrap(), body: Body::MultipartRequest(question) };
    for message in [&good, &bad, &also_good, &barrier, &question] {
        connection.send_bytes(&message.encode());
    }
    let seen = connection.wait("the sums", |message| message.xid == question.xid);
    let mut outcomes: Vec<_> = seen.iter().map(|message| book.handle(message)).collect();
    assert!(
        matches!(&outcomes[0], Outcome::Refused { token: "bad", error } if error.name() == Some("OFPBMC_BAD_PREREQ"))
    );
    assert_eq!(
        outcomes.split_off(1),
        [Outcome::Confirmed(vec!["good", "also good"]), Outcome::Answered { token: "sums", more: false }]
    );
    assert_eq!(book.open(), 0);

    // An election: the second controller takes over, the first is told and can no longer write; an old election is stale.
    let mut first = RoleClaim::new(Role::Master, 7);
    connection.send_bytes(&first.request(1000).encode());
    let seen = connection.wait("a role", |message| message.xid == 1000);
    assert_eq!(first.handle(seen.last().unwrap()), RoleOutcome::Granted(Role::Master));
    let mut other = switch.connect();
    let mut second = RoleClaim::new(Role::Master, 8);
    other.send_bytes(&second.request(1001).encode());
    let seen = other.wait("a role", |message| message.xid == 1001);
    assert_eq!(second.handle(seen.last().unwrap()), RoleOutcome::Granted(Role::Master));
    connection.send_bytes(&first.request(1002).encode());
    let seen = connection.wait("a refusal", |message| message.xid == 1002);
    let outcomes: Vec<RoleOutcome> = seen.iter().map(|message| first.handle(message)).collect();
    assert!(outcomes.contains(&RoleOutcome::Changed(Role::Slave)), "{outcomes:?}");
    assert_eq!(outcomes.last(), Some(&RoleOutcome::Stale));
    assert!(!first.may_write() && second.may_write());
    connection.send_bytes(&Message { xid: 1003, body: Body::FlowMod(FlowMod::add(0, 9)) }.encode());
    let seen = connection.wait("a refusal", |message| message.xid == 1003);
    assert!(matches!(&seen.last().unwrap().body, Body::Error(error) if error.name() == Some("OFPBRC_IS_SLAVE")));
}
