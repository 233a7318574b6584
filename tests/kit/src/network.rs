//! Switches and the cables between them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use fseg_model::{Dpid, Location, PortNo};
use fseg_openflow::{Body, Message};

use crate::switch::{Cut, FakeSwitch, Out};

/// A frame that left by a port at which no other switch is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Where.
    pub place: Location,
    /// What.
    pub frame: Vec<u8>,
}

/// Switches with their cables.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// The switches.
    pub switches: BTreeMap<Dpid, FakeSwitch>,
    cables: HashMap<Location, Location>,
    /// Frames that left the network, in order.
    pub arrived: Vec<Arrival>,
    /// What switches said, in order.
    pub said: Vec<(Dpid, Message)>,
}

const MOST_HOPS: usize = 1000;

impl Network {
    /// Puts a switch in.
    pub fn add(&mut self, switch: FakeSwitch) {
        self.switches.insert(switch.dpid, switch);
    }

    /// Puts a cable between two ports.
    pub fn cable(&mut self, a: Location, b: Location) {
        self.cables.insert(a, b);
        self.cables.insert(b, a);
    }

    /// The switch.
    pub fn switch(&mut self, dpid: Dpid) -> &mut FakeSwitch {
        self.switches.get_mut(&dpid).unwrap_or_else(|| panic!("no switch {dpid}"))
    }

    /// A frame comes in by a port and goes as far as it goes.
    pub fn send(&mut self, place: Location, frame: &[u8]) {
        let out = self.switch(place.switch).frame_in(place.port.0, frame);
        self.carry(place.switch, 0, out);
    }

    /// A message from the controller, with all that follows from it.
    pub fn message(&mut self, dpid: Dpid, message: &Message) -> Result<(), Cut> {
        let out = self.switch(dpid).receive(message)?;
        self.carry(dpid, message.xid, out);
        Ok(())
    }

    fn carry(&mut self, dpid: Dpid, xid: u32, out: Vec<Out>) {
        let mut todo: VecDeque<(Dpid, u32, Out)> = out.into_iter().map(|o| (dpid, xid, o)).collect();
        let mut hops = 0;
        while let Some((dpid, xid, out)) = todo.pop_front() {
            hops += 1;
            assert!(hops < MOST_HOPS, "frames go round in circles between switches");
            match out {
                Out::Late { xid, body } => {
                    let message = Message::decode(&Message { xid, body }.try_encode().unwrap()).unwrap();
                    self.said.push((dpid, message));
                }
                Out::Message(body) => {
                    let unasked = matches!(body, Body::PacketIn(_) | Body::PortStatus(_));
                    let message = Message { xid: if unasked { 0 } else { xid }, body };
                    // Over the wire, as the controller gets it.
                    let message = Message::decode(&message.try_encode().unwrap()).unwrap();
                    self.said.push((dpid, message));
                }
                Out::Frame { port, frame } => {
                    let from = Location { switch: dpid, port: PortNo(port) };
                    if self.switch(dpid).ports.get(&from.port) != Some(&true) {
                        continue;
                    }
                    match self.cables.get(&from).copied() {
                        Some(to) => {
                            let out = self.switch(to.switch).frame_in(to.port.0, &frame);
                            todo.extend(out.into_iter().map(|o| (to.switch, 0, o)));
                        }
                        None => self.arrived.push(Arrival { place: from, frame }),
                    }
                }
            }
        }
    }
}
