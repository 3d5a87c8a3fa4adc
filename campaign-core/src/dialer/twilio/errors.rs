//! The one table of what Twilio's errors mean.

use crate::dialer::DialError;
use crate::error::{Error, Kind};
use crate::outcome::Disposition;
use std::time::Duration;

/// What an error says about a call or message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Meaning {
    /// Not placed: too fast, or out of capacity. No attempt is used up; the account waits.
    Throttled,
    /// Not placed: something is wrong with the account or its credentials, not with the contact. No attempt is used up; the account
    /// waits a minute, and the log says what to do.
    Account,
    /// Not placed or not delivered, and may work later. Uses up an attempt.
    Transient,
    /// Not placed or not delivered, and never will be for this contact.
    Permanent,
    /// The person opted out at the carrier. The number is suppressed.
    OptedOut,
    /// Nobody knows whether it was placed.
    InDoubt,
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorMatch {
    /// An error code of Twilio's, in an answer or in a receipt.
    Code(u32),
    /// Any HTTP status from the first to the last, whatever the code.
    Status(u16, u16),
}

/// One row of [`super::TwilioDialer::ERRORS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorRow {
    /// What it is about.
    pub on: ErrorMatch,
    /// What it means.
    pub meaning: Meaning,
    /// One sentence: what is wrong, and what to do when something can be done.
    pub says: &'static str,
}

const fn status(first: u16, last: u16, meaning: Meaning, says: &'static str) -> ErrorRow {
    ErrorRow { on: ErrorMatch::Status(first, last), meaning, says }
}

const fn code(code: u32, meaning: Meaning, says: &'static str) -> ErrorRow {
    ErrorRow { on: ErrorMatch::Code(code), meaning, says }
}

use Meaning::{Account, InDoubt, OptedOut, Permanent, Throttled, Transient};

/// The first row that fits counts. Sources: the error dictionary of Twilio's documentation, its description of the API for what an
/// answer of 4xx guarantees ("never processed"), and 20500 for what one of 5xx does not.
pub(super) const ERRORS: &[ErrorRow] = &[
    // The server may have failed after it placed the call, so no code is looked at.
    status(500, 599, InDoubt, "Twilio failed while it handled the request."),
    status(408, 408, InDoubt, "Twilio gave up waiting for the request."),
    // The account.
    code(20429, Throttled, "Too many requests at once."),
    code(10004, Throttled, "The account has as many calls as it may have at once."),
    code(14107, Throttled, "The sender sends faster than it may."),
    code(30022, Throttled, "The campaign of the sender (A2P 10DLC) sends faster than it may."),
    code(63018, Throttled, "The WhatsApp sender sends faster than it may."),
    code(20003, Account, "Twilio does not accept the credentials; check account_sid and auth_token, or the API key."),
    code(20005, Account, "The account is not active; look at the console."),
    code(20006, Account, "The credentials may not do this; check the permissions of the API key."),
    code(20404, Account, "The account or the API was not found; check account_sid and api_base."),
    code(10001, Account, "The account is not active; look at the console."),
    code(10002, Account, "A trial account may not do this; upgrade it."),
    code(30002, Account, "The account is suspended; look at the console."),
    // The person's number.
    code(21211, Permanent, "The number is not valid."),
    code(21217, Permanent, "The number is not valid."),
    code(21421, Permanent, "The number is not valid."),
    code(13223, Permanent, "The number is not valid."),
    code(21214, Permanent, "The number cannot be reached."),
    code(13224, Permanent, "Twilio does not call this number."),
    code(13225, Permanent, "Twilio does not call this number."),
    code(21216, Permanent, "Twilio blocks calls to this number."),
    code(21612, Permanent, "This sender cannot reach the number."),
    code(21614, Permanent, "The number is not one of a mobile phone."),
    code(21635, Permanent, "The number is one of a landline."),
    code(21219, Permanent, "A trial account calls verified numbers only; verify it, or upgrade the account."),
    code(21608, Permanent, "A trial account writes to verified numbers only; verify it, or upgrade the account."),
    code(30004, Permanent, "The person or the carrier blocks our messages."),
    code(30005, Permanent, "The handset is unknown or no longer in service."),
    code(30006, Permanent, "The number is a landline, or its carrier cannot be reached."),
    code(63003, Permanent, "The number has no WhatsApp."),
    code(63024, Permanent, "The number has no WhatsApp."),
    code(21610, OptedOut, "The person opted out of this sender."),
    code(63014, OptedOut, "The person blocked this sender on WhatsApp."),
    // The text.
    code(21617, Permanent, "The text is longer than 1,600 characters; shorten the template."),
    code(21605, Permanent, "The text is longer than 1,600 characters; shorten the template."),
    code(21602, Permanent, "A text is needed; check what the template renders to."),
    code(21619, Permanent, "A text or media is needed; check what the template renders to."),
    code(12100, Permanent, "Twilio could not read the instructions of the call."),
    // What the campaign or the account is set to: another attempt may come after somebody has put it right.
    code(21210, Transient, "The caller id is not a verified number of the account."),
    code(21212, Transient, "The caller id is not valid."),
    code(21213, Transient, "A caller id is needed; set from_number, or caller ids of the campaign."),
    code(21603, Transient, "A sender is needed; set from_number or messaging_service_sid, or caller ids of the campaign."),
    code(21606, Transient, "The sender cannot send SMS."),
    code(21607, Transient, "The sender may not be used by a trial account."),
    code(21659, Transient, "The sender is no number of the account, or of another country."),
    code(21660, Transient, "The sender does not belong to the account."),
    code(21703, Transient, "The messaging service has no sender; add one in the console."),
    code(21701, Transient, "The messaging service does not exist; check messaging_service_sid."),
    code(21215, Transient, "The account may not call this country; allow it in the console (Geo Permissions)."),
    code(13227, Transient, "The account may not call this country; allow it in the console (Geo Permissions)."),
    code(21408, Transient, "The account may not write to this country; allow it in the console (Geo Permissions)."),
    code(21205, Transient, "The URL is not valid; check public_base_url and the option url."),
    code(21609, Transient, "The URL of the status callback is not valid; check public_base_url."),
    code(21620, Transient, "The address of the media is not valid; check the option media_url."),
    code(21656, Transient, "The variables of the template are not valid; check the option content_variables."),
    code(21655, Transient, "The template does not exist; check the option content_sid."),
    code(63007, Transient, "There is no such WhatsApp sender; check whatsapp_from."),
    code(63016, Transient, "Outside of the 24 hours after the person last wrote only a template may be sent; set the option content_sid."),
    code(63027, Transient, "The template does not exist in this language."),
    code(63028, Transient, "The template has another number of variables; check the option content_variables."),
    code(63013, Transient, "The message breaks a rule of WhatsApp."),
    code(63021, Transient, "WhatsApp does not take this content."),
    code(63012, Transient, "WhatsApp failed while it handled the message."),
    code(63049, Transient, "Meta chose not to deliver this marketing message to this person now."),
    // Delivery.
    code(30001, Transient, "The queue of the sender overflowed."),
    code(30003, Transient, "The handset is switched off or out of reach."),
    code(30007, Transient, "The carrier filtered the message out; look at its text and at how the sender is registered."),
    code(30008, Transient, "The carrier gave no reason."),
    code(30023, Transient, "The sender reached its daily cap (A2P 10DLC)."),
    code(30032, Transient, "The toll-free sender is not verified."),
    code(30034, Transient, "The sender is not registered for A2P 10DLC; register it in the console."),
    code(30036, Transient, "The message was not delivered before its validity ended."),
    // What has no row of its own. An answer of 4xx says that nothing was placed.
    status(429, 429, Throttled, "Too many requests at once."),
    status(401, 401, Account, "Twilio does not accept the credentials; check account_sid and auth_token, or the API key."),
    status(403, 403, Account, "The credentials may not do this; check the account and the permissions of the API key."),
    status(404, 404, Account, "The account or the API was not found; check account_sid and api_base."),
    status(400, 499, Transient, "Twilio refused the request; look the code up in its error dictionary."),
    // Neither success nor refusal.
    status(0, 399, InDoubt, "Twilio's answer is not understood."),
];

