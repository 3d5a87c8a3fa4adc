//! What comes in, and what is answered.

use super::OURS;
use campaign_core::Kind;
use campaign_core::contact::Variables;
use campaign_core::conversation::Keyword;
use campaign_core::dialer::twilio::{TwilioConfig, TwilioDialer};
use campaign_core::dialer::{
    AttemptRef, CallPlan, Callback, CallbackAnswer, CallbackError, CallbackRequest, Dialer as _, InboundCall, News, Signal,
};
use campaign_core::id::{AttemptId, Money};
use campaign_core::outcome::{Channel, Disposition, Outcome};
use campaign_core::phone::PhoneNumber;
use campaign_tests::vendors::twilio::{ACCOUNT, TOKEN, signed};
use jiff::Timestamp;
use serde_json::json;
use std::sync::{Arc, OnceLock};

const BASE: &str = "https://calls.example.org/hooks";

fn dialer() -> &'static TwilioDialer {
    static DIALER: OnceLock<TwilioDialer> = OnceLock::new();
    DIALER.get_or_init(|| TwilioDialer::new(TwilioConfig::new(ACCOUNT, TOKEN).from_number(OURS).public_base_url(BASE)).unwrap())
}

fn read(path: &str, fields: &[(&str, &str)]) -> Result<Callback, CallbackError> {
    dialer().callbacks().unwrap().read(&signed(&format!("{BASE}{path}"), fields), Timestamp::UNIX_EPOCH)
}

fn news(path: &str, fields: &[(&str, &str)]) -> News {
    match read(path, fields).unwrap().signals.remove(0) {
        Signal::Attempt { news, .. } => news,
        Signal::Message(_) => panic!("a message"),
    }
}

fn apply(outcome: Option<&Outcome>, news: &News) -> Option<Outcome> {
    dialer().callbacks().unwrap().apply(outcome, news)
}

#[test]
fn paths_are_known_with_and_without_what_a_proxy_takes_away() {
    let dialer = dialer();
    let callbacks = dialer.callbacks().unwrap();
    let aliases = ["amd-status", "sms", "whatsapp", "incoming"];
    for name in ["status", "amd", "recording", "message", "inbound", "voice", "relay-end"].into_iter().chain(aliases) {
        assert!(callbacks.serves(&format!("/twilio/{name}")) && callbacks.serves(&format!("/hooks/twilio/{name}")), "{name}");
    }
    for path in ["/twilio/", "/twilio/other", "/status", "/other/twilio/status", "/twilio/status/more", ""] {
        assert!(!callbacks.serves(path), "{path}");
    }
    // Beside the base URL, on the same host and on no other.
    for (host, known) in [("calls.example.org", true), ("other.example.org", false)] {
        let fields = [("CallSid", "CA2"), ("From", "+12125550123"), ("To", OURS), ("Direction", "inbound")];
        let request = signed(&format!("https://{host}/webhooks/twilio/incoming"), &fields);
        assert!(callbacks.serves(request.path()));
        match callbacks.read(&request, Timestamp::UNIX_EPOCH) {
            Ok(callback) => assert!(known && matches!(callback.answer, CallbackAnswer::Call(_))),
            Err(error) => assert!(!known && matches!(error, CallbackError::Unsigned)),
        }
    }
    let fields = [("CallSid", "CA1"), ("CallStatus", "ringing")];
    let request = signed(&format!("{BASE}/twilio/status?attempt=7"), &fields);
    // The same request as different proxies and frameworks hand it on.
    for url in [
        "/hooks/twilio/status?attempt=7",
        "/twilio/status?attempt=7",
        "http://127.0.0.1:8080/hooks/twilio/status?attempt=7",
        "https://other.example/twilio/status?attempt=7",
    ] {
        let request = CallbackRequest { url: url.to_owned(), ..request.clone() };
        let callback = callbacks.read(&request, Timestamp::UNIX_EPOCH).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(
            matches!(&callback.signals[0], Signal::Attempt { attempt: AttemptRef::Id(AttemptId(7)), news } if news.provider_ref.as_deref() == Some("CA1"))
        );
    }
    let other = CallbackRequest { url: "/twilio/status?attempt=8".to_owned(), ..request.clone() };
    assert!(matches!(callbacks.read(&other, Timestamp::UNIX_EPOCH), Err(CallbackError::Unsigned)), "the attempt is signed, too");
    let other = CallbackRequest { url: "/twilio/other".to_owned(), ..request.clone() };
    assert!(matches!(callbacks.read(&other, Timestamp::UNIX_EPOCH), Err(CallbackError::Unknown)));
    assert!(
        matches!(read("/twilio/status?attempt=7", &[("CallStatus", "ringing")]), Err(CallbackError::Malformed(error)) if error.kind() == Kind::Invalid)
    );
    let silent = TwilioDialer::new(TwilioConfig::new(ACCOUNT, TOKEN)).unwrap();
    assert!(silent.callbacks().is_none());
}

