//! The numbers enumerations are stored as. They are part of the file format: never change one, only add.

use super::fault::{Fault, Outcome as Result};
use crate::campaign::CampaignStatus;
use crate::contact::{ContactSource, ContactStatus};
use crate::outcome::{AttemptState, Channel, Disposition};

/// A value that is stored as a number.
pub(super) trait Code: Sized {
    fn code(self) -> i64;
    fn decode(code: i64) -> Result<Self>;
}

macro_rules! codes {
    ($type:ident, $what:literal, { $($variant:ident = $code:literal),* $(,)? }) => {
        impl Code for $type {
            fn code(self) -> i64 {
                match self { $(Self::$variant => $code),* }
            }

            fn decode(code: i64) -> Result<Self> {
                match code {
                    $($code => Ok(Self::$variant),)*
                    other => Err(Fault::damaged(format!("{} {other} is not known to this version", $what))),
                }
            }
        }
    };
}

codes!(ContactStatus, "the contact status", {
    Pending = 0, InProgress = 1, Completed = 2, Failed = 3, NoAnswer = 4, Busy = 5, Voicemail = 6, Skipped = 7, Cancelled = 8,
});
codes!(CampaignStatus, "the campaign status", {
    Draft = 0, Scheduled = 1, Running = 2, Paused = 3, Completed = 4, Cancelled = 5, Failed = 6,
});
codes!(AttemptState, "the attempt state", { Claimed = 0, Placed = 1, Settled = 2, Refused = 3 });
codes!(Channel, "the channel", { Call = 0, Sms = 1, WhatsApp = 2 });
codes!(Disposition, "the disposition", {
    Answered = 0, Voicemail = 1, Busy = 2, NoAnswer = 3, Rejected = 4, Sent = 5, Delivered = 6, Undeliverable = 7, OptedOut = 8,
    Failed = 9, Cancelled = 10, InDoubt = 11,
});
codes!(ContactSource, "the contact source", { CsvImport = 0, JsonImport = 1, SpreadsheetImport = 2, List = 3, Api = 4 });

#[cfg(test)]
mod tests {
    use super::*;

    /// The partial indexes of the schema name these numbers.
    #[test]
    fn the_schema_and_the_codes_agree() {
        assert_eq!(ContactStatus::Pending.code(), 0);
        assert_eq!(ContactStatus::Skipped.code(), 7);
        for status in ContactStatus::ALL {
            assert_eq!(ContactStatus::decode(status.code()).unwrap(), status);
        }
        for disposition in Disposition::ALL {
            assert_eq!(Disposition::decode(disposition.code()).unwrap(), disposition);
        }
        assert!(Channel::decode(99).is_err());
    }
}
