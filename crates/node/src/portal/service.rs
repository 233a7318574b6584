//! What the portal needs of the node behind it.

use std::net::IpAddr;
use std::time::Duration;

use fseg_api::Secret;
use fseg_model::Mac;
use futures::future::BoxFuture;

/// An admitted endpoint, as its own user may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The endpoint's name.
    pub name: String,
    /// The account that was used; `None` when the device or its place was enough.
    pub account: Option<String>,
    /// How long the session still lasts; `None` for no limit.
    pub remaining: Option<Duration>,
}

/// Who is behind an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortalState {
    /// No endpoint of this network has this address.
    Unknown,
    /// An endpoint that is not admitted.
    Stranger {
        /// Its MAC address, shown so that a helpdesk can ask for it.
        mac: Mac,
    },
    /// An endpoint that is.
    Admitted(Admitted),
}

/// Why somebody could not sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginError {
    /// Account or password is wrong; which of them is not told.
    Wrong {
        /// How many more wrong attempts are allowed before the lock.
        left: u32,
    },
    /// Too many wrong attempts.
    Locked {
        /// When it may be tried again.
        retry_after: Duration,
    },
    /// The password is right and the account is disabled.
    Disabled,
    /// The address belongs to no endpoint that could be admitted where it is.
    NotHere,
    /// It cannot be decided at the moment.
    Unavailable,
}

/// The node as the portal sees it. Addresses are those of the TCP peer: the stranger's own.
pub trait PortalService: Send + Sync + 'static {
    /// Who is behind this address.
    fn whoami(&self, address: IpAddr) -> BoxFuture<'_, PortalState>;
    /// Admits the endpoint behind this address. Slow on purpose (password hashing), so it runs off the event loop.
    fn login(&self, address: IpAddr, account: String, password: Secret) -> BoxFuture<'_, Result<Admitted, LoginError>>;
    /// Ends the portal session of the endpoint behind this address; nothing happens when it has none.
    fn logout(&self, address: IpAddr) -> BoxFuture<'_, ()>;
}