#[test]
fn a_socket_is_signed_as_well() {
    let dialer = dialer();
    for scheme in ["wss", "https"] {
        let mut request = signed(&format!("{scheme}://calls.example.org/hooks/twilio/relay"), &[]);
        request.method = "GET".to_owned();
        request.headers.push(("Upgrade".to_owned(), "websocket".to_owned()));
        assert!(dialer.is_signed(&request), "{scheme}");
        request.url = "/twilio/relay?more".to_owned();
        assert!(!dialer.is_signed(&request), "{scheme}");
        // One beside the base URL, on the same host and on no other.
        for (host, known) in [("calls.example.org", true), ("other.example.org", false)] {
            let mut beside = signed(&format!("{scheme}://{host}/elsewhere/stream"), &[]);
            beside.method = "GET".to_owned();
            beside.headers.push(("Upgrade".to_owned(), "websocket".to_owned()));
            beside.url = "/elsewhere/stream".to_owned();
            assert_eq!(dialer.is_signed(&beside), known, "{scheme}://{host}");
        }
    }
}

#[test]
fn news_hold_no_numbers_and_keep_what_is_unknown() {
    let fields = [("CallSid", "CA1"), ("CallStatus", "busy"), ("To", "+34631021622"), ("CallerCity", "Madrid"), ("SomethingNew", "x")];
    let told = news("/twilio/status?attempt=7", &fields);
    let text = told.body.to_string();
    assert!(!text.contains("631021622") && !text.contains("Madrid") && text.contains("SomethingNew"), "{text}");
    assert_eq!(apply(None, &told).unwrap().disposition, Disposition::Busy);
    // Without an attempt in the URL the sid names it.
    let callback = read("/twilio/status", &fields).unwrap();
    assert!(matches!(&callback.signals[0], Signal::Attempt { attempt: AttemptRef::Provider(sid), .. } if sid == "CA1"));
}

#[test]
fn the_order_of_news_does_not_matter() {
    let call = |status: &str, more: &[(&str, &str)]| {
        let mut fields = vec![("CallSid", "CA1"), ("CallStatus", status)];
        fields.extend_from_slice(more);
        news("/twilio/status?attempt=7", &fields)
    };
    let told = [
        call("initiated", &[]),
        call("ringing", &[]),
        call("in-progress", &[]),
        call("completed", &[("CallDuration", "41"), ("AnsweredBy", "human")]),
        news("/twilio/recording?attempt=7", &[("CallSid", "CA1"), ("RecordingUrl", "https://r.example/1"), ("RecordingSid", "RE1")]),
        call("completed", &[("CallDuration", "41"), ("Price", "-0.00750"), ("PriceUnit", "USD")]),
    ];
    // A call that was given up as in doubt, and then everything comes after all, in every order.
    let doubt = Outcome::new(Disposition::InDoubt);
    let mut expected = None;
    let mut order: Vec<usize> = (0..told.len()).collect();
    let mut seen = 0;
    permutations(&mut order, 0, &mut |order| {
        let mut outcome = doubt.clone();
        for news in order.iter().map(|index| &told[*index]) {
            outcome = apply(Some(&outcome), news).unwrap_or(outcome);
        }
        let expected = expected.get_or_insert_with(|| outcome.clone());
        assert_eq!(&outcome, expected);
        seen += 1;
    });
    let outcome = expected.unwrap();
    assert_eq!(seen, 720);
    assert_eq!((outcome.disposition, outcome.duration_seconds, outcome.cost), (Disposition::Answered, 41, Some(Money(7_500))));
    assert_eq!((&outcome.data["recording_sid"], &outcome.data["price_unit"]), (&json!("RE1"), &json!("USD")));
    for news in &told {
        assert_eq!(apply(Some(&outcome), news), None, "what is known changes nothing");
    }
}

