//! Whether a spec can be carried out: every field, with what it may be.

use super::replies::ReplySettings;
use super::spec::{CampaignSpec, CampaignType, RetryPolicy, Step};
use crate::error::{Error, Result};
use crate::id::Money;
use crate::outcome::{Channel, Disposition};
use crate::schedule::{CompiledWindows, Schedule, parse_time};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Minutes a person sets: a minute to thirty days.
const MINUTES: RangeInclusive<u32> = 1..=43_200;
const ATTEMPTS: RangeInclusive<u32> = 1..=10;
const STEPS: RangeInclusive<usize> = 1..=20;
/// Minutes in 366 days, the longest pause between two steps.
const LONGEST_PAUSE: u32 = 527_040;
const TEMPLATES: usize = 100;
const TEMPLATE_BYTES: usize = 64 * 1024;

/// Checks the id of an organisation, wherever one is given.
///
/// # Errors
/// [`crate::Kind::Invalid`] when it is not at least 1.
pub(crate) fn organization(id: Option<i64>) -> Result<()> {
    match id {
        Some(..=0) => Err(Error::invalid("organization", "must be at least 1; leave it out for the program's own")),
        _ => Ok(()),
    }
}

impl CampaignSpec {
    /// Checks every field. Templates are compiled elsewhere; here only their number and size are checked.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] with the first field that is out of range, and what it may be. Entries of lists are counted from 1.
    pub fn validate(&self) -> Result<()> {
        self.texts()?;
        self.kind()?;
        organization(self.organization)?;
        within("max_attempts", self.max_attempts, ATTEMPTS)?;
        within("retry_delay_minutes", self.retry_delay_minutes, MINUTES)?;
        retry(&self.retry)?;
        for (field, limit) in [
            ("concurrent_limit", self.concurrent_limit),
            ("rate_limit_per_minute", self.rate_limit_per_minute),
            ("calls_per_day", self.calls_per_day),
        ] {
            at_least_one(field, limit)?;
        }
        CompiledWindows::new(&self.windows, &self.time_zone)?;
        self.schedule.check()?;
        if let (Some(deadline), Schedule::Once { scheduled_at, .. }) = (self.deadline, &self.schedule)
            && deadline <= *scheduled_at
        {
            return Err(Error::invalid("deadline", "must be after the start in schedule.scheduled_at"));
        }
        for (index, cap) in self.frequency_caps.iter().enumerate() {
            at_least_one("frequency_caps.max", Some(cap.max)).map_err(|error| error.with("entry", index + 1))?;
            within("frequency_caps.hours", cap.hours, 1..=8_784).map_err(|error| error.with("entry", index + 1))?;
        }
        not_negative("budget", self.budget.unwrap_or_default())?;
        not_negative("cost_per_attempt", self.cost_per_attempt)?;
        within("budget_threshold_percent", self.budget_threshold_percent, 1..=100)?;
        self.callers()?;
        self.voicemail()?;
        self.replies()?;
        within("ring_timeout_seconds", self.ring_timeout_seconds, 1..=600)?;
        within("max_duration_seconds", self.max_duration_seconds, 1..=86_400)
    }

    fn texts(&self) -> Result<()> {
        if self.name.trim().is_empty() || self.name.chars().count() > 200 {
            return Err(Error::invalid("name", "must have 1 to 200 characters"));
        }
        if self.description.as_ref().is_some_and(|text| text.chars().count() > 10_000) {
            return Err(Error::invalid("description", "must have at most 10000 characters"));
        }
        if self.templates.len() > TEMPLATES {
            return Err(Error::invalid("templates", format!("must be at most {TEMPLATES}")));
        }
        for (name, source) in &self.templates {
            if name.is_empty() || name.chars().count() > 100 {
                return Err(Error::invalid("templates", "must have names of 1 to 100 characters"));
            }
            if source.len() > TEMPLATE_BYTES {
                return Err(Error::invalid("templates", "must be at most 64 KiB each").with("template", name));
            }
        }
        Ok(())
    }

    fn kind(&self) -> Result<()> {
        match &self.campaign_type {
            CampaignType::Mixed if !STEPS.contains(&self.steps.len()) => {
                return Err(Error::invalid("steps", "must be 1 to 20 in a mixed campaign"));
            }
            CampaignType::Call | CampaignType::Sms | CampaignType::WhatsApp if !self.steps.is_empty() => {
                return Err(Error::invalid("steps", "belong to mixed campaigns only; set campaign_type to mixed, or leave them out"));
            }
            CampaignType::Custom(name) if name.trim().is_empty() || name.chars().count() > 64 => {
                return Err(Error::invalid("campaign_type", "must be call, sms, whatsapp, mixed, or the name of a registered kind"));
            }
            _ => {}
        }
        for (index, step) in self.steps.iter().enumerate() {
            self.step(index, step).map_err(|error| error.with("entry", index + 1))?;
        }
        Ok(())
    }

