//! What a row does, as a value: two lists of instructions that do the same have the same [`Treatment`], however they are
//! written (`set_field`, `load` and `write_metadata` of the same bits are one thing).
//!
//! Instructions are executed on a packet whose bits are unknowns; what is left are the bits that were set, those that were
//! copied from elsewhere, what was sent where, and what was left in the action set.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use fseg_openflow::{Action, CtZone, Field, Instruction, NatAction, Subfield, port};
use fseg_pipeline::Table;

/// Where one bit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bit {
    /// It is constant.
    Is(bool),
    /// It is a bit of the packet as it came into the table.
    Of(Field, u8),
}

/// Bits of one field that were written.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Written {
    /// Which bits are constant.
    pub mask: u128,
    /// Their values.
    pub value: u128,
    /// Bits copied: which, from which field and bit.
    pub copied: Vec<(u8, Field, u8)>,
}

/// What was written into which field.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State(pub BTreeMap<Field, Written>);

/// 64- and 128-bit registers are made of the 32-bit ones: the most significant is the one with the lowest number.
fn home(field: Field, bit: u16) -> (Field, u16) {
    match field {
        Field::XReg(n) => (Field::Reg(2 * n + u8::from(bit < 32)), bit % 32),
        Field::XxReg(n) => (Field::Reg(4 * n + 3 - (bit / 32).min(3) as u8), bit % 32),
        Field::InPort16 => (Field::InPort, bit),
        other => (other, bit),
    }
}

impl State {
    /// Sets the bits of `mask` to `value`.
    pub fn set(&mut self, field: Field, value: u128, mask: u128) {
        if matches!(field, Field::XReg(_) | Field::XxReg(_) | Field::InPort16) {
            for bit in (0..field.width()).filter(|b| mask >> b & 1 != 0) {
                let (field, at) = home(field, bit);
                self.set(field, (value >> bit & 1) << at, 1 << at);
            }
            return;
        }
        let mask = mask & field.full_mask();
        let written = self.0.entry(field).or_default();
        written.mask |= mask;
        written.value = written.value & !mask | value & mask;
        written.copied.retain(|(bit, _, _)| mask >> bit & 1 == 0);
    }

    fn bit(&self, field: Field, bit: u16) -> Bit {
        let (field, bit) = home(field, bit);
        let as_came = Bit::Of(field, bit as u8);
        let Some(written) = self.0.get(&field) else { return as_came };
        if written.mask >> bit & 1 != 0 {
            return Bit::Is(written.value >> bit & 1 != 0);
        }
        let copied = written.copied.iter().find(|(at, _, _)| u16::from(*at) == bit);
        copied.map_or(as_came, |(_, f, b)| Bit::Of(*f, *b))
    }

    /// The bits of a subfield, the lowest first. Only the lowest 128 of longer ones.
    pub fn read(&self, from: Subfield) -> Vec<Bit> {
        (0..from.bits.min(128)).map(|i| self.bit(from.field, (from.offset + i).min(127))).collect()
    }

    /// Writes bits, the lowest first.
    pub fn write(&mut self, to: Subfield, bits: &[Bit]) {
        for (i, bit) in (0..to.bits.min(128)).zip(bits) {
            let (field, at) = home(to.field, (to.offset + i).min(127));
            match *bit {
                Bit::Is(one) => self.set(field, u128::from(one) << at, 1 << at),
                Bit::Of(f, b) => {
                    let written = self.0.entry(field).or_default();
                    written.mask &= !(1 << at);
                    written.value &= !(1 << at);
                    written.copied.retain(|(old, _, _)| u16::from(*old) != at);
                    if (f, u16::from(b)) != (field, at) {
                        written.copied.push((at as u8, f, b));
                        written.copied.sort_unstable();
                    }
                }
            }
        }
    }

    /// Copies bits.
    pub fn copy(&mut self, from: Subfield, to: Subfield) {
        let bits = self.read(from);
        self.write(to, &bits);
    }

    fn only(&self, keep: impl Fn(Field) -> bool) -> State {
        let empty = |w: &Written| w.mask == 0 && w.copied.is_empty();
        State(self.0.iter().filter(|(f, w)| keep(**f) && !empty(w)).map(|(f, w)| (*f, w.clone())).collect())
    }
}

