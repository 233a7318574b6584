//! OpenFlow 1.3 with the Open vSwitch extensions: bytes, values and text
