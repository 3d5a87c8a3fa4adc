//! What became of an attempt in doubt.

use super::api::Resource;
use super::facts::{Facts, Kind};
use super::{Sender, TwilioDialer, address};
use crate::dialer::{FindRequest, Found};
use crate::error::Result;
use crate::outcome::Channel;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// How far Twilio's clock may be behind ours. What others are known to own is passed over, so a wide margin does no harm.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(5);

impl TwilioDialer {
    pub(super) async fn look_up(&self, request: &FindRequest) -> Result<Found> {
        let (resource, kind) = match request.channel {
            Channel::Call => (Resource::Calls, Kind::Call),
            Channel::Sms | Channel::WhatsApp => (Resource::Messages, Kind::Message),
        };
        if let Some(sid) = &request.provider_ref {
            return Ok(match self.api.fetch(resource, sid).await? {
                Some(found) => self.judge(kind, &found, request),
                // It existed, and was deleted since.
                None => Found::Unknown,
            });
        }
        let to = address(request.channel, &request.to);
        let sender = self.sender(request.channel, request.from.as_deref());
        let mut query = vec![("To", to.as_str())];
        if let Ok(Sender::Number(number)) = &sender {
            query.push(("From", number));
        }
        let Some(entries) = self.api.list(resource, &query).await? else { return Ok(Found::Unknown) };
        let since = request.since - CLOCKS_DIFFER;
        // Lists are newest first; turned round, entries of the same second stay in the order they were made in.
        let mut ours: Vec<(Timestamp, &Value)> = entries
            .iter()
            .rev()
            .filter(|entry| entry["direction"] == "outbound-api")
            .filter(|entry| match &sender {
                Ok(Sender::Service(sid)) => entry["messaging_service_sid"] == **sid,
                _ => true,
            })
            .filter(|entry| entry["sid"].as_str().is_some_and(|sid| !request.others.iter().any(|other| other == sid)))
            .filter_map(|entry| Some((created_at(entry)?, entry)))
            // Whole seconds are what Twilio tells.
            .filter(|(created, _)| created.as_second() >= since.as_second())
            .collect();
        // When several fit, the oldest: later ones were made by later attempts.
        ours.sort_by_key(|(created, _)| *created);
        Ok(match ours.as_slice() {
            [] => Found::NeverHappened,
            [(_, oldest), rest @ ..] => {
                if !rest.is_empty() {
                    tracing::warn!(attempt = %request.attempt_id, count = ours.len(), "several calls or messages fit an attempt; the oldest is taken");
                }
                self.judge(kind, oldest, request)
            }
        })
    }

    fn judge(&self, kind: Kind, resource: &Value, request: &FindRequest) -> Found {
        let facts = Facts::of_resource(kind, resource);
        if let Some(outcome) = facts.outcome() {
            return Found::Ended(outcome);
        }
        // A message that Twilio took is watched for as long as it would have been when nothing had gone wrong.
        let wait = SignedDuration::try_from(self.config.receipt_wait).unwrap_or(SignedDuration::MAX);
        if kind == Kind::Message && created_at(resource).is_some_and(|created| request.now.duration_since(created) >= wait) {
            return Found::Ended(facts.accepted());
        }
        match facts.sid {
            Some(provider_ref) => Found::Running { provider_ref },
            None => Found::Unknown,
        }
    }
}

/// When Twilio made it; dates there are as in mails (RFC 2822).
fn created_at(resource: &Value) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(resource["date_created"].as_str()?).ok().map(|at| at.timestamp())
}
