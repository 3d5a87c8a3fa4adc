//! Why a contact is not being reached, and why a campaign does not move.
