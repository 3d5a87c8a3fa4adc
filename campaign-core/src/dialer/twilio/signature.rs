//! Signatures of callbacks: `X-Twilio-Signature`.
//!
//! Over the URL exactly as Twilio called it, followed for a form by its fields: names sorted, each with its values sorted, nothing
//! between them, repetitions left out. HMAC-SHA1 with the auth token, or HMAC-SHA256 with a shared key when the header
//! `X-Twilio-Webhooks-Signature-Settings` says so. A body that is no form is named by its SHA-256 in the URL.

use super::config::TwilioConfig;
use crate::dialer::CallbackRequest;
use crate::http::signature::{base64, hex, hmac_sha1, hmac_sha256, same, sha256};
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

const SIGNATURE: &str = "X-Twilio-Signature";
const SETTINGS: &str = "X-Twilio-Webhooks-Signature-Settings";
const BODY_HASH: &str = "bodySHA256";

/// A callback whose signature fits.
pub(super) struct Signed {
    /// The fields of its form, or those of its URL when it has no body.
    pub(super) fields: Vec<(String, String)>,
    /// What the URL asks for.
    pub(super) query: Vec<(String, String)>,
}

/// Checks a callback; `url` is the public one. `None`: it is not signed by Twilio.
pub(super) fn check(config: &TwilioConfig, url: &str, request: &CallbackRequest) -> Option<Signed> {
    let signature = request.header(SIGNATURE)?;
    let (secret, sha256_signed) = secret(config, request.header(SETTINGS))?;
    let query = pairs(url.split_once('?').map_or("", |(_, query)| query).as_bytes());
    let is_form = request
        .header("content-type")
        .is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    let body = if is_form { pairs(&request.body) } else { Vec::new() };
    if !is_form {
        // The signature covers the URL, the URL covers the body, and a body that was taken away is another body.
        let fits = match query.iter().find(|(name, _)| name == BODY_HASH) {
            Some((_, named)) => same(named.as_bytes(), hex(&sha256(&request.body)).as_bytes()),
            None => request.body.is_empty(),
        };
        if !fits {
            return None;
        }
    }
    let suffix = suffix(&body);
    let mut fits = false;
    for url in spellings(url) {
        let text = format!("{url}{suffix}");
        let expected = if sha256_signed { hmac_sha256(secret, text.as_bytes()) } else { hmac_sha1(secret, text.as_bytes()) };
        fits |= same(signature.trim().as_bytes(), base64(&expected).as_bytes());
    }
    fits.then(|| Signed { fields: if body.is_empty() { query.clone() } else { body }, query })
}

/// The secret, and whether it is for HMAC-SHA256.
fn secret<'a>(config: &'a TwilioConfig, settings: Option<&str>) -> Option<(&'a [u8], bool)> {
    let setting = |wanted: &str| {
        settings?.split(',').filter_map(|part| part.split_once('=')).find(|(name, _)| name.trim() == wanted).map(|(_, value)| value.trim())
    };
    match setting("algorithm").filter(|algorithm| !algorithm.is_empty()).unwrap_or("HMAC_SHA1") {
        algorithm if algorithm.eq_ignore_ascii_case("HMAC_SHA1") => config.auth_token.as_deref().map(|token| (token.as_bytes(), false)),
        algorithm if algorithm.eq_ignore_ascii_case("HMAC_SHA256") => {
            config.webhook_keys.get(setting("key")?).map(|secret| (secret.as_bytes(), true))
        }
        _ => None,
    }
}

/// Fields as they are appended to the URL.
fn suffix(fields: &[(String, String)]) -> String {
    let mut sorted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in fields {
        sorted.entry(name).or_default().insert(value);
    }
    let mut text = String::new();
    for (name, values) in sorted {
        for value in values {
            text.push_str(name);
            text.push_str(value);
        }
    }
    text
}

