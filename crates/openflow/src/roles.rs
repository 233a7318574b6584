//! Which of several controllers may change a switch: the master's election (OpenFlow 1.3.5 sections 6.3.4 and 7.3.9).
//!
//! Whoever elects the master gives every election a higher number, the generation. A switch remembers the highest it has
//! seen and refuses older ones as stale, so that a master of the past cannot take over again. [`RoleClaim`] asks for a
//! role until the switch has said yes or no; it reads no clock.

use crate::message::{Body, ErrorMessage, Message};
use crate::switch::{Role, RoleMessage};

/// `OFPET_ROLE_REQUEST_FAILED`.
const ROLE_REQUEST_FAILED: u16 = 11;
/// `OFPRRFC_STALE`.
const STALE: u16 = 0;

/// Whether `generation` is older than `newest`, with a difference that wraps around (section 6.3.4).
pub const fn is_stale(generation: u64, newest: u64) -> bool {
    (generation.wrapping_sub(newest) as i64) < 0
}

/// One controller's wish for a role at one switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleClaim {
    role: Role,
    generation: u64,
    asked: Option<u32>,
    held: Option<Role>,
}

/// What a message from the switch means for the claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleOutcome {
    /// The switch gave the role that was asked for.
    Granted(Role),
    /// A newer election has happened: this controller must not write, and must learn of the election before it asks again.
    Stale,
    /// The switch refused for another reason, such as that it knows no roles.
    Refused(ErrorMessage),
    /// The switch gave the role to somebody else and this controller another one, unasked.
    Changed(Role),
    /// The message is not about this claim.
    Other,
}

impl RoleClaim {
    /// A claim of `role` by the election `generation`.
    pub const fn new(role: Role, generation: u64) -> Self {
        RoleClaim { role, generation, asked: None, held: None }
    }

    /// The request to send, under the transaction id `xid`.
    pub fn request(&mut self, xid: u32) -> Message {
        self.asked = Some(xid);
        Message { xid, body: Body::RoleRequest(RoleMessage { role: self.role, generation_id: self.generation }) }
    }

    /// The role the switch last said this controller has.
    pub const fn held(&self) -> Option<Role> {
        self.held
    }

    /// Whether changes may be sent: as master, or as one of equals.
    pub const fn may_write(&self) -> bool {
        matches!(self.held, Some(Role::Master | Role::Equal))
    }

    /// Takes in a message from the switch.
    pub fn handle(&mut self, message: &Message) -> RoleOutcome {
        let ours = self.asked == Some(message.xid);
        match &message.body {
            Body::RoleReply(reply) if ours && (reply.role == self.role || self.role == Role::NoChange) => {
                (self.asked, self.held) = (None, Some(reply.role));
                RoleOutcome::Granted(reply.role)
            }
            Body::Error(error) if ours => {
                (self.asked, self.held) = (None, None);
                let stale = (error.type_, error.code) == (ROLE_REQUEST_FAILED, STALE);
                if stale { RoleOutcome::Stale } else { RoleOutcome::Refused(error.clone()) }
            }
            Body::RoleStatus(status) => {
                self.held = Some(status.role);
                RoleOutcome::Changed(status.role)
            }
            _ => RoleOutcome::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switch::RoleStatus;

    fn reply(xid: u32, role: Role) -> Message {
        Message { xid, body: Body::RoleReply(RoleMessage { role, generation_id: 7 }) }
    }

    #[test]
    fn the_reply_to_our_request_grants() {
        let mut claim = RoleClaim::new(Role::Master, 7);
        assert!(!claim.may_write(), "nothing is held before the switch has said so");
        let request = claim.request(5);
        assert_eq!(request.to_string(), "OFPT_ROLE_REQUEST (OF1.3) (xid=0x5): role=primary generation_id=7");
        assert_eq!(claim.handle(&reply(4, Role::Master)), RoleOutcome::Other);
        assert_eq!(claim.handle(&reply(5, Role::Slave)), RoleOutcome::Other);
        assert_eq!(claim.handle(&reply(5, Role::Master)), RoleOutcome::Granted(Role::Master));
        assert!(claim.may_write());
    }

    #[test]
    fn a_stale_election_and_a_lost_one_take_the_right_to_write() {
        let mut claim = RoleClaim::new(Role::Master, 7);
        claim.request(5);
        claim.handle(&reply(5, Role::Master));
        let status = RoleStatus { role: Role::Slave, reason: 0, generation_id: 8 };
        let told = Message { xid: 0, body: Body::RoleStatus(status) };
        assert_eq!(claim.handle(&told), RoleOutcome::Changed(Role::Slave));
        assert!(!claim.may_write());
        claim.request(6);
        let error = ErrorMessage { type_: 11, code: 0, data: Vec::new() };
        assert_eq!(claim.handle(&Message { xid: 6, body: Body::Error(error) }), RoleOutcome::Stale);
        assert!(!claim.may_write());
        claim.request(7);
        let error = ErrorMessage { type_: 11, code: 1, data: Vec::new() };
        let refused = claim.handle(&Message { xid: 7, body: Body::Error(error.clone()) });
        assert_eq!(refused, RoleOutcome::Refused(error));
    }

    #[test]
    fn generations_wrap_around() {
        assert!(is_stale(6, 7) && !is_stale(7, 7) && !is_stale(8, 7));
        assert!(is_stale(u64::MAX, 0) && !is_stale(0, u64::MAX));
    }
}
