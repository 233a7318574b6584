//! Matches and instructions as the bytes of the wire, for whoever keeps a hundred thousand of them: a tenth of the memory,
//! and equal questions are equal bytes.

use crate::error::DecodeError;
use crate::instruction::{self, Instruction};
use crate::oxm::Match;
use crate::wire::Reader;

/// Appends the fields of a match: a list of OXM entries in canonical order, without the header and padding of
/// `struct ofp_match` (OpenFlow 1.3.5 section 7.2.3.2).
pub fn pack_match(matches: &Match, out: &mut Vec<u8>) {
    matches.encode_fields(out);
}

/// Reads what [`pack_match`] wrote.
pub fn unpack_match(bytes: &[u8]) -> Result<Match, DecodeError> {
    Match::decode_fields(&mut Reader::new(bytes))
}

/// Appends instructions in the order of their execution (OpenFlow 1.3.5 section 7.2.4).
pub fn pack_instructions(instructions: &[Instruction], out: &mut Vec<u8>) {
    instruction::encode_list(instructions, out);
}

/// Reads what [`pack_instructions`] wrote.
pub fn unpack_instructions(bytes: &[u8]) -> Result<Vec<Instruction>, DecodeError> {
    instruction::decode_list(&mut Reader::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Field};

    #[test]
    fn rows_come_back() {
        let m = Match::new().with(Field::EthType, 0x0800_u16).with(Field::Ipv4Dst, 0x0a00_0001_u32).with_masked(
            Field::Metadata,
            0x10_u64,
            0xff_u64,
        );
        let mut bytes = Vec::new();
        pack_match(&m, &mut bytes);
        assert_eq!(unpack_match(&bytes).unwrap(), m);
        let list = vec![Instruction::ApplyActions(vec![Action::output(3)]), Instruction::GotoTable(4)];
        bytes.clear();
        pack_instructions(&list, &mut bytes);
        assert_eq!(unpack_instructions(&bytes).unwrap(), list);
        assert!(unpack_match(&[1, 2, 3]).is_err() && unpack_instructions(&bytes[..5]).is_err());
    }
}
