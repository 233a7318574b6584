//! A packet's way through a switch's tables, by the simulator of `fseg-openflow`.

use fseg_openflow::simulate::{Simulator, To, Trace};
use fseg_openflow::{Action, Field, Match, PacketIn};

use crate::Packet;
use crate::switch::{FakeSwitch, Out};

impl FakeSwitch {
    /// A packet that came in by a port, through the tables from the first on.
    pub(crate) fn process(&mut self, frame: &[u8], in_port: u32) -> Vec<Out> {
        let trace = Simulator::new(&self.tables).run(Packet::new(frame, in_port), &mut self.conntrack);
        self.carry_out(&trace, frame.len())
    }

    /// What a packet-out says.
    pub(crate) fn execute(&mut self, frame: &[u8], in_port: u32, actions: &[Action]) -> Vec<Out> {
        let packet = Packet::new(frame, in_port);
        let trace = Simulator::new(&self.tables).execute(packet, actions, &mut self.conntrack);
        self.carry_out(&trace, frame.len())
    }

    fn carry_out(&mut self, trace: &Trace, length: usize) -> Vec<Out> {
        assert_eq!(trace.abandoned, None, "a packet goes round in circles");
        assert_eq!(trace.not_simulated().collect::<Vec<_>>(), [""; 0], "rows that are not simulated");
        for step in &trace.steps {
            let Some(row) = step.row else { continue };
            self.tables.count(row, length);
            if self.tracing {
                self.trace.push((step.table, step.cookie));
            }
        }
        for row in &trace.learned {
            self.tables.apply(row).unwrap();
        }
        trace.departures.iter().map(out).collect()
    }
}

fn out(departure: &fseg_openflow::simulate::Departure) -> Out {
    let packet = &departure.packet;
    let data = packet.frame();
    match &departure.to {
        To::Port(port) => Out::Frame { port: *port, frame: data },
        To::Controller { reason, max_len, .. } => {
            let mut matches = Match::new().with(Field::InPort, packet.in_port());
            if let Some(metadata) = packet.get(Field::Metadata).filter(|m| *m != 0) {
                matches = matches.with(Field::Metadata, metadata);
            }
            Out::Message(fseg_openflow::Body::PacketIn(PacketIn {
                buffer_id: fseg_openflow::flow::NO_BUFFER,
                total_len: data.len() as u16,
                reason: *reason,
                table: departure.table,
                cookie: departure.cookie,
                matches,
                data: data[..data.len().min(usize::from(*max_len))].to_vec(),
            }))
        }
        other => panic!("{other:?} is not simulated"),
    }
}
