//! The layer in front of every API: no key, no entry.

use super::{Principal, Scope};
use crate::error::{Failure, Fault, Shape};
use crate::options::{Access, ServerOptions};
use crate::state::AppState;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

/// What a subprotocol that carries a key begins with.
const SUBPROTOCOL: &str = "burki-token-";

/// What a web page is told that comes to an open server.
const STRANGER: &str =
    "A server without API keys serves this machine only: call it as localhost, and name other web pages in allowed_origins";

/// A key as a client sent it; `Debug` does not show it.
pub(crate) struct Credential(String);

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
    }
}

impl Credential {
    /// From `Authorization: Bearer <key>`; the scheme's case does not matter.
    pub(crate) fn bearer(headers: &HeaderMap) -> Option<Self> {
        let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| Self(key.trim().to_owned()))
    }
}

/// The key of a WebSocket and, when it came as a subprotocol, the name that has to be agreed to: browsers send no headers of one's own.
pub(crate) fn socket_credential(headers: &HeaderMap, uri: &Uri) -> (Option<Credential>, Option<String>) {
    if let Some(credential) = Credential::bearer(headers) {
        return (Some(credential), None);
    }
    // A header without a scheme is taken as the key itself.
    if let Some(key) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) {
        return (Some(Credential(key.trim().to_owned())), None);
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    for name in offered.flat_map(|names| names.split(',')).map(str::trim) {
        if let Some(key) = name.strip_prefix(SUBPROTOCOL) {
            return (Some(Credential(key.to_owned())), Some(name.to_owned()));
        }
    }
    let token = uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("token="));
    // Keys have no character that is escaped in a query.
    (token.filter(|token| !token.is_empty()).map(|token| Credential(token.to_owned())), None)
}

impl Principal {
    /// Who has sent this.
    ///
    /// # Errors
    /// 401 without a key that works, or what reading the store can meet.
    pub(crate) async fn of(state: &AppState, credential: Option<Credential>) -> Result<Self, Fault> {
        if let Access::Open { organization } = state.options().access {
            return Ok(Self { key: None, scope: Scope::Admin, organization });
        }
        let Some(Credential(text)) = credential else {
            return Err(Fault::new(StatusCode::UNAUTHORIZED, "Not authenticated"));
        };
        let key = state.keys().recognise(&text).await?;
        let known = key.and_then(|key| Some((key.scope()?, key)));
        let Some((scope, key)) = known else {
            return Err(Fault::new(StatusCode::UNAUTHORIZED, "Invalid authentication credentials"));
        };
        Ok(Self { key: Some(key.id), scope, organization: key.organization_id })
    }

    /// # Errors
    /// 403 when the key's scope does not reach.
    pub(crate) fn needs(&self, scope: Scope) -> Result<(), Fault> {
        if self.scope >= scope {
            return Ok(());
        }
        Err(Fault::new(StatusCode::FORBIDDEN, format!("This API key lacks the scope {}", scope.as_str())))
    }
}

/// Keeps web pages out of a server that asks for no keys: a browser on the same machine reaches it, and says with every request by what
/// name (a name that an attacker has led here, with DNS rebinding) and, for what is not harmless, for which page. Programs say no origin.
///
/// # Errors
/// 403 for a name or an origin that is neither of this machine nor allowed.
pub(crate) fn stranger(options: &ServerOptions, headers: &HeaderMap) -> Result<(), Fault> {
    if options.access == Access::Keys {
        return Ok(());
    }
    let allowed = |origin: &str| options.allowed_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
    let served = |host: &str| options.allowed_origins.iter().any(|allowed| without_scheme(allowed).eq_ignore_ascii_case(host));
    let every = |name: header::HeaderName, fits: &dyn Fn(&str) -> bool| {
        headers.get_all(name).iter().map(HeaderValue::to_str).all(|value| value.is_ok_and(fits))
    };
    let own = every(header::HOST, &|host| is_loopback(host) || served(host))
        && every(header::ORIGIN, &|origin| is_loopback(without_scheme(origin)) || allowed(origin));
    if own { Ok(()) } else { Err(Fault::new(StatusCode::FORBIDDEN, STRANGER)) }
}

fn without_scheme(origin: &str) -> &str {
    origin.split_once("://").map_or("", |(_, authority)| authority)
}

/// Whether a host, with or without a port, is this machine whatever a name server says.
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Lets through who has a key: reading needs the scope `read`, everything else `write`. Handlers find the [`Principal`] in the
/// request's extensions. `S` is the shape of the API's errors.
pub(crate) async fn guard<S: Shape>(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let scope = if matches!(*request.method(), Method::GET | Method::HEAD) { Scope::Read } else { Scope::Write };
    let found = match stranger(state.options(), request.headers()) {
        Ok(()) => Principal::of(&state, Credential::bearer(request.headers())).await,
        Err(fault) => Err(fault),
    };
    match found.and_then(|principal| principal.needs(scope).map(|()| principal)) {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(fault) => Failure::<S>::from(fault).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[(header::HeaderName, &str)], uri: &str) -> (Option<String>, Option<String>) {
        let headers: HeaderMap = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        let (credential, agreed) = socket_credential(&headers, &uri.parse().unwrap());
        (credential.map(|Credential(text)| text), agreed)
    }

    #[test]
    fn a_socket_carries_its_key_in_four_ways() {
        let key = Some("cmp_1_2".to_owned());
        assert_eq!(found(&[(header::AUTHORIZATION, "Bearer cmp_1_2")], "/ws"), (key.clone(), None));
        assert_eq!(found(&[(header::AUTHORIZATION, "cmp_1_2")], "/ws"), (key.clone(), None));
        assert_eq!(found(&[], "/ws?x=1&token=cmp_1_2"), (key.clone(), None));
        let protocol = "burki-token-cmp_1_2".to_owned();
        assert_eq!(found(&[(header::SEC_WEBSOCKET_PROTOCOL, "json, burki-token-cmp_1_2")], "/ws"), (key, Some(protocol)));
        assert_eq!(found(&[], "/ws?token="), (None, None));
        assert_eq!(format!("{:?}", Credential("cmp_1_2".to_owned())), "Credential");
    }

    #[test]
    fn this_machine_has_few_names() {
        for own in ["localhost", "LocalHost:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
            assert!(is_loopback(own), "{own}");
        }
        for other in
            ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "0.0.0.0", "[::]", "null"]
        {
            assert!(!is_loopback(other), "{other}");
        }
        assert_eq!(without_scheme("null"), "");
    }
}