/// One thing done with a packet on its way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// It passes a meter.
    Meter(u32),
    /// It leaves by a port, with these changes.
    Output(u32, State),
    /// It leaves by the port that these bits name.
    OutputBits(Vec<Bit>, State),
    /// It is shown to the node: so many bytes.
    Controller(u16, State),
    /// It goes through the connection tracker.
    Track(Tracking),
    /// It loses one of its hops.
    DecTtl,
    /// Something this crate has no model of: it never equals what is expected.
    Other(String),
}

/// A pass through the connection tracker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tracking {
    /// Remembered beyond this packet.
    pub commit: bool,
    /// Begun anew.
    pub force: bool,
    /// The zone.
    pub zone: Vec<Bit>,
    /// Where the tracked copy continues.
    pub table: Option<u8>,
    /// A helper's port.
    pub helper: u16,
    /// Translations, as text.
    pub translation: Vec<String>,
    /// What is written into the connection's mark and label.
    pub marks: State,
    /// The packet as it goes in.
    pub state: State,
}

/// What a table does to the action set of a packet (OpenFlow 1.3.5, 5.10). Where it ends in a table into which it comes empty,
/// it is carried out there and then, and is part of the steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionSet {
    /// It was emptied before what follows was written. Never where it comes in empty.
    pub cleared: bool,
    /// Fields to be set.
    pub fields: State,
    /// The packet is to lose one of its hops.
    pub hop: bool,
    /// The port to leave by.
    pub output: Option<u32>,
    /// Something this crate has no model of, in the order it was written.
    pub other: Vec<String>,
}

impl ActionSet {
    fn write(&mut self, action: &Action) {
        match action {
            Action::Output { port, .. } if *port != port::CONTROLLER => self.output = Some(*port),
            Action::SetField { field, value, mask: None } => self.fields.set(*field, *value, u128::MAX),
            Action::DecNwTtl => self.hop = true,
            other => self.other.push(format!("{other:?}")),
        }
    }
}

/// What happens to a packet in one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Treatment {
    /// In this order.
    pub steps: Vec<Step>,
    /// Where it goes on; `None`: nowhere.
    pub next: Option<u8>,
    /// What was written meanwhile, as far as anything later reads it.
    pub state: State,
    /// What became of its action set.
    pub set: ActionSet,
    /// It goes nowhere further, and the action set that it came with is carried out, with what was written here.
    pub leaves: bool,
}

/// Fields that exist within the switch only.
fn inner(field: Field) -> bool {
    matches!(field, Field::Metadata | Field::Reg(_) | Field::XReg(_) | Field::XxReg(_) | Field::ConjId)
}

/// The inner fields that later tables look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Live(pub BTreeSet<Field>);

impl Live {
    /// What these rows read, and `always`.
    pub fn of<'a>(rows: impl Iterator<Item = (&'a fseg_openflow::Match, &'a [Instruction])>, always: &[Field]) -> Self {
        let mut live: BTreeSet<Field> = always.iter().copied().collect();
        let mut read = |field: Field| {
            if inner(field) {
                for bit in (0..field.width()).step_by(32) {
                    live.insert(home(field, bit).0);
                }
            }
        };
        for (matches, instructions) in rows {
            matches.iter().for_each(|(f, _)| read(*f));
            for i in instructions {
                if let Instruction::ApplyActions(list) = i {
                    list.iter().for_each(|a| reads(a, &mut read));
                }
            }
        }
        // Moves read the scratch register they wrote themselves just before.
        live.remove(&fseg_pipeline::bits::SCRATCH);
        Self(live)
    }

    /// Takes out what nothing later looks at.
    pub(crate) fn filter(&self, state: &mut State) {
        *state = state.only(|f| self.keeps(f));
    }

    fn keeps(&self, field: Field) -> bool {
        !inner(field) || self.0.contains(&field)
    }
}

fn reads(action: &Action, read: &mut impl FnMut(Field)) {
    match action {
        Action::Move { src, .. } => read(src.field),
        Action::Push(src) | Action::OutputReg { src, .. } => read(src.field),
        Action::Ct(ct) => {
            if let CtZone::Field(f) = ct.zone {
                read(f.field);
            }
            ct.exec.iter().for_each(|a| reads(a, read));
        }
        Action::Clone(list) => list.iter().for_each(|a| reads(a, read)),
        _ => {}
    }
}

/// A packet's bits while instructions are executed.
#[derive(Debug, Default)]
struct Run {
    state: State,
    stack: Vec<Vec<Bit>>,
    steps: Vec<Step>,
}

impl Run {
    fn wire(&self) -> State {
        self.state.only(|f| !inner(f))
    }

