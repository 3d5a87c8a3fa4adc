//! When: start of a campaign, its occurrences, calling windows, holidays and time zones. Pure; `now` is passed in.

mod local;
mod recurrence;
mod rule;
mod start;
mod windows;
pub mod zones;

pub(crate) use local::{at_local, parse_time, zone};
pub use recurrence::{Frequency, Recurrence};
pub use start::{PastDue, Schedule};
pub use windows::{CallingWindows, CompiledWindows, Holiday, TimeWindow, Weekday, WindowZone, ZoneClock};
