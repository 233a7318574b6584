//! A switch: messages in, messages and frames out.

use std::collections::{BTreeMap, HashMap};

use fseg_model::{Dpid, PortNo};
use fseg_openflow::bundle::control;
use fseg_openflow::meter::{MeterConfig, MeterFeatures};
use fseg_openflow::port::STATE_LINK_DOWN;
use fseg_openflow::table::TableFeatures;
use fseg_openflow::{
    Action, Answer, Body, BundleControl, ErrorMessage, Field, FlowCommand, FlowMod, Instruction, Message, MeterCommand,
    MultipartReply, Port, PortReason, PortStatus, Query,
};

use fseg_openflow::simulate::{Refused, Tables};

use crate::Conntrack;

/// What a switch does.
#[derive(Debug, Clone)]
pub enum Out {
    /// Says this to the controller.
    Message(Body),
    /// Says this about an earlier message.
    Late {
        /// Whose transaction id it has.
        xid: u32,
        /// What is said.
        body: Body,
    },
    /// Sends a frame.
    Frame {
        /// By this port.
        port: u32,
        /// All of it.
        frame: Vec<u8>,
    },
}

/// The connection to the controller broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut;

const BUNDLE_FAILED: u16 = 17;
const METER_MOD_FAILED: u16 = 12;

/// A switch in memory.
#[derive(Debug, Clone)]
pub struct FakeSwitch {
    /// Its datapath id.
    pub dpid: Dpid,
    /// Its tables.
    pub tables: Tables,
    /// Its meters.
    pub meters: BTreeMap<u32, MeterConfig>,
    /// Its ports and whether they have a link.
    pub ports: BTreeMap<PortNo, bool>,
    /// Its connections.
    pub conntrack: Conntrack,
    /// How many rows were added, changed or taken away so far.
    pub touched: usize,
    /// Refuse this many of the next bundles when they are committed.
    pub refuse_bundles: usize,
    /// Refuse this many of the next bundles when they are closed, before anything is in effect.
    pub refuse_closings: usize,
    /// Break the connection when this many more messages have come.
    pub cut_after: Option<usize>,
    /// Refuse rows for which this says so, with this error.
    pub refuse_rows: Option<fn(&FlowMod) -> Option<Refused>>,
    /// Nothing but OpenFlow 1.3, with these tables.
    pub plain: Option<Vec<TableFeatures>>,
    /// Its highest meter, where it is plain.
    pub most_meters: u32,
    /// What it refused since it has no extensions.
    pub extensions: usize,
    /// Note the rows that packets meet.
    pub tracing: bool,
    /// Table and cookie of the rows met, when `tracing`.
    pub trace: Vec<(u8, u64)>,
    bundles: HashMap<u32, Vec<(u32, FlowMod)>>,
}

impl FakeSwitch {
    /// A switch that holds nothing, all of whose ports have a link.
    pub fn new(dpid: Dpid, ports: impl IntoIterator<Item = PortNo>) -> Self {
        Self {
            dpid,
            tables: Tables::default(),
            meters: BTreeMap::new(),
            ports: ports.into_iter().map(|p| (p, true)).collect(),
            conntrack: Conntrack::default(),
            touched: 0,
            refuse_bundles: 0,
            refuse_closings: 0,
            cut_after: None,
            refuse_rows: None,
            plain: None,
            most_meters: 1 << 20,
            extensions: 0,
            tracing: false,
            trace: Vec::new(),
            bundles: HashMap::new(),
        }
    }

    /// Loses everything that a power failure takes.
    pub fn restart(&mut self) {
        self.tables.clear();
        self.meters.clear();
        self.conntrack.clear();
        self.bundles.clear();
    }

    /// A bundle that was not committed is lost with the connection.
    pub fn disconnected(&mut self) {
        self.bundles.clear();
        self.cut_after = None;
    }

    /// A port's link goes up or down; the message that says so.
    pub fn set_link(&mut self, port: PortNo, up: bool) -> Message {
        self.ports.insert(port, up);
        let status = PortStatus { reason: PortReason::Modify, port: self.port(port) };
        Message { xid: 0, body: Body::PortStatus(status) }
    }

