//! A packet's way through the tables.

use fseg_openflow::port::{CONTROLLER, IN_PORT};
use fseg_openflow::{Action, Field, Instruction, Match, PacketIn};

use crate::packet::Packet;
use crate::switch::{FakeSwitch, Out};

/// More than any program needs: a loop fails the test.
const MOST_STEPS: usize = 200;

impl FakeSwitch {
    /// A packet that came in by a port, through the tables from the first on.
    pub(crate) fn process(&mut self, frame: &[u8], in_port: u32) -> Vec<Out> {
        let mut out = Vec::new();
        let mut todo = vec![(Packet::new(frame, in_port), 0)];
        let mut steps = 0;
        while let Some((packet, table)) = todo.pop() {
            self.walk(packet, table, &mut out, &mut todo, &mut steps);
        }
        out
    }

    fn walk(
        &mut self,
        mut packet: Packet,
        mut table: u8,
        out: &mut Vec<Out>,
        todo: &mut Vec<(Packet, u8)>,
        steps: &mut usize,
    ) {
        loop {
            *steps += 1;
            assert!(*steps < MOST_STEPS, "a packet goes round in circles in table {table}");
            let length = packet.bytes().len();
            let Some((cookie, instructions)) = self.tables.lookup(table, &mut packet, length) else { return };
            if self.tracing {
                self.trace.push((table, cookie));
            }
            let mut next = None;
            for instruction in in_order(&instructions) {
                match instruction {
                    // Rates need a clock; that a meter exists is checked when the row is added.
                    Instruction::Meter(_) => {}
                    Instruction::ApplyActions(actions) => {
                        for action in actions {
                            self.act(action, &mut packet, (table, cookie), out, todo);
                        }
                    }
                    Instruction::WriteMetadata { value, mask } => {
                        packet.set(Field::Metadata, (*value).into(), (*mask).into());
                    }
                    Instruction::GotoTable(n) => next = Some(*n),
                    other => panic!("instruction {other:?} is not simulated"),
                }
            }
            match next {
                Some(n) => {
                    assert!(n > table, "goto_table leads from {table} back to {n}");
                    table = n;
                }
                None => return,
            }
        }
    }

    pub(crate) fn act(
        &mut self,
        action: &Action,
        packet: &mut Packet,
        (table, cookie): (u8, u64),
        out: &mut Vec<Out>,
        todo: &mut Vec<(Packet, u8)>,
    ) {
        let in_port = packet.get(Field::InPort).unwrap() as u32;
        match action {
            Action::Output { port: CONTROLLER, max_len } => {
                let data = packet.frame();
                let mut matches = Match::new().with(Field::InPort, in_port);
                if let Some(metadata) = packet.get(Field::Metadata).filter(|m| *m != 0) {
                    matches = matches.with(Field::Metadata, metadata);
                }
                out.push(Out::Message(fseg_openflow::Body::PacketIn(PacketIn {
                    buffer_id: fseg_openflow::flow::NO_BUFFER,
                    total_len: data.len() as u16,
                    reason: fseg_openflow::packet::REASON_ACTION,
                    table,
                    cookie,
                    matches,
                    data: data[..data.len().min(usize::from(*max_len))].to_vec(),
                })));
            }
            Action::Output { port: IN_PORT, .. } => out.push(Out::Frame { port: in_port, frame: packet.frame() }),
            // A packet does not leave by the port it came in by unless it is told so by name (OpenFlow 1.3, 5.12).
            Action::Output { port, .. } if *port == in_port => {}
            Action::Output { port, .. } => out.push(Out::Frame { port: *port, frame: packet.frame() }),
            Action::OutputReg { src, .. } => {
                let port = packet.read(*src) as u32;
                if port != in_port {
                    out.push(Out::Frame { port, frame: packet.frame() });
                }
            }
            Action::SetField { field, value, mask } => packet.set(*field, *value, mask.unwrap_or(u128::MAX)),
            Action::Load { dst, value } => packet.write(*dst, (*value).into()),
            Action::Move { src, dst } => {
                let value = packet.read(*src);
                packet.write(*dst, value);
            }
            Action::Push(from) => packet.push(*from),
            Action::Pop(to) => packet.pop(*to),
            Action::DecNwTtl => {
                let ttl = packet.get(Field::IpTtl).unwrap();
                packet.set(Field::IpTtl, ttl.saturating_sub(1), u128::MAX);
            }
            Action::Ct(ct) => {
                let copy = self.conntrack.ct(packet, ct);
                if let Some(table) = ct.table {
                    todo.push((copy, table));
                }
            }
            other => panic!("action {other:?} is not simulated"),
        }
    }
}

/// The order of execution (OpenFlow 1.3, 5.9).
fn in_order(instructions: &[Instruction]) -> impl Iterator<Item = &Instruction> {
    let rank = |i: &Instruction| match i {
        Instruction::Meter(_) => 0,
        Instruction::ApplyActions(_) => 1,
        Instruction::GotoTable(_) => 9,
        _ => 5,
    };
    let mut sorted: Vec<_> = instructions.iter().collect();
    sorted.sort_by_key(|i| rank(i));
    sorted.into_iter()
}