    fn act(&mut self, action: &Action, live: &Live) {
        match action {
            Action::Output { port: port::CONTROLLER, max_len } => {
                let state = self.state.only(|f| !inner(f) || f == Field::Metadata);
                self.steps.push(Step::Controller(*max_len, state));
            }
            Action::Output { port, .. } => self.steps.push(Step::Output(*port, self.wire())),
            Action::OutputReg { src, .. } => {
                let bits = self.state.read(*src);
                self.steps.push(Step::OutputBits(bits, self.wire()));
            }
            Action::SetField { field, value, mask } => self.state.set(*field, *value, mask.unwrap_or(u128::MAX)),
            Action::Load { dst, value } => {
                self.state.set(dst.field, u128::from(*value) << dst.offset.min(127), dst.mask());
            }
            Action::Move { src, dst } => self.state.copy(*src, *dst),
            Action::Push(src) => self.stack.push(self.state.read(*src)),
            Action::Pop(dst) => {
                if let Some(bits) = self.stack.pop() {
                    self.state.write(*dst, &bits);
                }
            }
            Action::DecNwTtl => self.steps.push(Step::DecTtl),
            Action::Ct(ct) => {
                let mut marks = self.state.clone();
                let mut translation = Vec::new();
                for inner in &ct.exec {
                    match inner {
                        Action::Nat(nat) => translation.push(translated(nat)),
                        Action::Move { src, dst } => marks.copy(*src, *dst),
                        Action::SetField { field, value, mask } => {
                            marks.set(*field, *value, mask.unwrap_or(u128::MAX));
                        }
                        Action::Load { dst, value } => {
                            marks.set(dst.field, u128::from(*value) << dst.offset.min(127), dst.mask());
                        }
                        other => translation.push(format!("{other:?}")),
                    }
                }
                let zone = match ct.zone {
                    CtZone::Immediate(zone) => (0..16).map(|i| Bit::Is(zone >> i & 1 != 0)).collect(),
                    CtZone::Field(from) => self.state.read(from),
                };
                let goes_on = ct.table.is_some();
                self.steps.push(Step::Track(Tracking {
                    commit: ct.commit,
                    force: ct.force,
                    zone,
                    table: ct.table,
                    helper: ct.alg,
                    translation,
                    marks: marks.only(|f| matches!(f, Field::CtMark | Field::CtLabel)),
                    state: self.state.only(|f| if goes_on { live.keeps(f) } else { !inner(f) }),
                }));
            }
            Action::Note(_) => {}
            other => self.steps.push(Step::Other(format!("{other:?}"))),
        }
    }
}

impl Run {
    /// The action set at the end of the way: hops, fields, then the port (OpenFlow 1.3.5, 5.10).
    fn carry_out(&mut self, set: ActionSet, live: &Live) {
        self.steps.extend(set.other.into_iter().map(Step::Other));
        let Some(port) = set.output else { return };
        if set.hop {
            self.steps.push(Step::DecTtl);
        }
        for (field, written) in set.fields.0 {
            self.state.set(field, written.value, written.mask);
        }
        self.act(&Action::Output { port, max_len: 0 }, live);
    }
}

fn translated(nat: &NatAction) -> String {
    nat.to_string()
}

impl Treatment {
    /// What these instructions do. `empty`: packets come into the table with an empty action set.
    pub fn of(instructions: &[Instruction], live: &Live, empty: bool) -> Self {
        let mut run = Run::default();
        let mut next = None;
        let mut set = ActionSet::default();
        // The order of execution (OpenFlow 1.3.5, 5.9): meter, apply, clear, write, write-metadata, goto.
        for i in instructions {
            if let Instruction::Meter(id) = i {
                run.steps.push(Step::Meter(*id));
            }
        }
        for i in instructions {
            if let Instruction::ApplyActions(list) = i {
                list.iter().for_each(|a| run.act(a, live));
            }
        }
        set.cleared = !empty && instructions.contains(&Instruction::ClearActions);
        for i in instructions {
            match i {
                Instruction::WriteActions(list) => list.iter().for_each(|a| set.write(a)),
                Instruction::WriteMetadata { value, mask } => {
                    run.state.set(Field::Metadata, (*value).into(), (*mask).into());
                }
                Instruction::GotoTable(table) => next = Some(*table),
                Instruction::Meter(_) | Instruction::ApplyActions(_) | Instruction::ClearActions => {}
                other => run.steps.push(Step::Other(format!("{other:?}"))),
            }
        }
        let leaves = next.is_none() && !empty && !set.cleared;
        if next.is_none() && !leaves {
            run.carry_out(std::mem::take(&mut set), live);
        }
        let state = if next.is_some() { run.state.only(|f| live.keeps(f)) } else { State::default() };
        let mut this = Self { steps: run.steps, next, state, set, leaves };
        this.tidy();
        this
    }

