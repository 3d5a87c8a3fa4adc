//! Signatures of callbacks and webhooks. Comparisons take the same time wherever the texts differ.

use crate::error::{Error, Kind, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::hmac;

/// HMAC-SHA1, which some providers still sign with.
pub fn hmac_sha1(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key), data).as_ref().to_vec()
}

/// HMAC-SHA256.
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

/// SHA-256.
pub fn sha256(data: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, data).as_ref().to_vec()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        out
    })
}

/// Base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Whether two texts are the same, in a time that depends on their lengths only.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    // The digests have one length whatever the texts have, so the comparison below shows nothing of either.
    let fold = |text: &[u8]| hmac_sha256(b"same", text);
    let (one, other) = (fold(one), fold(other));
    one.iter().zip(&other).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

/// A secret of Standard Webhooks: the bytes that base64 after `whsec_` stands for.
///
/// Format: <https://www.standardwebhooks.com>.
#[derive(Clone)]
pub struct WebhookSecret(Vec<u8>);

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

/// How far the moment in a signature may lie from now, either way: five minutes, as Standard Webhooks recommends.
pub const TOLERANCE_SECONDS: i64 = 300;

impl WebhookSecret {
    /// From `whsec_` and base64; the prefix may be missing.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when it is not base64 or stands for fewer than 16 bytes.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = STANDARD
            .decode(text.strip_prefix("whsec_").unwrap_or(text))
            .map_err(|_| Error::invalid("secret", "must be base64, usually with whsec_ before it"))?;
        if bytes.len() < 16 {
            return Err(Error::invalid("secret", "must stand for at least 16 bytes"));
        }
        Ok(Self(bytes))
    }

    /// The header `webhook-signature` for a message: `v1,` and base64 of HMAC-SHA256 over id, seconds and body, joined by dots.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        format!("v1,{}", base64(&hmac_sha256(&self.0, &signed_text(id, at.as_second(), body))))
    }

    /// Checks the headers `webhook-id`, `webhook-timestamp` and `webhook-signature` of a message; one of several signatures suffices.
    ///
    /// # Errors
    /// [`Kind::Invalid`]: no signature fits, or the moment is more than [`TOLERANCE_SECONDS`] from `now`.
    pub fn verify(&self, id: &str, timestamp: &str, signatures: &str, body: &[u8], now: Timestamp) -> Result<()> {
        let refused = || Error::new(Kind::Invalid, "the signature does not fit");
        let seconds: i64 = timestamp.parse().map_err(|_| refused())?;
        if now.as_second().abs_diff(seconds) > TOLERANCE_SECONDS.unsigned_abs() {
            return Err(Error::new(Kind::Invalid, "the signature is too old, or from the future; check the clocks"));
        }
        let expected = base64(&hmac_sha256(&self.0, &signed_text(id, seconds, body)));
        let fits = signatures
            .split(' ')
            .filter_map(|signature| signature.strip_prefix("v1,"))
            .fold(false, |fits, signature| same(signature.as_bytes(), expected.as_bytes()) | fits);
        if fits { Ok(()) } else { Err(refused()) }
    }
}

fn signed_text(id: &str, seconds: i64, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{id}.{seconds}.").into_bytes();
    text.extend_from_slice(body);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_webhooks_are_signed_as_the_reference_does() {
        // The vector of the reference implementations.
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let at = Timestamp::from_second(1_614_265_330).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let verify = |id: &str, seconds: &str, signatures: &str, body: &[u8], now: i64| {
            secret.verify(id, seconds, signatures, body, Timestamp::from_second(now).unwrap()).is_ok()
        };
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let two = format!("v1,AAAA v1a,x {signature}");
        assert!(verify(id, "1614265330", &two, body, 1_614_265_630));
        assert!(!verify(id, "1614265330", &two, body, 1_614_265_631), "too old");
        assert!(!verify(id, "1614265330", &two, body, 1_614_265_029), "from the future");
        assert!(!verify(id, "1614265331", &two, body, 1_614_265_330), "another moment");
        assert!(!verify("msg_x", "1614265330", &two, body, 1_614_265_330), "another id");
        assert!(!verify(id, "1614265330", &two, b"{}", 1_614_265_330), "another body");
        assert!(!verify(id, "1614265330", "", body, 1_614_265_330), "none");
        assert!(!format!("{secret:?}").contains("Mf"));
        assert!(WebhookSecret::parse("whsec_short").is_err());
    }

    #[test]
    fn sameness_is_about_content() {
        assert!(same(b"token", b"token") && same(b"", b""));
        assert!(!same(b"token", b"tokem") && !same(b"token", b"token ") && !same(b"", b"x"));
        assert_eq!(hex(&[0, 0xab, 0x1f]), "00ab1f");
    }
}