/// The URL with and without its port: Twilio signs it either way.
fn spellings(url: &str) -> Vec<String> {
    let mut spellings = vec![url.to_owned()];
    let (Some((scheme, rest)), Ok(parsed)) = (url.split_once("://"), Url::parse(url)) else { return spellings };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let port = authority.rsplit_once(':').filter(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    match (port, parsed.port_or_known_default()) {
        (Some((host, _)), _) => spellings.push(format!("{scheme}://{host}{tail}")),
        (None, Some(port)) => spellings.push(format!("{scheme}://{authority}:{port}{tail}")),
        (None, None) => {}
    }
    spellings
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text).into_owned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const BODY: &str = "CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212";
    /// The vector of Twilio's documentation, and of its own libraries' tests.
    const SIGNED: &str = "0/KCTR6DLpKmkAf8muzZqo1nDgQ=";

    fn config() -> TwilioConfig {
        TwilioConfig::new("AC0123456789abcdef0123456789abcdef", "12345").with(|config| {
            config.webhook_keys.insert("key1".to_owned(), "shared".to_owned());
        })
    }

    fn fits(url: &str, kind: &str, body: &[u8], headers: &[(&str, &str)]) -> bool {
        let mut request = CallbackRequest { method: "POST".into(), url: url.into(), headers: Vec::new(), body: body.to_vec() };
        request.headers.push(("Content-Type".into(), kind.into()));
        request.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        check(&config(), url, &request).is_some()
    }

    const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

    #[test]
    fn the_vector_fits_and_nothing_else_does() {
        let signed = [("x-twilio-signature", SIGNED)];
        assert!(fits(URL, FORM, BODY.as_bytes(), &signed));
        // Twilio signs URLs with and without a port.
        assert!(fits("https://mycompany.com:8443/myapp.php?foo=1&bar=2", FORM, BODY.as_bytes(), &signed), "signed without the port");
        assert!(!fits("http://mycompany.com/myapp.php?foo=1&bar=2", FORM, BODY.as_bytes(), &signed), "another scheme");
        assert!(!fits("https://mycompany.com/myapp.php?foo=1", FORM, BODY.as_bytes(), &signed), "another query");
        assert!(!fits(URL, FORM, BODY.replace("1234&", "1235&").as_bytes(), &signed), "another field");
        assert!(!fits(URL, FORM, format!("{BODY}&More=").as_bytes(), &signed), "one more field, though empty");
        assert!(fits(URL, FORM, format!("{BODY}&Digits=1234").as_bytes(), &signed), "a repetition is left out, as the official helpers do");
        assert!(!fits(URL, "application/json", BODY.as_bytes(), &signed), "a body that nothing covers");
        assert!(!fits(URL, FORM, BODY.as_bytes(), &[]), "no signature");
        assert!(!fits(URL, FORM, BODY.as_bytes(), &[("X-Twilio-Signature", "")]), "an empty one");
    }

    #[test]
    fn shared_keys_and_bodies() {
        let sign = |url: &str| base64(&hmac_sha256(b"shared", url.as_bytes()));
        let settings = ("X-Twilio-Webhooks-Signature-Settings", "key=key1,algorithm=HMAC_SHA256");
        let body = br#"{"a":1}"#;
        let url = format!("https://mycompany.com/json?bodySHA256={}", hex(&sha256(body)));
        let signature = sign(&url);
        assert!(fits(&url, "application/json", body, &[("X-Twilio-Signature", &signature), settings]));
        assert!(!fits(&url, "application/json", b"{}", &[("X-Twilio-Signature", &signature), settings]), "another body");
        assert!(!fits(&url, "application/json", body, &[("X-Twilio-Signature", &signature)]), "SHA-256 must be announced");
        let other = ("X-Twilio-Webhooks-Signature-Settings", "key=key2,algorithm=HMAC_SHA256");
        assert!(!fits(&url, "application/json", body, &[("X-Twilio-Signature", &signature), other]), "an unknown key");
        let other = ("X-Twilio-Webhooks-Signature-Settings", "key=key1,algorithm=NONE");
        assert!(!fits(&url, "application/json", body, &[("X-Twilio-Signature", &signature), other]), "an unknown algorithm");
    }

    #[test]
    fn ports_may_be_there_or_not() {
        assert_eq!(spellings("https://a.example/x?y"), ["https://a.example/x?y", "https://a.example:443/x?y"]);
        assert_eq!(spellings("http://a.example:80/x"), ["http://a.example:80/x", "http://a.example/x"]);
        assert_eq!(spellings("https://[::1]/x"), ["https://[::1]/x", "https://[::1]:443/x"]);
        assert_eq!(spellings("https://[::1]:8443"), ["https://[::1]:8443", "https://[::1]"]);
        assert_eq!(spellings("wss://a.example/x")[1], "wss://a.example:443/x");
    }
}
