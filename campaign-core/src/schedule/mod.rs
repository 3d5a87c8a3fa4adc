//! When: start of a campaign, its occurrences, calling windows, holidays and time zones. Pure; `now` is passed in.

mod local;
mod recurrence;
mod rule;
mod start;
mod windows;
pub mod zones;

pub use local::pause_zone_lookups;
pub(crate) use local::{at_local, look_up, parse_time, zone};
pub use recurrence::{Frequency, Recurrence};
pub use start::{PastDue, Schedule};
pub use windows::{CallingWindows, CompiledWindows, Holiday, TimeWindow, Weekday, WindowZone, ZoneClock};
