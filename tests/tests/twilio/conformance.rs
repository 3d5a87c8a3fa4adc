//! The suite of the testkit, on every channel, with and without callbacks.

use super::{Line, number};
use campaign_core::dialer::{Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found};
use campaign_core::outcome::{Channel, Outcome};
use campaign_core::testkit::dialer::{Fixture, Situation, run};
use campaign_core::{Result, async_trait};
use campaign_tests::vendors::twilio::{CallEnd, Fate, Handling};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The dialer on one channel, so that the suite does everything on that one.
struct Only(Arc<dyn Dialer>, Channel);

#[async_trait]
impl Dialer for Only {
    fn capabilities(&self) -> Capabilities {
        Capabilities { channels: vec![self.1], ..self.0.capabilities() }
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        self.0.dial(request, context).await
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        self.0.find(request).await
    }
}

struct Vendor {
    line: Line,
    channel: Channel,
    numbers: Mutex<HashMap<Arc<str>, String>>,
}

impl Fixture for Vendor {
    fn provoke(&self, situation: Situation, request: &mut DialRequest) -> Option<Arc<dyn Dialer>> {
        request.to = number(request.attempt_id.0);
        request.options = Arc::new(json!({"content_sid": "HX0123", "content_variables": {"1": "{name}"}}).as_object().unwrap().clone());
        let brief = Fate { ring: Duration::from_secs(1), ..Fate::ends(CallEnd::Answered(Duration::from_secs(3))) };
        let fate = match situation {
            Situation::Usual => brief,
            Situation::Busy => Fate { end: CallEnd::Busy, ..brief },
            Situation::Throttled => Fate { handling: Handling::Refuse(429, 20429, Some(2)), ..brief },
            // A refused connection could not be asked afterwards; it has a test of its own.
            Situation::Transient => Fate { handling: Handling::Refuse(400, 21606, None), ..brief },
            Situation::Permanent => Fate { handling: Handling::Refuse(400, 21211, None), ..brief },
            Situation::Suppressed => Fate { handling: Handling::Refuse(400, 21610, None), ..brief },
            Situation::LostAnswer => Fate { handling: Handling::PlaceAndBreakOff, ..brief },
            Situation::Long => Fate {
                end: CallEnd::Answered(Duration::from_secs(120)),
                states: vec![(Duration::from_secs(25), "sent"), (Duration::from_secs(60), "delivered")],
                ..brief
            },
            _ => return None,
        };
        let number = request.to.as_str().to_owned();
        self.line.twilio.next(&number, fate);
        self.numbers.lock().unwrap().insert(Arc::clone(&request.key), number);
        Some(Arc::new(Only(Arc::clone(&self.line.dialer), self.channel)))
    }

    fn handed_over(&self, key: &str) -> Option<u64> {
        Some(self.numbers.lock().unwrap().get(key).map_or(0, |number| self.line.twilio.hand_offs_to(number)))
    }
}

async fn passes(line: Line, channel: Channel) {
    let (clock, twilio) = (Arc::clone(&line.clock), line.twilio.clone());
    let report = run(clock, &Vendor { line, channel, numbers: Mutex::default() }).await;
    report.assert_passed();
    let skipped: Vec<_> = report.skipped.iter().map(|(name, _)| *name).filter(|name| !name.starts_with("busy")).collect();
    assert_eq!(skipped, ["a key the provider knows is not placed again"], "{report}");
    assert_eq!(twilio.complaints(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_pass_without_callbacks() {
    passes(Line::silent(|_| {}).await, Channel::Call).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_pass_with_callbacks() {
    passes(Line::posted(|_| {}).await, Channel::Call).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_pass_without_callbacks() {
    passes(Line::silent(|_| {}).await, Channel::Sms).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_pass_with_callbacks() {
    passes(Line::posted(|_| {}).await, Channel::Sms).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatsapp_passes_with_callbacks() {
    passes(Line::posted(|_| {}).await, Channel::WhatsApp).await;
}