fn permutations(order: &mut Vec<usize>, from: usize, visit: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        return visit(order);
    }
    for index in from..order.len() {
        order.swap(from, index);
        permutations(order, from + 1, visit);
        order.swap(from, index);
    }
}

#[test]
fn receipts_amend_and_only_ends_make_outcomes() {
    let told = |status: &str, more: &[(&str, &str)]| {
        let mut fields = vec![("MessageSid", "SM1"), ("MessageStatus", status)];
        fields.extend_from_slice(more);
        news("/twilio/message?attempt=7", &fields)
    };
    assert_eq!(apply(None, &told("queued", &[])), None);
    let elsewhere = news("/twilio/status?attempt=7", &[("MessageSid", "SM1"), ("MessageStatus", "sent")]);
    assert_eq!(apply(None, &elsewhere), apply(None, &told("sent", &[])), "where those of calls are told");
    assert!(matches!(read("/twilio/status", &[("MessageStatus", "sent")]), Err(CallbackError::Malformed(_))));
    let sent = apply(None, &told("sent", &[])).unwrap();
    assert_eq!(sent.disposition, Disposition::Sent);
    let delivered = apply(Some(&sent), &told("delivered", &[])).unwrap();
    assert_eq!(delivered.disposition, Disposition::Delivered);
    assert_eq!(apply(Some(&delivered), &told("sent", &[])), None, "states do not go back");
    assert_eq!(apply(Some(&delivered), &told("read", &[])).unwrap().data["status"], "read");
    let opted_out = apply(Some(&sent), &told("undelivered", &[("ErrorCode", "21610")])).unwrap();
    assert_eq!(opted_out.disposition, Disposition::OptedOut);
    // What the program itself keeps beside an outcome stays.
    let mut kept = sent.clone();
    kept.data.insert("encoding".to_owned(), json!("UCS-2"));
    assert_eq!(apply(Some(&kept), &told("delivered", &[])).unwrap().data["encoding"], "UCS-2");
    let unknown = News { provider_ref: None, body: json!({"about": "the weather"}) };
    assert_eq!(apply(None, &unknown), None);
}

#[test]
fn messages_from_people_are_read() {
    let sms = [
        ("MessageSid", "SM1"),
        ("From", "+34631021622"),
        ("To", OURS),
        ("Body", "Stop, please"),
        ("OptOutType", "STOP"),
        ("NumMedia", "2"),
        ("MediaUrl0", "https://m.example/0"),
        ("MediaUrl1", "https://m.example/1"),
        ("MediaContentType0", "image/png"),
        ("FromCountry", "ES"),
    ];
    let Callback { signals, answer } = read("/twilio/inbound", &sms).unwrap();
    let Some(Signal::Message(message)) = signals.into_iter().next() else { panic!("no message") };
    assert_eq!((message.channel, message.from.as_str(), &*message.to), (Channel::Sms, "+34631021622", OURS));
    assert_eq!((message.text.as_str(), message.keyword, message.confirmed_by_carrier), ("Stop, please", Some(Keyword::OptOut), true));
    assert_eq!(message.media, ["https://m.example/0", "https://m.example/1"]);
    assert_eq!((&message.data["FromCountry"], message.data.get("Body")), (&json!("ES"), None));
    let CallbackAnswer::Ready(response) = answer else { panic!("no answer") };
    assert_eq!(String::from_utf8(response.body).unwrap(), "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>");

    let whatsapp = [
        ("MessageSid", "SM2"),
        ("From", "whatsapp:+34631021622"),
        ("To", "whatsapp:+12025550101"),
        ("Body", "Hola"),
        ("ProfileName", "Ana"),
    ];
    let Some(Signal::Message(message)) = read("/twilio/inbound", &whatsapp).unwrap().signals.into_iter().next() else {
        panic!("no message")
    };
    assert_eq!((message.channel, &*message.to, message.keyword), (Channel::WhatsApp, "+12025550101", None));
    assert_eq!(message.data["ProfileName"], "Ana");
    for (word, keyword) in [("START", Keyword::OptIn), ("HELP", Keyword::Help)] {
        let fields = [("MessageSid", "SM3"), ("From", "+34631021622"), ("To", OURS), ("Body", "x"), ("OptOutType", word)];
        let Some(Signal::Message(message)) = read("/twilio/inbound", &fields).unwrap().signals.into_iter().next() else {
            panic!("no message")
        };
        assert_eq!(message.keyword, Some(keyword));
    }
    let short = [("MessageSid", "SM4"), ("From", "55512"), ("To", OURS), ("Body", "Buy now")];
    assert!(read("/twilio/inbound", &short).unwrap().signals.is_empty(), "who has no number is nobody we know");
}

