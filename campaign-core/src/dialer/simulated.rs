//! A seeded carrier.
pub struct SimulatedDialer;
pub struct CarrierProfile;
