//! The device list: what may join without a person.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A line of the device list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceView {
    /// Its name.
    pub name: String,
    /// Which MAC addresses it covers: `52:54:00:00:00:01`, `52:54:00:*` or `52:54:00:00:00:00/40`.
    pub mac: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// The address it has or is given.
    #[schema(value_type = Option<String>)]
    pub address: Option<Ipv4Addr>,
    /// True when the device sets that address itself; false when DHCP reserves it.
    pub is_static: bool,
    /// True when it is not admitted.
    pub disabled: bool,
    /// Names of the endpoints that it stands for now.
    pub endpoints: Vec<String>,
}

/// A device to add, or to replace under the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DevicePut {
    /// Which MAC addresses it covers.
    pub mac: String,
    /// Its roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The address it has or is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<Ipv4Addr>,
    /// True when the device sets that address itself.
    #[serde(default)]
    pub is_static: bool,
    /// True to keep it on the list without admitting it.
    #[serde(default)]
    pub disabled: bool,
}
