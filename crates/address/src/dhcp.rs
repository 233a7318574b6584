//! DHCP's conversation, message by message (RFC 2131, 4.3).

use std::net::Ipv4Addr;

use dhcproto::v4::MessageType;
use fseg_model::{Mac, Mono, Wall};

use crate::answer::{DhcpAnswer, DhcpContext, DhcpError, DhcpEvent, DhcpReply, NakReason};
use crate::book::declined;
use crate::places::PlaceId;
use crate::reply::{Say, reply, seconds_of};
use crate::request::Request;
use crate::table::{Phase, Record, Rest};
use crate::{AddressBook, DECLINE_REST, LeaseChange, MAX_OFFERS, MAX_RESTING_PER_PLACE, OFFER_HOLD};

/// One message with all that is known about it.
struct Turn<'a> {
    ctx: &'a DhcpContext<'a>,
    request: &'a Request,
    place: PlaceId,
    now: Mono,
    wall: Wall,
    store: Vec<LeaseChange>,
}

/// What a DHCPREQUEST is about (RFC 2131, 4.3.2, table 4).
///
/// RENEWING and REBINDING are one case here: they differ in being unicast and broadcast, which matters to a client that
/// has lost its server, but not to a server that may extend every lease of its network.
enum Asking {
    /// SELECTING: the client answers an offer of this server.
    Selecting { server: Ipv4Addr, wanted: Ipv4Addr },
    /// INIT-REBOOT: the client wants its address back.
    Rebooting(Ipv4Addr),
    /// RENEWING or REBINDING: the client uses the address and wants to go on.
    Extending(Ipv4Addr),
}

impl Asking {
    fn of(request: &Request) -> Result<Self, DhcpError> {
        match (request.server, request.requested, request.ciaddr()) {
            // Some clients put the address into ciaddr here, which table 4 forbids; it is clear what they mean.
            (Some(server), Some(wanted), _) | (Some(server), None, Some(wanted)) => {
                Ok(Self::Selecting { server, wanted })
            }
            (Some(_), None, None) => Err(missing("REQUEST", "a requested address (option 50)")),
            (None, _, Some(address)) => Ok(Self::Extending(address)),
            (None, Some(wanted), None) => Ok(Self::Rebooting(wanted)),
            (None, None, None) => Err(missing("REQUEST", "any address (option 50 or ciaddr)")),
        }
    }
}

fn missing(kind: &'static str, what: &'static str) -> DhcpError {
    DhcpError::Missing { kind, what }
}

impl AddressBook {
    /// Handles the payload of a UDP datagram to port 67. `now` and `wall` are this moment on both clocks.
    ///
    /// The caller commits the answer's `store` durably *before* it sends the reply, and commits everything this book
    /// hands out in the order it was handed out.
    pub fn handle_dhcp(&mut self, ctx: &DhcpContext<'_>, message: &[u8], now: Mono, wall: Wall) -> DhcpAnswer {
        let request = match Request::parse(message).and_then(|r| check_sender(ctx, &r).map(|()| r)) {
            Ok(request) => request,
            Err(e) => return DhcpAnswer::Refused(e),
        };
        let place = self.table.places.id(ctx.place);
        // What waits to be stored comes first: committed later, it could undo what this message is about to store.
        let store = std::mem::take(&mut self.pending);
        let mut turn = Turn { ctx, request: &request, place, now, wall, store };
        let answer = match request.kind {
            MessageType::Discover => self.discover(&mut turn),
            MessageType::Request => self.request(&mut turn),
            MessageType::Decline => self.decline(&mut turn),
            MessageType::Release => self.release(&mut turn),
            MessageType::Inform => self.inform(&mut turn),
            other => Err(DhcpError::UnexpectedKind(other.into())),
        };
        match answer {
            Ok((Some(reply), event)) => DhcpAnswer::Reply { reply, store: turn.store, event },
            Ok((None, event)) => DhcpAnswer::Silent { store: turn.store, event },
            Err(e) => {
                // A refusal stores nothing; what has changed before it waits on.
                self.pending = turn.store;
                DhcpAnswer::Refused(e)
            }
        }
    }

    fn say(&self, turn: &Turn<'_>, say: Say) -> Result<Option<DhcpReply>, DhcpError> {
        reply(turn.request, say, &self.config, self.table.space.network(), turn.ctx.admitted).map(Some)
    }

