//! What can go wrong, with the server, the place, and what to do.

use std::time::Duration;

use thiserror::Error;

/// What can go wrong between a client and an OVSDB server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OvsdbError {
    /// Not the text of a remote.
    #[error("`{0}` is not an OVSDB remote: write unix:/PATH, ssl:HOST:PORT or tcp:HOST:PORT")]
    Remote(String),
    /// The server cannot be reached.
    #[error("{remote}: cannot connect ({detail}); is ovsdb-server running there?")]
    Connect {
        /// The server.
        remote: String,
        /// What the system said.
        detail: String,
    },
    /// The TLS handshake failed: one side does not take the other's certificate, or the server speaks plain text.
    #[error(
        "{remote}: no TLS connection ({detail}); does the switch have a certificate of this node's, and its database listen with `pssl:`?"
    )]
    Tls {
        /// The server.
        remote: String,
        /// What the TLS library said.
        detail: String,
    },
    /// No answer in time. Whether the server carried the call out is unknown.
    #[error("{remote}: no answer to `{call}` within {} s", after.as_secs_f32())]
    Timeout {
        /// The server.
        remote: String,
        /// The method.
        call: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended. Whether calls that were under way were carried out is unknown.
    #[error("{remote}: the connection ended ({detail}); connect again")]
    Closed {
        /// The server.
        remote: String,
        /// Why.
        detail: String,
    },
    /// The server said something that is not JSON-RPC, or too much of it. The connection is closed.
    #[error("{remote}: not OVSDB: {detail}")]
    Protocol {
        /// The server.
        remote: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The call as a whole was refused (RFC 7047, 4: `error` is not null).
    #[error("`{call}` was refused: {error}{}", colon(details))]
    Refused {
        /// The method.
        call: &'static str,
        /// The server's error string.
        error: String,
        /// The server's explanation; may be empty.
        details: String,
    },
    /// One operation of a transaction failed; nothing of the transaction was done.
    #[error("operation {index} (`{op}`) failed: {error}{}", colon(details))]
    Operation {
        /// Its place in the transaction, from 0.
        index: usize,
        /// The operation's name.
        op: String,
        /// The server's error string.
        error: String,
        /// The server's explanation; may be empty.
        details: String,
    },
    /// All operations succeeded but not the commit (RFC 7047, 4.1.3), as when a reference would dangle.
    #[error("the transaction was not committed: {error}{}", colon(details))]
    Commit {
        /// The server's error string.
        error: String,
        /// The server's explanation; may be empty.
        details: String,
    },
    /// The answer to a call lacks what it must have.
    #[error("the answer to `{call}` lacks {what}")]
    Answer {
        /// The method, or table and column.
        call: String,
        /// What is missing.
        what: &'static str,
    },
    /// Updates came faster than they were taken, or the connection ended: monitor again and start from what it returns.
    #[error("the monitor lost updates; monitor again")]
    MonitorLost,
    /// A bridge specification that cannot be carried out.
    #[error("bridge `{bridge}`: {detail}")]
    Spec {
        /// The bridge.
        bridge: String,
        /// What is wrong.
        detail: String,
    },
    /// The bridge belongs to somebody else.
    #[error(
        "bridge `{bridge}` exists and belongs to {owner}; give it another name, remove it with `ovs-vsctl del-br {bridge}`, or say that it is to be adopted"
    )]
    Foreign {
        /// The bridge.
        bridge: String,
        /// Whose it is.
        owner: String,
    },
    /// A port of that name belongs to somebody else, or to another bridge.
    #[error(
        "port `{port}` exists on bridge `{bridge}` and belongs to {owner}; remove it with `ovs-vsctl del-port {bridge} {port}`, or say that it is to be adopted"
    )]
    ForeignPort {
        /// The port.
        port: String,
        /// The bridge it is on.
        bridge: String,
        /// Whose it is.
        owner: String,
    },
    /// Open vSwitch has TLS settings that somebody else made: all its bridges share them.
    #[error(
        "Open vSwitch has TLS settings of {owner} (`ovs-vsctl get-ssl`), which all its bridges share; remove them with `ovs-vsctl del-ssl` if nobody needs them"
    )]
    ForeignTls {
        /// Whose they are.
        owner: String,
    },
    /// Others changed the same rows again and again.
    #[error("bridge `{bridge}`: others keep changing it, gave up after {attempts} attempts; who else manages it?")]
    Contention {
        /// The bridge.
        bridge: String,
        /// How often it was tried.
        attempts: usize,
    },
    /// The database has the change, but ovs-vswitchd did not say in time that it took it over.
    #[error("bridge `{bridge}`: ovs-vswitchd did not take over the configuration within {} s; is it running?", after.as_secs_f32())]
    NotApplied {
        /// The bridge.
        bridge: String,
        /// How long was waited.
        after: Duration,
    },
}

fn colon(details: &str) -> String {
    if details.is_empty() { String::new() } else { format!(": {details}") }
}