    fn step(&self, index: usize, step: &Step) -> Result<()> {
        if let Some(name) = &step.template {
            if step.channel == Channel::Call {
                return Err(Error::invalid("steps.template", "is for messages; calls use the call templates"));
            }
            if !self.templates.contains_key(name) {
                return Err(Error::invalid("steps.template", "must name one of templates").with("template", name));
            }
        }
        if index == 0 && (step.delay_minutes > 0 || step.next_day_at.is_some() || step.when != Default::default()) {
            return Err(Error::invalid("steps", "must begin with a step that has no delay_minutes, next_day_at or when"));
        }
        if step.delay_minutes > 0 && step.next_day_at.is_some() {
            return Err(Error::invalid("steps.next_day_at", "stands instead of delay_minutes; give one of them"));
        }
        within("steps.delay_minutes", step.delay_minutes, 0..=LONGEST_PAUSE)?;
        if step.next_day_at.as_ref().is_some_and(|time| parse_time(time).is_none()) {
            return Err(Error::invalid("steps.next_day_at", "must be a time of day such as 09:00"));
        }
        step.max_attempts.map_or(Ok(()), |attempts| within("steps.max_attempts", attempts, ATTEMPTS))
    }

    fn callers(&self) -> Result<()> {
        if self.caller_ids.len() > 1000 {
            return Err(Error::invalid("caller_ids", "must be at most 1000"));
        }
        let mut seen = BTreeSet::new();
        for (index, caller) in self.caller_ids.iter().enumerate() {
            let entry = |error: Error| error.with("entry", index + 1);
            if caller.number.trim().is_empty() || caller.number.chars().count() > 64 || caller.number.contains(char::is_control) {
                return Err(entry(Error::invalid("caller_ids.number", "must have 1 to 64 printable characters")));
            }
            if !seen.insert(caller.number.as_str()) {
                return Err(entry(Error::invalid("caller_ids.number", "is there twice")));
            }
            at_least_one("caller_ids.concurrent_limit", caller.concurrent_limit).map_err(entry)?;
            at_least_one("caller_ids.rate_limit_per_minute", caller.rate_limit_per_minute).map_err(entry)?;
            at_least_one("caller_ids.calls_per_day", caller.calls_per_day).map_err(entry)?;
        }
        Ok(())
    }

    fn replies(&self) -> Result<()> {
        let ReplySettings { opt_out_confirmation, help_message, .. } = &self.replies;
        for (field, text) in [("replies.opt_out_confirmation", opt_out_confirmation), ("replies.help_message", help_message)] {
            if text.as_ref().is_some_and(|text| text.chars().count() > 320) {
                return Err(Error::invalid(field, "must have at most 320 characters"));
            }
        }
        Ok(())
    }

    fn voicemail(&self) -> Result<()> {
        if self.voicemail.voicemail_message.as_ref().is_some_and(|text| text.len() > TEMPLATE_BYTES) {
            return Err(Error::invalid("voicemail.voicemail_message", "must be at most 64 KiB"));
        }
        if !self.voicemail.leave_voicemail {
            return Ok(());
        }
        if !self.voicemail.enable_voicemail_detection {
            return Err(Error::invalid("voicemail.leave_voicemail", "needs enable_voicemail_detection"));
        }
        if self.voicemail.voicemail_message.is_none() && !self.templates.contains_key("voicemail_message") {
            return Err(Error::invalid("voicemail.leave_voicemail", "needs voicemail_message"));
        }
        Ok(())
    }
}

fn retry(policy: &RetryPolicy) -> Result<()> {
    within("retry.max_delay_minutes", policy.max_delay_minutes, MINUTES)?;
    within("retry.jitter_percent", policy.jitter_percent, 0..=50)?;
    for (ending, rule) in &policy.rules {
        let entry = |error: Error| error.with("rule", ending);
        if rule.retry && (ending.is_success() || matches!(ending, Disposition::OptedOut | Disposition::InDoubt)) {
            return Err(entry(Error::invalid("retry.rules", "cannot try again after this ending")));
        }
        if let Some(attempts) = rule.max_attempts {
            within("retry.rules.max_attempts", attempts, ATTEMPTS).map_err(entry)?;
        }
        if let Some(minutes) = rule.delay_minutes {
            within("retry.rules.delay_minutes", minutes, MINUTES).map_err(entry)?;
        }
    }
    Ok(())
}

fn within<T: PartialOrd + Display>(field: &'static str, value: T, range: RangeInclusive<T>) -> Result<()> {
    if range.contains(&value) { Ok(()) } else { Err(Error::invalid(field, format!("must be {} to {}", range.start(), range.end()))) }
}

fn at_least_one(field: &'static str, limit: Option<u32>) -> Result<()> {
    if limit == Some(0) { Err(Error::invalid(field, "must be at least 1")) } else { Ok(()) }
}

fn not_negative(field: &'static str, amount: Money) -> Result<()> {
    if amount < Money::ZERO { Err(Error::invalid(field, "must be 0 or more")) } else { Ok(()) }
}
