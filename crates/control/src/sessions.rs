//! Admission in the world: a grant becomes a session and a name; sessions end.

use fseg_admission::{Grant, SessionClock, SessionEnd};
use fseg_model::{Dpid, EndpointId};
use fseg_openflow::FlowStats;
use fseg_pipeline::{Cookie, Owner, RowKey, Table};

use crate::controller::Controller;
use crate::effect::{Answer, EventKind, Refusal, Ticket};
use crate::link::Counter;

impl Controller {
    /// Makes a grant a session. The rows follow with the next refresh of the endpoint.
    pub(crate) fn admit(&mut self, id: EndpointId, grant: Grant) {
        let Some(known) = self.endpoints.get(id) else { return };
        let (mac, former) = (known.endpoint.mac, known.endpoint.name.clone());
        let name = match self.names.assign(grant.name(), mac, former.as_ref()) {
            Ok(name) => name,
            Err(e) => {
                self.event(EventKind::Refused, e.to_string(), |e| e.mac = Some(mac.to_string()));
                return;
            }
        };
        let session = grant.session(self.now.wall);
        let mono = self.now.mono;
        let clock = SessionClock::begin(&grant, &self.config.admission, mono);
        let subject = session.identity.subject.clone();
        let method = session.method;
        let place = self.endpoints.change(id, |k| {
            k.endpoint.name = Some(name.clone());
            k.endpoint.session = Some(session);
            k.clock = Some(clock);
            k.active = mono;
            k.endpoint.binding.as_ref().map(|b| b.location)
        });
        self.save_endpoint(id);
        if let Some(change) = self.book.mark_admitted(mac, true) {
            self.lease_changed(change);
        }
        let place = place.flatten().and_then(|l| self.config.place(l));
        let at = place.as_ref().map(|p| format!(" at {p}")).unwrap_or_default();
        let who = name.to_string();
        self.audit(
            &who,
            "admitted",
            serde_json::json!({ "mac": mac.to_string(), "method": method.to_string(), "subject": subject.to_string() }),
        );
        self.event(EventKind::Admitted, format!("{who} was admitted by {method} as {subject}{at}"), |e| {
            e.endpoint = Some(who.clone());
            e.mac = Some(mac.to_string());
            e.place = place;
        });
    }

    /// Ends a session, if there is one. The endpoint stays where it is, as a stranger.
    pub(crate) fn end_session(&mut self, id: EndpointId, why: &str) -> bool {
        let label = self.label(id);
        let ended = self.endpoints.change(id, |k| {
            k.clock = None;
            let session = k.endpoint.session.take();
            if session.is_some() {
                // A stranger is shown without a name. The name stays this device's until it is forgotten.
                k.endpoint.name = None;
            }
            session
        });
        let Some(Some(session)) = ended else { return false };
        self.save_endpoint(id);
        let mac = self.endpoints.get(id).map(|k| k.endpoint.mac);
        if let Some(change) = mac.and_then(|mac| self.book.mark_admitted(mac, false)) {
            self.lease_changed(change);
        }
        self.audit(
            &label,
            "session.ended",
            serde_json::json!({ "subject": session.identity.subject.to_string(), "reason": why }),
        );
        self.event(EventKind::Ended, format!("the session of {label} ended: {why}"), |e| {
            e.endpoint = Some(label.clone())
        });
        self.refresh_endpoint(id);
        true
    }

    pub(crate) fn end_by_operator(&mut self, ticket: Ticket, who: &str, id: EndpointId) {
        let label = self.label(id);
        if self.end_session(id, &format!("{who} ended it")) {
            self.in_force.push((ticket, Answer::Done(format!("the session of {label} is ended"))));
        } else {
            self.answer(ticket, Answer::Refused(Refusal::NotFound(format!("{label} has no session"))));
        }
    }

    /// Ends those of these sessions whose time is over, that were idle too long, or whose device has been away too long.
    pub(crate) fn expire_sessions(&mut self, due: &[EndpointId]) {
        let mono = self.now.mono;
        let over = due.iter().filter_map(|id| {
            let why = match self.endpoints.get(*id)?.clock.as_ref()?.end(mono)? {
                SessionEnd::Expired => "its time was over",
                SessionEnd::Idle => "it was idle for too long",
                SessionEnd::Away => "it was away for too long",
            };
            Some((*id, why))
        });
        let over: Vec<_> = over.collect();
        for (id, why) in over {
            self.end_session(id, why);
        }
    }

    /// Counters from a switch: who is active, which permit is used, who forges.
    pub(crate) fn counted(&mut self, dpid: Dpid, rows: &[FlowStats]) {
        let (wall, mono) = (self.now.wall, self.now.mono);
        for stat in rows {
            let (Some(table), Some(cookie)) = (Table::from_number(stat.table), Cookie::from_u64(stat.cookie)) else {
                continue;
            };
            let key = RowKey { table, priority: stat.priority, matches: stat.matches.clone() };
            let now = Counter { packets: stat.packet_count, bytes: stat.byte_count };
            let Some(link) = self.links.get_mut(&dpid) else { return };
            let before = link.counters.insert(key.clone(), now).unwrap_or_default();
            // A row that was written again counts from zero.
            let since = if now.packets >= before.packets { before } else { Counter::default() };
            let packets = now.packets - since.packets;
            if let (Owner::Endpoint(id), Table::Guard) = (cookie.owner, table) {
                self.moves.told(id, dpid);
            }
            if packets == 0 {
                continue;
            }
            match cookie.owner {
                Owner::Permit(n) => {
                    let usage = self.usage.entry(n).or_default();
                    usage.packets += packets;
                    usage.bytes += now.bytes.saturating_sub(since.bytes);
                    usage.last = Some(wall);
                    self.used.insert(n);
                    self.talking.insert((dpid, key), mono);
                }
                Owner::Endpoint(id) if table == Table::Guard => {
                    let here = |k: &crate::world::Known| {
                        k.endpoint.binding.as_ref().is_some_and(|b| b.location.switch == dpid)
                    };
                    if let Some(k) = self.endpoints.touch(id).filter(|k| here(k)) {
                        k.active = mono;
                        if let Some(clock) = &mut k.clock {
                            clock.seen(mono);
                        }
                        k.counted += packets;
                    }
                }
                Owner::Learned(address) => {
                    let bytes = now.bytes.saturating_sub(since.bytes);
                    self.learned.counted(address.into(), dpid, packets, bytes, mono);
                }
                Owner::Spoof(id) => {
                    if let Some(k) = self.endpoints.touch(id) {
                        k.forged += packets;
                    }
                }
                _ => {}
            }
        }
    }
}
