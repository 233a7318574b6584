//! The portal's side of admission.

use std::net::{IpAddr, Ipv4Addr};

use fseg_admission::{Attempt, LoginStart};
use fseg_model::{Method, Name};

use crate::controller::{Controller, Now};
use crate::effect::{Answer, EventKind, Refusal, Ticket};

impl Controller {
    /// Somebody at this address typed an account and a password: which hash to check the password against, on a worker
    /// thread, before [`crate::Input::LoginFinished`]. `None` when nobody is known at that address.
    pub fn login_start(&mut self, address: Ipv4Addr, account: &str, now: Now) -> Option<LoginStart> {
        self.now = now;
        let known = self.endpoints.by_v4(address)?;
        let mac = known.endpoint.mac;
        let place = self.config.place(known.endpoint.binding.as_ref()?.location)?;
        let start = self.admission.login_start(account, mac, &place, now.mono);
        let why = match &start {
            LoginStart::Check { .. } => return Some(start),
            LoginStart::Locked { retry_after } => {
                format!("it is locked for another {} s", retry_after.as_secs().max(1))
            }
            LoginStart::Busy => "too many logins are being checked at this moment".to_owned(),
        };
        // Said once in a while for each device, whatever accounts it tries: whoever guesses on must be seen, and must not
        // fill the log.
        let typed: String = account.trim().chars().take(Name::MAX).collect();
        if self.denied.first_seen((mac, "locked"), now.mono) {
            let label = self.label_of_address(IpAddr::V4(address));
            let detail = serde_json::json!({ "account": typed, "reason": why });
            self.audit(&label, "login.refused", detail);
            self.event(EventKind::Refused, format!("login as {typed} from {label} at {place} refused: {why}"), |e| {
                e.mac = Some(mac.to_string());
                e.place = Some(place);
            });
        }
        Some(start)
    }

    pub(crate) fn login_finished(&mut self, ticket: Ticket, address: Ipv4Addr, attempt: Attempt, verified: bool) {
        let (typed, exists, mac) = (attempt.account().to_owned(), attempt.is_known(), attempt.mac());
        let result = self.admission.login_finish(attempt, verified, self.now.mono);
        // An address may have changed hands while the password was checked; the login is the device's that typed it.
        let id = self.endpoints.by_address(IpAddr::V4(address));
        let id = id.filter(|id| self.endpoints.get(*id).is_some_and(|k| k.endpoint.mac == mac));
        match (result, id) {
            (Ok(_), None) => {
                let gone = "the device left while the password was checked".to_owned();
                self.answer(ticket, Answer::Refused(Refusal::NotFound(gone)));
            }
            (Ok(grant), Some(id)) => {
                self.admit(id, grant);
                self.refresh_endpoint(id);
                let Some(e) = self.endpoints.get(id).map(|k| &k.endpoint) else { return };
                let (Some(name), Some(session)) = (&e.name, &e.session) else {
                    let full = "no name is left for this account".to_owned();
                    return self.answer(ticket, Answer::Refused(Refusal::Conflict(full)));
                };
                let answer = Answer::LoggedIn { name: name.clone(), until: session.until };
                self.in_force.push((ticket, answer));
            }
            (Err(refused), _) => {
                let at = id
                    .and_then(|id| self.endpoints.get(id))
                    .and_then(|k| k.endpoint.binding.as_ref())
                    .and_then(|b| self.config.place(b.location));
                let label = self.label_of_address(IpAddr::V4(address));
                let unknown = if exists { "" } else { " (no such account)" };
                let text = format!("login as {typed} from {label} refused: {refused}{unknown}");
                if self.denied.first_seen(text.clone(), self.now.mono) {
                    let detail =
                        serde_json::json!({ "account": typed, "exists": exists, "reason": refused.to_string() });
                    self.audit(&label, "login.refused", detail);
                    self.event(EventKind::Refused, text, |e| e.place = at);
                }
                self.answer(ticket, Answer::LoginRefused(refused));
            }
        }
    }

    pub(crate) fn logout(&mut self, ticket: Ticket, address: Ipv4Addr) {
        let id = self.endpoints.by_address(IpAddr::V4(address));
        let portal = id
            .and_then(|id| self.endpoints.get(id))
            .and_then(|k| k.endpoint.session.as_ref())
            .is_some_and(|s| s.method == Method::Portal);
        match id.filter(|_| portal) {
            Some(id) => {
                self.end_session(id, "logged out");
                self.in_force.push((ticket, Answer::Done("logged out".into())));
            }
            None => self.answer(ticket, Answer::Refused(Refusal::NotFound("nobody is logged in here".into()))),
        }
    }
}
