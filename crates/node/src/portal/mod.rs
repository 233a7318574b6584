//! The captive portal: where strangers sign in.
//!
//! Plain HTTP on the router's address. A stranger's connection to any web address ends up here, with the stranger's own
//! address as TCP peer and any `Host`; whatever is not the portal's own name is answered with a redirect to it, which is
//! what the captive-portal checks of Android, iOS, Windows and Firefox look for. RFC 8908 (the captive-portal API) is
//! served beside it. Pages need no script and nothing from outside.
//!
//! What protects the form: a token bound to the client's address and this process (so no other site, and no other
//! device, can post it), a same-origin check, a strict content policy, bounds on sizes, times and connections.

mod form;
mod host;
mod language;
mod page;
mod routes;
mod service;

#[cfg(test)]
mod tests;

pub use routes::{ClientAddress, PortalConfig, router, serve};
pub use service::{Admitted, LoginError, PortalService, PortalState};