    fn port(&self, number: PortNo) -> Port {
        let up = self.ports.get(&number).copied().unwrap_or(false);
        Port {
            port_no: number.0,
            name: format!("p{number}"),
            state: if up { 0 } else { STATE_LINK_DOWN },
            ..Port::default()
        }
    }

    /// Takes in a message. It goes over the wire: encoded and decoded, as real switches get it.
    pub fn receive(&mut self, message: &Message) -> Result<Vec<Out>, Cut> {
        if let Some(left) = &mut self.cut_after {
            if *left == 0 {
                self.disconnected();
                return Err(Cut);
            }
            *left -= 1;
        }
        let bytes = message.try_encode().unwrap();
        let Message { xid, body } = Message::decode(&bytes).unwrap();
        let mut out = Vec::new();
        let refuse = |Refused(type_, code): Refused| {
            Out::Message(Body::Error(ErrorMessage { type_, code, data: bytes[..bytes.len().min(64)].to_vec() }))
        };
        if self.plain.is_some() && !is_plain(&body) {
            const BAD_REQUEST: u16 = 1;
            const BAD_EXPERIMENTER: u16 = 3;
            self.extensions += 1;
            return Ok(vec![refuse(Refused(BAD_REQUEST, BAD_EXPERIMENTER))]);
        }
        match body {
            Body::MultipartRequest(request) => out.extend(self.answer(&request.query).into_iter().map(Out::Message)),
            Body::MeterMod(m) => {
                let exists = self.meters.contains_key(&m.meter_id);
                match (m.command, exists) {
                    (MeterCommand::Add, true) => out.push(refuse(Refused(METER_MOD_FAILED, 1))),
                    (MeterCommand::Modify, false) => out.push(refuse(Refused(METER_MOD_FAILED, 3))),
                    (MeterCommand::Delete, _) => panic!("deletion of meters is not simulated"),
                    _ => {
                        let config = MeterConfig { flags: m.flags, meter_id: m.meter_id, bands: m.bands };
                        self.meters.insert(m.meter_id, config);
                    }
                }
            }
            Body::FlowMod(m) => {
                if let Err(e) = self.change(&m) {
                    out.push(refuse(e));
                }
            }
            Body::BundleControl(c) => match self.bundle(c) {
                Ok(reply) => out.push(Out::Message(Body::BundleControl(reply))),
                Err((row, e)) => {
                    // First about the row, then about the bundle.
                    if let Some(xid) = row {
                        let error = ErrorMessage { type_: e.0, code: e.1, data: vec![] };
                        out.push(Out::Late { xid, body: Body::Error(error) });
                        out.push(refuse(Refused(BUNDLE_FAILED, 9)));
                    } else {
                        out.push(refuse(e));
                    }
                }
            },
            Body::BundleAdd(add) => {
                let Body::FlowMod(m) = add.message.body else { panic!("only rows are bundled: {:?}", add.message) };
                assert_eq!(add.message.xid, xid, "the inner message has the transaction id of the outer");
                match self.bundles.get_mut(&add.bundle_id) {
                    Some(bundle) => bundle.push((xid, m)),
                    None => out.push(refuse(Refused(BUNDLE_FAILED, 2))),
                }
            }
            Body::BarrierRequest => out.push(Out::Message(Body::BarrierReply)),
            Body::EchoRequest(data) => out.push(Out::Message(Body::EchoReply(data))),
            // A packet put into the tables brings no answers of its own request's id.
            Body::PacketOut(packet) => out.extend(self.execute(&packet.data, packet.in_port, &packet.actions)),
            other => panic!("{other:?} is not simulated"),
        }
        Ok(out)
    }

    /// A frame comes in by a port.
    pub fn frame_in(&mut self, port: u32, frame: &[u8]) -> Vec<Out> {
        if self.ports.get(&PortNo(port)) == Some(&true) { self.process(frame, port) } else { Vec::new() }
    }

    fn check(&self, m: &FlowMod) -> Result<(), Refused> {
        let unknown = |i: &Instruction| matches!(i, Instruction::Meter(n) if !self.meters.contains_key(n));
        if m.instructions.iter().any(unknown) {
            return Err(Refused(METER_MOD_FAILED, 3));
        }
        let refused = self.refuse_rows.filter(|_| m.command == FlowCommand::Add).and_then(|refuse| refuse(m));
        refused.map_or(Ok(()), Err)
    }