    fn discover(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let mac = turn.ctx.mac;
        self.check_limits(turn)?;
        let address = self.choose(mac, turn.request.requested, &mut turn.store)?;
        let held_until = turn.now.plus(OFFER_HOLD);
        match self.table.get(mac) {
            None => self.table.insert(mac, self.new_record(turn, address, Phase::Offered(held_until))),
            Some(_) => {
                self.table.change(mac, |r| {
                    // A client that begins anew while its lease runs keeps the lease as it is until it says otherwise.
                    if !matches!(r.phase, Phase::Bound(_)) {
                        r.phase = Phase::Offered(held_until);
                        (r.place, r.admitted) = (Some(turn.place), turn.ctx.admitted);
                    }
                });
            }
        }
        let time = self.config.lease_time(turn.ctx.admitted);
        Ok((self.say(turn, Say::Offer(address, time))?, DhcpEvent::Offered { mac, address }))
    }

    fn request(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let mac = turn.ctx.mac;
        let asking = Asking::of(turn.request)?;
        let wanted = match asking {
            Asking::Selecting { server, .. } if server != self.config.server_id => {
                // It took another server's offer, so ours is free again.
                if matches!(self.table.get(mac).map(|r| r.phase), Some(Phase::Offered(_))) {
                    self.end(mac, turn.wall, &mut turn.store);
                }
                return Ok((None, DhcpEvent::OtherServer { mac, server }));
            }
            Asking::Selecting { wanted, .. } | Asking::Rebooting(wanted) | Asking::Extending(wanted) => wanted,
        };
        let refusal = self.why_not(mac, wanted);
        // RFC 2131, 4.3.2: silence towards clients another server may know, but for those from another network.
        let known = self.table.get(mac).is_some() || self.table.space.reserved_for(mac).is_some();
        let answers = known || self.config.authoritative || matches!(asking, Asking::Selecting { .. });
        if !answers && refusal != Some(NakReason::WrongNetwork) {
            return Ok((None, DhcpEvent::NotKnown { mac, wanted }));
        }
        if let Some(reason) = refusal {
            let nak = self.say(turn, Say::Nak(reason.to_string()))?;
            return Ok((nak, DhcpEvent::Nak { mac, wanted, reason }));
        }
        self.check_limits(turn)?;
        self.bind(turn, wanted);
        let (address, hostname) = (wanted, turn.request.hostname.clone());
        let event = match asking {
            Asking::Extending(_) => DhcpEvent::Renewed { mac, address, hostname },
            Asking::Selecting { .. } | Asking::Rebooting(_) => DhcpEvent::Bound { mac, address, hostname },
        };
        let time = self.config.lease_time(turn.ctx.admitted);
        Ok((self.say(turn, Say::Lease(wanted, time))?, event))
    }

    fn decline(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let mac = turn.ctx.mac;
        let address = turn.request.requested.ok_or(missing("DECLINE", "the declined address (option 50)"))?;
        if let Some(server) = self.other_server(turn) {
            return Ok((None, DhcpEvent::OtherServer { mac, server }));
        }
        self.check_holder(turn, address)?;
        let fits = self.table.places.resting(turn.place) < MAX_RESTING_PER_PLACE;
        let rests = fits && self.table.space.is_dynamic(address);
        let stored = self.table.remove(mac).is_some_and(|r| r.stored);
        if rests {
            let rest = Rest { until: turn.now.plus(DECLINE_REST), mac, place: Some(turn.place) };
            self.table.rest(address, rest);
            let until = turn.wall.plus(DECLINE_REST);
            let lease = declined(mac, address, Some(turn.ctx.place.clone()), turn.wall, until);
            turn.store.push(LeaseChange::Put(lease));
        } else if stored {
            turn.store.push(LeaseChange::Delete(mac));
        }
        Ok((None, DhcpEvent::Declined { mac, address, rests }))
    }

    fn release(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let mac = turn.ctx.mac;
        let address = turn.request.ciaddr().ok_or(missing("RELEASE", "the address (ciaddr)"))?;
        if let Some(server) = self.other_server(turn) {
            return Ok((None, DhcpEvent::OtherServer { mac, server }));
        }
        self.check_holder(turn, address)?;
        self.end(mac, turn.wall, &mut turn.store);
        Ok((None, DhcpEvent::Released { mac, address }))
    }

    fn inform(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let mac = turn.ctx.mac;
        let address = turn.request.ciaddr().ok_or(missing("INFORM", "the client's address (ciaddr)"))?;
        Ok((self.say(turn, Say::Parameters)?, DhcpEvent::Informed { mac, address }))
    }

    /// Strangers are limited per place, offers altogether. Who holds something already is not refused.
    fn check_limits(&self, turn: &Turn<'_>) -> Result<(), DhcpError> {
        let record = self.table.get(turn.ctx.mac);
        let max = self.config.max_strangers_per_place;
        let counted = record.is_some_and(|r| r.is_stranger_at(turn.place));
        if !turn.ctx.admitted && !counted && self.table.places.strangers(turn.place) >= max {
            return Err(DhcpError::TooManyStrangers { place: turn.ctx.place.clone(), max });
        }
        if !record.is_some_and(|r| r.phase.is_live()) && self.table.offers() >= MAX_OFFERS {
            return Err(DhcpError::TooManyOffers);
        }
        Ok(())
    }

