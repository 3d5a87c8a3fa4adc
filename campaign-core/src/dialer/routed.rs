//! Several dialers as one: each channel has its own.

use super::{
    CallPlan, Callback, CallbackAnswer, CallbackError, CallbackRequest, CallbackResponse, Callbacks, Capabilities, DialContext, DialError,
    DialHost, DialRequest, Dialer, FindRequest, Found, Idempotency, InboundCall, News, OutboundMessage, Signal,
};
use crate::error::{Error, Kind, Result};
use crate::outcome::{Channel, Outcome};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// In outcomes, news and calls: the name of the dialer they belong to.
const TAG: &str = "dialer";
const NEWS: &str = "news";

/// Calls by one provider, messages by another.
///
/// ```
/// use campaign_core::dialer::{CarrierProfile, RoutedDialer, ScriptedDialer, SimulatedDialer};
/// use campaign_core::outcome::Channel;
///
/// let dialer = RoutedDialer::new()
///     .route("voice", [Channel::Call], SimulatedDialer::new(CarrierProfile::default(), 7))?
///     .route("text", [Channel::Sms, Channel::WhatsApp], ScriptedDialer::new())?;
/// # let _ = dialer;
/// # Ok::<(), campaign_core::Error>(())
/// ```
///
/// What it [can do](Dialer::capabilities) is what all of them can: the channels of all, the weakest protection against repetition, the
/// longest times, the smallest limits. Limits of a provider hold for all channels together; give providers with very different limits
/// engines of their own.
#[derive(Clone, Default)]
pub struct RoutedDialer {
    routes: Vec<Route>,
}

#[derive(Clone)]
struct Route {
    name: Arc<str>,
    channels: Vec<Channel>,
    dialer: Arc<dyn Dialer>,
}

impl std::fmt::Debug for RoutedDialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.routes.iter().map(|route| (&route.name, &route.channels))).finish()
    }
}

impl RoutedDialer {
    /// Without routes; it serves no channel yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a dialer for these channels. The name is written into outcomes and must stay the same as long as the store has some: by it late
    /// callbacks find the dialer again.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the name or a channel is taken, or the dialer does not serve the channel.
    pub fn route(self, name: &str, channels: impl IntoIterator<Item = Channel>, dialer: impl Dialer) -> Result<Self> {
        self.route_shared(name, channels, Arc::new(dialer))
    }

    /// The same with a dialer that is shared.
    ///
    /// # Errors
    /// As [`RoutedDialer::route`].
    pub fn route_shared(mut self, name: &str, channels: impl IntoIterator<Item = Channel>, dialer: Arc<dyn Dialer>) -> Result<Self> {
        if name.is_empty() || self.routes.iter().any(|route| *route.name == *name) {
            return Err(Error::invalid("name", "each dialer needs a name of its own"));
        }
        let mut wanted = Vec::new();
        let served = dialer.capabilities().channels;
        for channel in channels {
            if !served.contains(&channel) {
                return Err(Error::invalid("channels", "the dialer does not serve this channel").with("channel", channel));
            }
            if wanted.contains(&channel) || self.by_channel(channel).is_some() {
                return Err(Error::invalid("channels", "the channel has a dialer already").with("channel", channel));
            }
            wanted.push(channel);
        }
        self.routes.push(Route { name: name.into(), channels: wanted, dialer });
        Ok(self)
    }

    fn by_channel(&self, channel: Channel) -> Option<&Route> {
        self.routes.iter().find(|route| route.channels.contains(&channel))
    }

    fn by_name(&self, name: &Value) -> Option<&Route> {
        let name = name.as_str()?;
        self.routes.iter().find(|route| *route.name == *name)
    }
}

impl Route {
    fn tag(&self, mut outcome: Outcome) -> Outcome {
        outcome.data.insert(TAG.to_owned(), (&*self.name).into());
        outcome
    }

    fn wrap(&self, news: News) -> News {
        News { provider_ref: news.provider_ref, body: json!({ TAG: &*self.name, NEWS: news.body }) }
    }

    /// The news as this dialer wrote it; `None` when it is another's.
    fn unwrap(&self, news: &News) -> Option<News> {
        (news.body[TAG] == *self.name).then(|| News { provider_ref: news.provider_ref.clone(), body: news.body[NEWS].clone() })
    }
}

/// How well a provider protects from repetition; the smaller, the weaker.
fn strength(idempotency: Idempotency) -> (u8, Duration) {
    match idempotency {
        Idempotency::None => (0, Duration::ZERO),
        Idempotency::LookupOnly => (1, Duration::ZERO),
        Idempotency::CallbackRef => (2, Duration::ZERO),
        Idempotency::Native { key_ttl } => (3, key_ttl),
    }
}

