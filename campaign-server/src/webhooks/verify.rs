//! Whether a delivery is genuine: for receivers that try out their own check against ours.

use campaign_core::http::signature::{WebhookSecret, hex, hmac_sha256, same};
use campaign_core::{Error, Kind, Result};
use jiff::Timestamp;

/// How old a signature of API 2 may be, in seconds: half an hour, as in the scheme it follows.
const TOLERANCE_SECONDS: u64 = 1800;

/// Checks the signature of a delivery.
///
/// `signature` is the header `webhook-signature`, with `id` and `timestamp` from the headers `webhook-id` and `webhook-timestamp`; or the
/// header `X-Webhook-Signature` of API 2 (`t=...,v0=...`), which needs neither. `body` is the body byte for byte.
///
/// ```
/// use campaign_server::webhooks::verify;
///
/// let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// let body = br#"{"test": 2432232314}"#;
/// let now = jiff::Timestamp::from_second(1_614_265_400).unwrap();
/// let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
/// assert!(verify(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", signature, body, now).is_ok());
/// ```
///
/// # Errors
/// [`Kind::Invalid`], with the reason: the secret is none, the signature does not fit, or it is too old.
pub fn verify(secret: &str, id: &str, timestamp: &str, signature: &str, body: &[u8], now: Timestamp) -> Result<()> {
    if signature.starts_with("t=") {
        return verify_v0(secret, signature, body, now);
    }
    WebhookSecret::parse(secret)?.verify(id, timestamp, signature, body, now)
}

/// The signature of API 2.
pub(crate) fn sign_v0(secret: &str, at: Timestamp, body: &[u8]) -> String {
    let seconds = at.as_second();
    format!("t={seconds},v0={}", digest(secret, &seconds.to_string(), body))
}

fn digest(secret: &str, seconds: &str, body: &[u8]) -> String {
    let mut text = format!("{seconds}.").into_bytes();
    text.extend_from_slice(body);
    hex(&hmac_sha256(secret.as_bytes(), &text))
}

fn verify_v0(secret: &str, signature: &str, body: &[u8], now: Timestamp) -> Result<()> {
    let refused = || Error::new(Kind::Invalid, "the signature does not fit");
    let (seconds, given) = signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v0=")).ok_or_else(refused)?;
    let at: i64 = seconds.parse().map_err(|_| refused())?;
    if now.as_second().abs_diff(at) > TOLERANCE_SECONDS {
        return Err(Error::new(Kind::Invalid, "the signature is too old, or from the future; check the clocks"));
    }
    if same(given.as_bytes(), digest(secret, seconds, body).as_bytes()) { Ok(()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_are_checked() {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let later = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        let v0 = sign_v0("s3cret", at, b"{}");
        assert!(verify("s3cret", "", "", &v0, b"{}", later(1800)).is_ok());
        assert!(verify("s3cret", "", "", &v0, b"{}", later(1801)).is_err(), "too old");
        assert!(verify("s3cret", "", "", &v0, b"[]", at).is_err(), "another body");
        assert!(verify("other", "", "", &v0, b"{}", at).is_err(), "another secret");
        assert!(verify("s3cret", "", "", "t=1700000000", b"{}", at).is_err(), "none");
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let v1 = WebhookSecret::parse(secret).unwrap().sign("evt_1", at, b"{}");
        assert!(verify(secret, "evt_1", "1700000000", &v1, b"{}", at).is_ok());
        assert!(verify(secret, "evt_2", "1700000000", &v1, b"{}", at).is_err());
        assert!(verify("whsec_x", "evt_1", "1700000000", &v1, b"{}", at).is_err());
    }
}