    /// Writes the same thing in the same way.
    pub(crate) fn tidy(&mut self) {
        if self.steps.iter().all(|s| matches!(s, Step::Meter(_) | Step::DecTtl)) && self.next.is_none() && !self.leaves
        {
            // Dropped, whatever happened before.
            self.steps.clear();
        }
        // Copies each carry what was written before them: in which order they leave is nobody's concern.
        for copies in self.steps.chunk_by_mut(|a, b| matches!((a, b), (Step::Output(..), Step::Output(..)))) {
            copies.sort_unstable();
        }
    }

    /// Nothing happens: the packet ends here unseen.
    pub fn is_drop(&self) -> bool {
        self.steps.is_empty() && self.next.is_none() && !self.leaves
    }
}

fn field_text(f: &mut fmt::Formatter<'_>, state: &State) -> fmt::Result {
    for (field, w) in &state.0 {
        if w.mask == field.full_mask() {
            write!(f, ", {}={}", field, value_text(*field, w.value))?;
        } else if w.mask != 0 {
            write!(f, ", {}={:#x}/{:#x}", field, w.value, w.mask)?;
        }
        if let Some((bit, from, at)) = w.copied.first() {
            write!(f, ", {field}[{bit}..] from {from}[{at}..]")?;
        }
    }
    Ok(())
}

/// A field's value as a match writes it, without the field's name.
pub fn value_text(field: Field, value: u128) -> String {
    let text = fseg_openflow::Match::new().with(field, value).to_string();
    text.split_once('=').map_or_else(|| format!("{value:#x}"), |(_, v)| v.to_owned())
}

fn table_name(n: u8) -> String {
    Table::from_number(n).map_or_else(|| n.to_string(), |t| t.to_string())
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_drop() {
            return f.write_str("dropped");
        }
        let mut first = true;
        let mut comma = |f: &mut fmt::Formatter<'_>| {
            if std::mem::take(&mut first) { Ok(()) } else { f.write_str("; ") }
        };
        for step in &self.steps {
            comma(f)?;
            match step {
                Step::Meter(id) => write!(f, "meter {id}")?,
                Step::Output(port, state) => {
                    write!(f, "out of port {}", value_text(Field::InPort, (*port).into()))?;
                    field_text(f, state)?;
                }
                Step::OutputBits(bits, state) => {
                    match bits.first() {
                        Some(Bit::Of(field, _)) => write!(f, "out of the port in {field}")?,
                        _ => write!(f, "out of a fixed port")?,
                    }
                    field_text(f, state)?;
                }
                Step::Controller(_, _) => f.write_str("shown to the node")?,
                Step::Track(t) => {
                    f.write_str(if t.commit { "connection remembered" } else { "connection asked for" })?;
                    if !t.translation.is_empty() {
                        f.write_str(", translated")?;
                    }
                    if let Some(table) = t.table {
                        write!(f, ", on to {}", table_name(table))?;
                        field_text(f, &t.state)?;
                    }
                }
                Step::DecTtl => f.write_str("one hop less")?,
                Step::Other(what) => write!(f, "{what}")?,
            }
        }
        if self.set.cleared {
            comma(f)?;
            f.write_str("what was to leave is forgotten")?;
        }
        let set = ActionSet { cleared: false, ..self.set.clone() };
        if set != ActionSet::default() {
            comma(f)?;
            f.write_str("to leave at the end")?;
            if let Some(port) = set.output {
                write!(f, " out of port {}", value_text(Field::InPort, port.into()))?;
            }
            if set.hop {
                f.write_str(", one hop less")?;
            }
            field_text(f, &set.fields)?;
            set.other.iter().try_for_each(|o| write!(f, ", {o}"))?;
        }
        if self.leaves {
            comma(f)?;
            f.write_str("leaves as it was located")?;
        }
        if let Some(next) = self.next {
            comma(f)?;
            write!(f, "on to {}", table_name(next))?;
            field_text(f, &self.state)?;
        }
        Ok(())
    }
}
