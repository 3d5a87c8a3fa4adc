//! From a phone number to the time zones it may be in.

use crate::contact::ZoneKey;
use crate::phone::PhoneNumber;

/// All zones the number may be in; unknown when the table has no row for it.
pub fn zones_of(phone: &PhoneNumber) -> ZoneKey {
    let _ = phone;
    ZoneKey::unknown()
}

/// Whether the tz database knows this zone.
pub fn is_known(zone: &str) -> bool {
    jiff::tz::TimeZone::get(zone).is_ok()
}
