//! Classes: the numbers the data plane matches instead of names.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ModelError, Name};

/// A slice: a logical network with its own addresses and groups. 16 bits in the data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SliceId(pub u16);

impl SliceId {
    /// The slice that always exists.
    pub const DEFAULT: SliceId = SliceId(0);
}

impl fmt::Display for SliceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::DEFAULT { f.pad("default") } else { write!(f, "slice-{}", self.0) }
    }
}

/// The set of groups an endpoint is in, or the set of externals an outside address belongs to.
///
/// Groups and externals share one namespace, so one set type serves both. The empty set is a value like any other: it
/// permits nothing.
pub type MemberSet = BTreeSet<Name>;

/// A class number: 22 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassId(u32);

impl ClassId {
    /// No class: what the data plane has before anybody said who it is.
    pub const NONE: ClassId = ClassId(0);
    /// An endpoint that has an address but no name yet: it reaches only what onboarding needs.
    pub const STRANGER: ClassId = ClassId(1);
    /// The node itself: virtual router, DNS, portal.
    pub const NODE: ClassId = ClassId(2);
    /// Quarantine: the class of posture black.
    pub const QUARANTINE: ClassId = ClassId(3);
    /// The portal answering in the name of whatever a stranger asked for; it reaches strangers only.
    pub const PORTAL: ClassId = ClassId(4);
    /// The first number that stands for a set of groups.
    pub const FIRST: ClassId = ClassId(16);
    /// The largest number.
    pub const MAX: u32 = (1 << 22) - 1;

    /// Checks the width.
    pub fn new(n: u32) -> Result<Self, ModelError> {
        if n <= Self::MAX {
            Ok(Self(n))
        } else {
            Err(ModelError::Range { what: "class", value: n.into(), max: Self::MAX.into() })
        }
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => f.pad("none"),
            Self::STRANGER => f.pad("stranger"),
            Self::NODE => f.pad("node"),
            Self::QUARANTINE => f.pad("quarantine"),
            Self::PORTAL => f.pad("portal"),
            Self(n) => fmt::Display::fmt(&n, f),
        }
    }
}

/// A class and the exact set of names it stands for, in one slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Its number.
    pub id: ClassId,
    /// The slice it is in.
    pub slice: SliceId,
    /// The groups, or externals.
    pub members: MemberSet,
}
