//! The space that packets live in: which bit of which field is looked at in which order.
//!
//! A *level* is a field's rank and a bit of it, the most significant first. Diagrams ask for bits in the order of their
//! levels. The order decides how large diagrams become: what tells rows apart comes first.

use fseg_openflow::{Field, Match};

/// A field's position in the order.
pub type Rank = u32;
/// A field's rank (times 128) and a bit of it, counted from the most significant.
pub type Level = u32;

/// The fields in the order diagrams ask for them; all others follow.
const FIRST: [Field; 26] = [
    Field::InPort,
    Field::Metadata,
    Field::EthSrc,
    Field::EthDst,
    Field::VlanVid,
    Field::EthType,
    Field::IpProto,
    Field::ArpOp,
    Field::ArpSha,
    Field::ArpSpa,
    Field::ArpTpa,
    Field::Ipv4Src,
    Field::Ipv4Dst,
    Field::IpFrag,
    Field::CtState,
    Field::TcpSrc,
    Field::TcpDst,
    Field::UdpSrc,
    Field::UdpDst,
    Field::Icmpv4Type,
    Field::Reg(6),
    Field::Reg(5),
    Field::Reg(3),
    Field::Reg(2),
    Field::Reg(1),
    Field::Reg(0),
];
const OTHERS: Rank = 64;
const NUMBERED: Rank = 256;
const UNKNOWN: Rank = 0x1_0000;

/// A field's rank.
pub fn rank(field: Field) -> Rank {
    if let Some(at) = FIRST.iter().position(|f| *f == field) {
        return at as Rank;
    }
    match field {
        Field::Reg(n) => NUMBERED + Rank::from(n),
        Field::XReg(n) => NUMBERED + 0x20 + Rank::from(n),
        Field::XxReg(n) => NUMBERED + 0x40 + Rank::from(n),
        Field::TunMetadata(n) => NUMBERED + 0x80 + Rank::from(n),
        Field::Other { class, field, .. } => UNKNOWN + (Rank::from(class) << 7) + Rank::from(field & 0x7f),
        named => OTHERS + Field::NAMED.iter().position(|f| *f == named).unwrap_or(0) as Rank,
    }
}

/// The field of a rank; `None` for a rank that no named field has.
pub fn field(rank: Rank) -> Option<Field> {
    match rank {
        r if (r as usize) < FIRST.len() => FIRST.get(r as usize).copied(),
        r if r >= UNKNOWN => None,
        r if r >= NUMBERED => {
            let n = (r - NUMBERED) as u8;
            Some(match n {
                0..0x20 => Field::Reg(n),
                0x20..0x40 => Field::XReg(n - 0x20),
                0x40..0x80 => Field::XxReg(n - 0x40),
                _ => Field::TunMetadata(n - 0x80),
            })
        }
        r => Field::NAMED.get(r.checked_sub(OTHERS)? as usize).copied(),
    }
}

/// What a rule demands of one field, moved to the upper end of the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Demand {
    /// The field's rank.
    pub rank: Rank,
    /// The field itself.
    pub field: Field,
    /// The bits, left-justified.
    pub value: u128,
    /// Which bits count, left-justified.
    pub mask: u128,
}

impl Demand {
    /// `value` in the bits of `mask`, both right-justified.
    pub fn new(field: Field, value: u128, mask: u128) -> Self {
        let shift = 128 - u32::from(field.width().clamp(1, 128));
        let mask = mask & field.full_mask();
        Self { rank: rank(field), field, value: (value & mask) << shift, mask: mask << shift }
    }

    /// Whether all bits of the field count.
    pub fn is_exact(&self) -> bool {
        self.mask == full(self.field)
    }

    /// The value, right-justified.
    pub fn plain(&self) -> u128 {
        self.value >> (128 - u32::from(self.field.width().clamp(1, 128)))
    }
}

/// All bits of a field, left-justified.
pub fn full(field: Field) -> u128 {
    field.full_mask() << (128 - u32::from(field.width().clamp(1, 128)))
}

/// What a match demands, in the order of ranks.
pub fn demands(matches: &Match) -> Vec<Demand> {
    let mut out: Vec<Demand> =
        matches.iter().map(|(f, v)| Demand::new(*f, v.value, v.mask.unwrap_or(u128::MAX))).collect();
    out.sort_unstable_by_key(|d| d.rank);
    out
}

/// The level of the first bit of a field.
pub fn first_level(field: Field) -> Level {
    rank(field) << 7
}

/// One bit of a packet, as a level stands for it: the field's rank and the bit from the most significant.
pub fn at(level: Level) -> (Rank, u32) {
    (level >> 7, level & 0x7f)
}
