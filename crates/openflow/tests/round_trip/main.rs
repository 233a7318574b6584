//! Whatever can be said survives bytes and text; whatever comes in, nothing panics.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod actions;
mod messages;
mod plain;

use actions::{learn, nat};
use fseg_openflow::*;
use messages::message;
use plain::{by_port, plain_action, plain_matches};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn bytes_keep_every_message(message in message()) {
        let bytes = message.encode();
        prop_assert_eq!(Message::decode(&bytes), Ok(message.clone()));
        let mut after = vec![1, 2, 3];
        message.encode_into(&mut after);
        prop_assert_eq!(&after[3..], &bytes[..]);
        prop_assert_eq!(bytes.len(), usize::from(u16::from_be_bytes([bytes[2], bytes[3]])));
        prop_assert!(!message.to_string().is_empty());
    }

    #[test]
    fn a_cut_message_is_refused_at_every_length(message in message()) {
        let bytes = message.encode();
        for len in 0..bytes.len() {
            prop_assert!(Message::decode(&bytes[..len]).is_err(), "at {len}");
            // Also with a header that admits to the shorter length: then anything may come of it but a panic.
            if len >= 8 {
                let mut cut = bytes[..len].to_vec();
                cut[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
                if let Ok(message) = Message::decode(&cut) {
                    let _ = message.to_string();
                }
            }
        }
    }

    #[test]
    fn a_changed_byte_never_panics(message in message(), changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = message.encode();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(message) = Message::decode(&bytes) {
            // What was accepted can be said again and reads the same.
            let again = message.encode();
            prop_assert_eq!(Message::decode(&again).map(|message| message.encode()), Ok(again));
            let _ = message.to_string();
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,80}") {
        let _ = parse_flow(&text);
        let _ = parse_flow(&format!("{text},actions={text}"));
        let _ = parse_flow(&format!("ip,actions=ct({text}),learn({text}),{text}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn text_keeps_matches_and_actions(
        matches in plain_matches().prop_filter("ports", by_port),
        actions in vec(plain_action(), 1..4),
        (cookie, table, priority, idle_timeout) in any::<(u64, u8, u16, u16)>(),
        flags in 0u16..32,
    ) {
        let instructions = vec![Instruction::ApplyActions(actions), Instruction::GotoTable(9)];
        let row = FlowStats { cookie, table, priority, idle_timeout, flags, matches, instructions, ..FlowStats::default() };
        for text in [format!("{row}"), format!("{row:#}")] {
            let flow = parse_flow(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
            prop_assert_eq!(&flow.matches, &row.matches, "{}", text);
            prop_assert_eq!(&flow.instructions, &row.instructions, "{}", text);
            prop_assert_eq!((flow.cookie, flow.table, flow.priority), (cookie, table, priority), "{}", text);
            prop_assert_eq!((flow.idle_timeout, flow.flags), (idle_timeout, flags), "{}", text);
        }
    }

    #[test]
    fn text_keeps_translations_and_learning(nat in nat(), learn in learn()) {
        let ct = Action::Ct(CtAction { commit: true, exec: vec![Action::Nat(nat)], ..CtAction::default() });
        let learn = LearnAction {
            specs: learn
                .specs
                .into_iter()
                // A constant for a whole field is written in the field's own way, which not every constant has.
                .filter(|spec| !matches!((&spec.source, &spec.destination), (LearnSource::Immediate(_), LearnDestination::Match(_))))
                .collect(),
            ..learn
        };
        for action in [ct, Action::Learn(learn)] {
            let text = format!("actions={action}");
            let flow = parse_flow(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
            prop_assert_eq!(flow.instructions, vec![Instruction::ApplyActions(vec![action])], "{}", text);
        }
    }
}