    fn change(&mut self, m: &FlowMod) -> Result<(), Refused> {
        self.check(m)?;
        self.touched += self.tables.apply(m)?;
        Ok(())
    }

    fn bundle(&mut self, c: BundleControl) -> Result<BundleControl, (Option<u32>, Refused)> {
        let reply = |type_| Ok(BundleControl { type_, ..c });
        match c.type_ {
            control::OPEN_REQUEST => {
                if self.bundles.insert(c.bundle_id, Vec::new()).is_some() {
                    return Err((None, Refused(BUNDLE_FAILED, 1)));
                }
                reply(control::OPEN_REPLY)
            }
            control::COMMIT_REQUEST => {
                let changes = self.bundles.remove(&c.bundle_id).ok_or((None, Refused(BUNDLE_FAILED, 2)))?;
                if self.refuse_bundles > 0 {
                    self.refuse_bundles -= 1;
                    return Err((None, Refused(BUNDLE_FAILED, 9)));
                }
                // All or nothing.
                let before = (self.tables.clone(), self.touched);
                for (xid, m) in &changes {
                    if let Err(e) = self.change(m) {
                        (self.tables, self.touched) = before;
                        return Err((Some(*xid), e));
                    }
                }
                reply(control::COMMIT_REPLY)
            }
            control::CLOSE_REQUEST => {
                if self.refuse_closings > 0 {
                    self.refuse_closings -= 1;
                    return Err((None, Refused(BUNDLE_FAILED, 9)));
                }
                if !self.bundles.contains_key(&c.bundle_id) {
                    return Err((None, Refused(BUNDLE_FAILED, 2)));
                }
                reply(control::CLOSE_REPLY)
            }
            control::DISCARD_REQUEST => {
                self.bundles.remove(&c.bundle_id);
                reply(control::DISCARD_REPLY)
            }
            other => panic!("bundle control {other} is not simulated"),
        }
    }

    fn answer(&self, query: &Query) -> Vec<Body> {
        let parts = match query {
            Query::TableFeatures(_) => vec![Answer::TableFeatures(self.plain.clone().unwrap_or_default())],
            Query::MeterFeatures => {
                vec![Answer::MeterFeatures(MeterFeatures { max_meter: self.most_meters, ..MeterFeatures::default() })]
            }
            Query::PortDesc => vec![Answer::PortDesc(self.ports.keys().map(|p| self.port(*p)).collect())],
            Query::MeterConfig(_) => vec![Answer::MeterConfig(self.meters.values().cloned().collect())],
            Query::Flow(q) => {
                let rows = self.tables.stats(q.table, q.cookie, q.cookie_mask, &q.matches);
                // Large answers come in parts; small parts make tests meet that.
                let mut parts: Vec<_> = rows.chunks(40).map(|c| Answer::Flow(c.to_vec())).collect();
                if parts.is_empty() {
                    parts.push(Answer::Flow(vec![]));
                }
                parts
            }
            other => panic!("query {other:?} is not simulated"),
        };
        let last = parts.len() - 1;
        parts
            .into_iter()
            .enumerate()
            .map(|(i, answer)| Body::MultipartReply(MultipartReply { more: i < last, answer }))
            .collect()
    }
}

/// Whether a message is OpenFlow 1.3 without anybody's extensions.
fn is_plain(body: &Body) -> bool {
    let basic = |field: &Field| field.header().0 == 0x8000 && field.header().1 < 40;
    let standard = |action: &Action| match action {
        Action::Output { .. } | Action::Group(_) | Action::SetQueue(_) | Action::DecNwTtl => true,
        Action::SetField { field, mask, .. } => mask.is_none() && basic(field),
        _ => false,
    };
    match body {
        Body::BundleControl(_) | Body::BundleAdd(_) | Body::Experimenter(_) => false,
        Body::FlowMod(m) => {
            m.matches.iter().all(|(field, _)| basic(field))
                && m.instructions.iter().all(|i| match i {
                    Instruction::ApplyActions(list) | Instruction::WriteActions(list) => list.iter().all(standard),
                    Instruction::Unknown { .. } => false,
                    _ => true,
                })
        }
        Body::PacketOut(p) => p.actions.iter().all(standard),
        _ => true,
    }
}