    /// The address to offer (RFC 2131, 4.3.1): its reservation; the one it has or had; the one it asks for, if that is
    /// nobody's; one never used; the one longest free.
    fn choose(
        &mut self,
        mac: Mac,
        wanted: Option<Ipv4Addr>,
        store: &mut Vec<LeaseChange>,
    ) -> Result<Ipv4Addr, DhcpError> {
        if let Some(record) = self.table.get(mac) {
            return Ok(record.address);
        }
        if let Some(address) = self.table.space.reserved_for(mac) {
            return Ok(address);
        }
        let asked = wanted.filter(|&a| self.table.space.may_have(mac, a) && self.table.is_nobodys(a));
        if let Some(address) = asked.or_else(|| self.table.take_fresh()) {
            return Ok(address);
        }
        let (address, former) = self.table.oldest().ok_or(DhcpError::Exhausted)?;
        if let Some(former) = former {
            self.forget(former, store);
        }
        Ok(address)
    }

    /// Why this client may not have this address; `None` when it may.
    fn why_not(&self, mac: Mac, wanted: Ipv4Addr) -> Option<NakReason> {
        if let Some(record) = self.table.get(mac) {
            return (record.address != wanted).then_some(NakReason::HasAnother(record.address));
        }
        if !self.table.space.network().contains(&wanted) {
            return Some(NakReason::WrongNetwork);
        }
        let free = self.table.space.may_have(mac, wanted) && self.table.is_nobodys(wanted);
        (!free).then_some(NakReason::NotAvailable)
    }

    fn bind(&mut self, turn: &mut Turn<'_>, address: Ipv4Addr) {
        let mac = turn.ctx.mac;
        let time = self.config.lease_time(turn.ctx.admitted);
        let deadline = turn.now.plus(time);
        if self.table.get(mac).is_none() {
            self.table.insert(mac, self.new_record(turn, address, Phase::Bound(deadline)));
        }
        let Turn { ctx, request, place, wall, .. } = *turn;
        self.table.change(mac, |r| {
            if !matches!(r.phase, Phase::Bound(_)) {
                r.since = wall;
            }
            r.phase = Phase::Bound(deadline);
            r.until = wall.plus(time);
            r.seconds = seconds_of(time);
            (r.place, r.admitted, r.stored) = (Some(place), ctx.admitted, true);
            // A client that leaves these out of a renewal has not lost them.
            if let Some(id) = &request.client_id {
                r.client_id = Some(id.clone().into_boxed_slice());
            }
            if let Some(name) = &request.hostname {
                r.hostname = Some(name.clone().into_boxed_str());
            }
        });
        turn.store.extend(self.lease_of(mac).map(LeaseChange::Put));
    }

    fn new_record(&self, turn: &Turn<'_>, address: Ipv4Addr, phase: Phase) -> Record {
        Record {
            address,
            phase,
            place: Some(turn.place),
            admitted: turn.ctx.admitted,
            stored: false,
            since: turn.wall,
            until: turn.wall,
            seconds: 0,
            client_id: None,
            hostname: None,
        }
    }

    fn other_server(&self, turn: &Turn<'_>) -> Option<Ipv4Addr> {
        turn.request.server.filter(|s| *s != self.config.server_id)
    }

    /// Only the holder gives an address up, and only from where it got it: a frame from another port may be forged.
    fn check_holder(&self, turn: &Turn<'_>, address: Ipv4Addr) -> Result<(), DhcpError> {
        let mac = turn.ctx.mac;
        let holds = |r: &Record| r.address == address && r.phase.is_live() && r.place.is_none_or(|p| p == turn.place);
        if self.table.get(mac).is_some_and(holds) {
            Ok(())
        } else {
            Err(DhcpError::NotHolder { mac, place: turn.ctx.place.clone(), address })
        }
    }
}

/// A reply, if there is one, and what happened.
type Outcome = Result<(Option<DhcpReply>, DhcpEvent), DhcpError>;

fn check_sender(ctx: &DhcpContext<'_>, request: &Request) -> Result<(), DhcpError> {
    if ctx.mac.is_unusable_source() {
        return Err(DhcpError::BadSource(ctx.mac));
    }
    if request.mac != ctx.mac {
        return Err(DhcpError::Spoofed { sender: ctx.mac, claimed: request.mac });
    }
    let relay = request.header.giaddr();
    if !relay.is_unspecified() {
        return Err(DhcpError::Relayed(relay));
    }
    Ok(())
}
