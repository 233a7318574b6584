//! Address management: DHCP, pools, reservations, static addresses
