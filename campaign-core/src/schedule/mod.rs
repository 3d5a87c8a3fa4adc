//! When: start of a campaign, its occurrences, calling windows, holidays and time zones. Pure; `now` is passed in.

mod recurrence;
mod start;
mod windows;
pub mod zones;

pub use recurrence::{Frequency, Recurrence};
pub use start::{PastDue, Schedule};
pub use windows::{CallingWindows, CompiledWindows, Holiday, TimeWindow, Weekday, WindowZone, ZoneClock};