fn smallest(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    [one, other].into_iter().flatten().min()
}

#[async_trait]
impl Dialer for RoutedDialer {
    fn capabilities(&self) -> Capabilities {
        let mut all: Option<Capabilities> = None;
        let mut accounts: Vec<Arc<str>> = Vec::new();
        for route in &self.routes {
            let one = Capabilities { channels: route.channels.clone(), ..route.dialer.capabilities() };
            accounts.extend(one.account.clone().filter(|account| !accounts.contains(account)));
            let calls = one.channels.contains(&Channel::Call);
            all = Some(match all {
                None => one,
                Some(all) => Capabilities {
                    channels: [all.channels, one.channels].concat(),
                    idempotency: if strength(one.idempotency) < strength(all.idempotency) { one.idempotency } else { all.idempotency },
                    lookup_lag: all.lookup_lag.max(one.lookup_lag),
                    max_request_time: all.max_request_time.max(one.max_request_time),
                    account: None,
                    calls_per_second: smallest(all.calls_per_second, one.calls_per_second),
                    max_concurrent: smallest(all.max_concurrent, one.max_concurrent),
                    // Both are about calls, which one dialer serves.
                    cancel: if calls { one.cancel } else { all.cancel },
                    machine_detection: if calls { one.machine_detection } else { all.machine_detection },
                },
            });
        }
        let mut all = all.unwrap_or_else(|| Capabilities { channels: Vec::new(), ..Capabilities::default() });
        accounts.sort_unstable();
        all.account = (!accounts.is_empty()).then(|| accounts.join("+").into());
        all
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        let Some(route) = self.by_channel(request.channel) else {
            return Err(DialError::Transient(Error::invalid("channel", "no dialer serves this channel").with("channel", request.channel)));
        };
        let inner = DialContext::new(Arc::new(Inner { route: route.clone(), context }));
        route.dialer.dial(request, inner).await.map(|outcome| route.tag(outcome))
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        let Some(route) = self.by_channel(request.channel) else { return Ok(Found::Unknown) };
        Ok(match route.dialer.find(request).await? {
            Found::Ended(outcome) => Found::Ended(route.tag(outcome)),
            other => other,
        })
    }

    fn callbacks(&self) -> Option<&dyn Callbacks> {
        self.routes.iter().any(|route| route.dialer.callbacks().is_some()).then_some(self)
    }
}

#[async_trait]
impl Callbacks for RoutedDialer {
    fn serves(&self, path: &str) -> bool {
        self.routes.iter().filter_map(|route| route.dialer.callbacks()).any(|callbacks| callbacks.serves(path))
    }

    fn read(&self, request: &CallbackRequest, now: Timestamp) -> Result<Callback, CallbackError> {
        let serving =
            self.routes.iter().find_map(|route| route.dialer.callbacks().filter(|it| it.serves(request.path())).map(|it| (route, it)));
        let (route, callbacks) = serving.ok_or(CallbackError::Unknown)?;
        let mut callback = callbacks.read(request, now)?;
        for signal in &mut callback.signals {
            match signal {
                Signal::Attempt { news, .. } => *news = route.wrap(news.clone()),
                Signal::Message(_) => {}
            }
        }
        if let CallbackAnswer::Call(call) = &mut callback.answer {
            call.data.insert(TAG.to_owned(), (&*route.name).into());
        }
        Ok(callback)
    }

    fn apply(&self, outcome: Option<&Outcome>, news: &News) -> Option<Outcome> {
        let route = self.by_name(&news.body[TAG])?;
        // News of one provider says nothing about what another one did.
        if outcome.is_some_and(|outcome| outcome.data.get(TAG).is_some_and(|tag| *tag != *route.name)) {
            return None;
        }
        let bare = outcome.map(|outcome| {
            let mut bare = outcome.clone();
            bare.data.remove(TAG);
            bare
        });
        route.dialer.callbacks()?.apply(bare.as_ref(), &route.unwrap(news)?).map(|outcome| route.tag(outcome))
    }

    fn is_signed(&self, request: &CallbackRequest) -> bool {
        self.routes.iter().filter_map(|route| route.dialer.callbacks()).any(|callbacks| callbacks.is_signed(request))
    }

