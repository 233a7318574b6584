//! Policy, bindings and topology compiled into flow tables by name