/// How long an account waits that needs somebody to put something right.
const ACCOUNT_WAITS: Duration = Duration::from_secs(60);
/// How long it waits when it is too fast and Twilio does not say.
const THROTTLED_WAITS: Duration = Duration::from_secs(1);

/// The row of an answer.
fn row_of_answer(http_status: u16, error_code: Option<u32>) -> &'static ErrorRow {
    let fits = |row: &&ErrorRow| match row.on {
        ErrorMatch::Code(code) => error_code == Some(code),
        ErrorMatch::Status(first, last) => (first..=last).contains(&http_status),
    };
    // The last row takes what no other does.
    ERRORS.iter().find(fits).unwrap_or(&ERRORS[ERRORS.len() - 1])
}

/// What an answer that is none of success means for what was to be placed.
pub(super) fn refusal(http_status: u16, error_code: Option<u32>, retry_after: Option<Duration>) -> DialError {
    let row = row_of_answer(http_status, error_code);
    let error = told(row.says, http_status, error_code);
    match row.meaning {
        Throttled => DialError::Throttled { retry_after: retry_after.unwrap_or(THROTTLED_WAITS) },
        Account => {
            tracing::error!(status = http_status, code = error_code, "{}", row.says);
            DialError::Throttled { retry_after: retry_after.unwrap_or(ACCOUNT_WAITS) }
        }
        Transient => DialError::Transient(error),
        Permanent => DialError::Permanent(error),
        OptedOut => DialError::Suppressed,
        InDoubt => DialError::InDoubt(error),
    }
}

/// An error about an answer. Twilio's own sentence is left out: it repeats phone numbers.
pub(super) fn told(says: &str, http_status: u16, error_code: Option<u32>) -> Error {
    let error = Error::new(Kind::Provider, says).with("status", http_status);
    match error_code {
        Some(code) => error.with("code", code),
        None => error,
    }
}

/// How a message ended that was accepted and then failed with this code, and the sentence about it.
pub(super) fn receipt(error_code: Option<u32>) -> (Disposition, &'static str) {
    let Some(error_code) = error_code else { return (Disposition::Failed, "The message was not delivered.") };
    match ERRORS.iter().find(|row| row.on == ErrorMatch::Code(error_code)) {
        Some(ErrorRow { meaning: Permanent, says, .. }) => (Disposition::Undeliverable, says),
        Some(ErrorRow { meaning: OptedOut, says, .. }) => (Disposition::OptedOut, says),
        Some(ErrorRow { says, .. }) => (Disposition::Failed, says),
        None => (Disposition::Failed, "The message was not delivered."),
    }
}