    fn answer_call(&self, call: &InboundCall, plan: &CallPlan) -> CallbackResponse {
        let route = call.data.get(TAG).and_then(|tag| self.by_name(tag)).or_else(|| self.by_channel(Channel::Call));
        let Some(callbacks) = route.and_then(|route| route.dialer.callbacks()) else { return CallbackResponse::status(404) };
        let data: Map<String, Value> =
            call.data.iter().filter(|(name, _)| *name != TAG).map(|(name, value)| (name.clone(), value.clone())).collect();
        callbacks.answer_call(&InboundCall { data, ..call.clone() }, plan)
    }

    async fn send(&self, message: OutboundMessage) -> Result<String, DialError> {
        let callbacks = self.by_channel(message.channel).and_then(|route| route.dialer.callbacks());
        match callbacks {
            Some(callbacks) => callbacks.send(message).await,
            None => Err(DialError::Permanent(
                Error::new(Kind::Invalid, "no dialer sends messages on this channel").with("channel", message.channel),
            )),
        }
    }
}

/// The host as one of the dialers sees it: with its own news only.
struct Inner {
    route: Route,
    context: DialContext,
}

impl DialHost for Inner {
    fn now(&self) -> Timestamp {
        self.context.now()
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let context = self.context.clone();
        Box::pin(async move { context.sleep(Duration::try_from(until.duration_since(context.now())).unwrap_or(Duration::ZERO)).await })
    }

