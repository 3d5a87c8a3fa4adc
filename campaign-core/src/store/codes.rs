//! How the stores on SQL write values into columns. The numbers are part of the format: never change one, only add.

use crate::campaign::CampaignStatus;
use crate::contact::{ContactSource, ContactStatus, Owner};
use crate::error::{Error, Kind, Result};
use crate::id::{AttemptId, CampaignId, ListId};
use crate::outcome::{AttemptState, Channel, Disposition};
use crate::policy::limits::LimitScope;
use crate::store::SuppressionScope;
use serde::Serialize;
use std::sync::Arc;
use uuid::Uuid;

/// A value in the store that this version cannot read.
pub(super) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Corrupt, format!("the store holds a value it should not: {what}"))
}

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
                    other => Err(damaged(format_args!("{} {other} is not known to this version", $what))),
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

/// The column of a campaign or a list.
pub(super) fn owner_code(owner: Owner) -> i64 {
    match owner {
        Owner::Campaign(id) => id.0,
        Owner::List(id) => -id.0,
    }
}

/// The owner behind such a column.
pub(super) fn owner(code: i64) -> Owner {
    if code < 0 { Owner::List(ListId(-code)) } else { Owner::Campaign(CampaignId(code)) }
}

/// The column of a suppression's scope.
pub(super) fn suppression_code(scope: SuppressionScope) -> i64 {
    scope.place()
}

/// The scope behind such a column.
pub(super) fn suppression_scope(code: i64) -> SuppressionScope {
    match code {
        ..0 => SuppressionScope::Organization(code.saturating_neg()),
        0 => SuppressionScope::Everything,
        _ => SuppressionScope::Campaign(CampaignId(code)),
    }
}

/// The scope with this key, see [`LimitScope::key`].
pub(super) fn limit_scope(key: &str) -> Result<LimitScope> {
    let (kind, name) = key.split_once(':').unwrap_or((key, ""));
    Ok(match kind {
        "deployment" => LimitScope::Deployment,
        "account" => LimitScope::Account(name.into()),
        "campaign" => LimitScope::Campaign(CampaignId(name.parse().map_err(|_| damaged("the scope of a ledger"))?)),
        "caller" => LimitScope::Caller(name.into()),
        _ => return Err(damaged("the scope of a ledger")),
    })
}

/// The scopes that count an attempt, limited or not.
pub(super) fn scopes_of(campaign: CampaignId, account: Option<&str>, caller: Option<&str>) -> impl Iterator<Item = LimitScope> {
    [LimitScope::Deployment, LimitScope::Campaign(campaign)]
        .into_iter()
        .chain(account.map(|name| LimitScope::Account(name.into())))
        .chain(caller.map(|number| LimitScope::Caller(number.into())))
}

/// The idempotency key of an attempt: unique over all stores.
pub(super) fn attempt_key(store: Uuid, attempt: AttemptId) -> Arc<str> {
    Arc::from(format!("{}-{attempt}", store.simple()))
}

/// JSON, or nothing where there is nothing to keep.
pub(super) fn json<T: Serialize>(value: &T, empty: bool) -> Result<Option<String>> {
    if empty { Ok(None) } else { serde_json::to_string(value).map(Some).map_err(|error| unreadable(&error)) }
}

/// Only the place is kept: the text may hold personal data.
pub(super) fn unreadable(error: &serde_json::Error) -> Error {
    damaged(format_args!("JSON that cannot be read at column {}", error.column()))
}

/// A count that was stored from an unsigned one.
pub(super) fn unsigned<T: TryFrom<i64>>(value: i64) -> Result<T> {
    T::try_from(value).map_err(|_| damaged("a count that is out of range"))
}

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