fn told(plan: &CallPlan) -> String {
    let call = InboundCall { provider_ref: "CA9".to_owned(), from: None, to: OURS.into(), data: Variables::new() };
    String::from_utf8(dialer().callbacks().unwrap().answer_call(&call, plan).body).unwrap()
}

#[test]
fn calls_from_people_are_answered() {
    let fields = [("CallSid", "CA9"), ("From", "+34631021622"), ("To", OURS), ("Direction", "inbound"), ("StirVerstat", "A")];
    let Callback { signals, answer: CallbackAnswer::Call(call) } = read("/twilio/voice", &fields).unwrap() else { panic!("no call") };
    assert!(signals.is_empty());
    assert_eq!((call.provider_ref.as_str(), call.from.as_ref().map(PhoneNumber::as_str), &*call.to), ("CA9", Some("+34631021622"), OURS));
    assert_eq!(call.data["StirVerstat"], "A");

    let assistant = told(&CallPlan::Assistant { attempt: AttemptId(5), welcome: "Hi <Ada>".to_owned(), options: Arc::default() });
    for part in [
        "<Connect action=\"https://calls.example.org/hooks/twilio/relay-end?returned=5\">",
        "<ConversationRelay url=\"wss://calls.example.org/hooks/twilio/relay\" welcomeGreeting=\"Hi &lt;Ada&gt;\"",
        "<Parameter name=\"attempt\" value=\"5\"/><Parameter name=\"direction\" value=\"inbound\"/>",
    ] {
        assert!(assistant.contains(part), "{part} is not in {assistant}");
    }
    let forward = told(&CallPlan::Forward(PhoneNumber::from_e164("+442079460018").unwrap()));
    assert!(forward.contains("<Dial callerId=\"+12025550100\"><Number>+442079460018</Number></Dial>"), "{forward}");
    assert!(told(&CallPlan::Say("We are closed".to_owned())).contains("<Say language=\"en-US\">We are closed</Say><Hangup/>"));
    assert!(told(&CallPlan::Say(String::new())).contains("<Reject/>"));
}

#[test]
fn the_assistant_can_put_a_call_through_when_it_ends() {
    let end = |query: &str, handoff: &str, direction: &str| {
        let fields = [
            ("CallSid", "CA9"),
            ("From", "+12025550100"),
            ("To", "+34631021622"),
            ("Direction", direction),
            ("SessionId", "VX1"),
            ("SessionStatus", "ended"),
            ("SessionDuration", "33"),
            ("HandoffData", handoff),
        ];
        let Callback { signals, answer: CallbackAnswer::Ready(response) } = read(&format!("/twilio/relay-end?{query}"), &fields).unwrap()
        else {
            panic!("no answer")
        };
        (signals.len(), String::from_utf8(response.body).unwrap())
    };
    let (signals, twiml) = end("attempt=7", r#"{"transfer": "+442079460018"}"#, "outbound-api");
    assert_eq!(signals, 1);
    assert!(twiml.contains("<Dial callerId=\"+12025550100\"><Number>+442079460018</Number></Dial>"), "{twiml}");
    let (signals, twiml) = end("returned=7", r#"{"say": "Bye & thanks"}"#, "inbound");
    assert_eq!(signals, 0, "a returned call is none of the attempt's own");
    assert!(twiml.contains(">Bye &amp; thanks</Say><Hangup/>"), "{twiml}");
    for handoff in ["", "not json", r#"{"transfer": "911; drop"}"#, "[]"] {
        assert!(end("attempt=7", handoff, "outbound-api").1.contains("<Response><Hangup/></Response>"), "{handoff}");
    }
}