    fn placed(&self, provider_ref: String) -> BoxFuture<'static, Result<()>> {
        let context = self.context.clone();
        Box::pin(async move { context.placed(provider_ref).await })
    }

    fn progress(&self, stage: &str) {
        self.context.progress(stage);
    }

    fn news(&self) -> BoxFuture<'static, News> {
        let (context, route) = (self.context.clone(), self.route.clone());
        Box::pin(async move {
            loop {
                if let Some(news) = route.unwrap(&context.news().await) {
                    return news;
                }
            }
        })
    }

    fn cancelled(&self) -> BoxFuture<'static, ()> {
        let context = self.context.clone();
        Box::pin(async move { context.cancelled().await })
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialer::ScriptedDialer;
    use crate::outcome::Disposition;

    struct Calling(&'static str, Capabilities);

    #[async_trait]
    impl Dialer for Calling {
        fn capabilities(&self) -> Capabilities {
            self.1.clone()
        }
        async fn dial(&self, _: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
            let news = context.news().await;
            Ok(Outcome::answered(1).with_detail(format!("{} heard {}", self.0, news.body)))
        }
        async fn find(&self, _: FindRequest) -> Result<Found> {
            Ok(Found::Ended(Outcome::new(Disposition::Busy)))
        }
        fn callbacks(&self) -> Option<&dyn Callbacks> {
            Some(self)
        }
    }

    #[async_trait]
    impl Callbacks for Calling {
        fn serves(&self, path: &str) -> bool {
            path == format!("/{}", self.0)
        }
        fn read(&self, _: &CallbackRequest, _: Timestamp) -> Result<Callback, CallbackError> {
            let news = News { provider_ref: Some("r".into()), body: json!(self.0) };
            let attempt = super::super::AttemptRef::Provider("r".into());
            Ok(Callback { signals: vec![Signal::Attempt { attempt, news }], answer: CallbackAnswer::Ready(CallbackResponse::status(200)) })
        }
        fn apply(&self, outcome: Option<&Outcome>, news: &News) -> Option<Outcome> {
            assert_eq!(news.body, json!(self.0), "news as it was written");
            assert!(outcome.is_none_or(|outcome| !outcome.data.contains_key(TAG)), "the tag is nobody else's business");
            Some(Outcome::answered(9))
        }
        fn answer_call(&self, call: &InboundCall, _: &CallPlan) -> CallbackResponse {
            CallbackResponse::json(&json!({ "by": self.0, "data": call.data }))
        }
        async fn send(&self, _: OutboundMessage) -> Result<String, DialError> {
            Ok(self.0.to_owned())
        }
    }

    fn capabilities(channels: &[Channel], idempotency: Idempotency, seconds: u64, limit: Option<u32>, account: &str) -> Capabilities {
        Capabilities {
            channels: channels.to_vec(),
            idempotency,
            lookup_lag: Duration::from_secs(seconds),
            max_request_time: Duration::from_secs(seconds),
            account: Some(account.into()),
            calls_per_second: limit,
            max_concurrent: limit,
            cancel: channels.contains(&Channel::Call),
            machine_detection: false,
        }
    }

    fn routed() -> RoutedDialer {
        let native = Idempotency::Native { key_ttl: Duration::from_secs(60) };
        let voice = Calling("voice", capabilities(&[Channel::Call, Channel::Sms], native, 5, Some(3), "v"));
        let text = Calling("text", capabilities(&Channel::ALL, Idempotency::LookupOnly, 9, None, "t"));
        RoutedDialer::new().route("voice", [Channel::Call], voice).unwrap().route("text", [Channel::Sms], text).unwrap()
    }

    #[test]
    fn capabilities_are_what_all_can_do() {
        let all = routed().capabilities();
        assert_eq!(all.channels, [Channel::Call, Channel::Sms]);
        assert_eq!(all.idempotency, Idempotency::LookupOnly);
        assert_eq!((all.lookup_lag, all.max_request_time), (Duration::from_secs(9), Duration::from_secs(9)));
        assert_eq!((all.calls_per_second, all.max_concurrent, all.account.as_deref()), (Some(3), Some(3), Some("t+v")));
        assert!(all.cancel && !all.machine_detection);
        assert!(RoutedDialer::new().capabilities().channels.is_empty());
    }

    #[test]
    fn routes_must_be_clear() {
        let some = || Calling("x", capabilities(&[Channel::Call, Channel::WhatsApp], Idempotency::None, 1, None, "x"));
        assert!(routed().route("voice", [Channel::WhatsApp], some()).is_err(), "the name is taken");
        assert!(routed().route("x", [Channel::Call], some()).is_err(), "the channel is taken");
        assert!(RoutedDialer::new().route("x", [Channel::Sms], some()).is_err(), "not served");
        assert!(RoutedDialer::new().route("x", [Channel::Call, Channel::Call], some()).is_err(), "named twice");
        assert!(RoutedDialer::new().route("x", Channel::ALL, ScriptedDialer::new()).unwrap().callbacks().is_none());
    }

    #[test]
    fn callbacks_go_to_whom_they_belong() {
        let dialer = routed();
        assert!(dialer.serves("/text") && !dialer.serves("/other"));
        let read = |path: &str| dialer.read(&CallbackRequest { url: path.to_owned(), ..CallbackRequest::default() }, Timestamp::UNIX_EPOCH);
        assert!(matches!(read("/other"), Err(CallbackError::Unknown)));
        let Signal::Attempt { news, .. } = read("/text").unwrap().signals.remove(0) else { panic!("an attempt") };
        let made = dialer.apply(None, &news).unwrap();
        assert_eq!((made.duration_seconds, &made.data[TAG]), (9, &json!("text")));
        assert!(dialer.apply(Some(&made), &news).is_some());
        let Signal::Attempt { news: other, .. } = read("/voice").unwrap().signals.remove(0) else { panic!("an attempt") };
        assert!(dialer.apply(Some(&made), &other).is_none(), "another's news");
        let call =
            InboundCall { provider_ref: "c".into(), from: None, to: "+1".into(), data: Map::from_iter([(TAG.to_owned(), json!("text"))]) };
        let answer = dialer.answer_call(&call, &CallPlan::Say(String::new()));
        assert_eq!(answer, CallbackResponse::json(&json!({ "by": "text", "data": {} })));
    }

    #[tokio::test]
    async fn attempts_and_questions_go_by_channel() {
        use crate::executor::TokioExecutor;
        use crate::testkit::dialer::{TestHost, find_request, sample_request};
        let dialer = routed();
        let host = TestHost::new(Arc::new(TokioExecutor::current().unwrap()));
        let wrap = |name: &str| dialer.by_name(&json!(name)).unwrap().wrap(News { provider_ref: None, body: json!(name) });
        host.tell(wrap("text"));
        host.tell(wrap("voice"));
        let request = sample_request(1, Channel::Call, Timestamp::UNIX_EPOCH);
        let outcome = dialer.dial(request.clone(), host.context()).await.unwrap();
        assert_eq!((outcome.detail.as_deref(), &outcome.data[TAG]), (Some("voice heard \"voice\""), &json!("voice")));
        let Found::Ended(found) = dialer.find(find_request(&request, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH, None)).await.unwrap()
        else {
            panic!("ended")
        };
        assert_eq!(found.data[TAG], "voice");
        let none = sample_request(2, Channel::WhatsApp, Timestamp::UNIX_EPOCH);
        assert!(matches!(dialer.dial(none, host.context()).await, Err(DialError::Transient(_))));
        let message = OutboundMessage {
            key: "k".into(),
            channel: Channel::Sms,
            from: "+1".into(),
            to: request.to,
            text: "t".into(),
            valid_until: None,
            now: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(dialer.send(message).await.unwrap(), "text");
    }
}
