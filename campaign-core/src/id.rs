//! Identifiers and money: small copyable values with one meaning each.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Assigned by the store, never reused, and below 2^53 so that JavaScript holds it exactly.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// One campaign.
    CampaignId
);
id!(
    /// One contact of one campaign or of one contact list.
    ContactId
);
id!(
    /// One reusable contact list.
    ListId
);
id!(
    /// One attempt to reach a contact; the wire formats call it an execution.
    AttemptId
);
id!(
    /// One process that executes campaigns on a store.
    NodeId
);

/// The right of a node to settle what it claimed: its id with the fencing token it was given when it registered.
///
/// A node that lost its lease registers anew and gets a higher epoch; settlements under the old one are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeToken {
    /// The node.
    pub node: NodeId,
    /// The fencing token; grows with every registration on the store.
    pub epoch: i64,
}

/// An amount of money in millionths of the campaign's currency unit, so that sums are exact.
///
/// On the wire it is a decimal number of units: `Money::from_units(0.013)` serialises as `0.013`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Money(pub i64);

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// From a decimal amount; rounded to the nearest millionth, and not-a-number counts as zero.
    pub fn from_units(units: f64) -> Self {
        Self((units * 1e6).round() as i64)
    }

    /// As a decimal amount.
    pub fn units(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl std::ops::Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for Money {
    type Output = Money;
    fn sub(self, other: Money) -> Money {
        Money(self.0.saturating_sub(other.0))
    }
}

impl std::ops::AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        *self = *self + other;
    }
}

impl std::ops::SubAssign for Money {
    fn sub_assign(&mut self, other: Money) {
        *self = *self - other;
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4}", self.units())
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.units())
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(Self::from_units)
    }
}
