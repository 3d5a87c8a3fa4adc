//! What handlers of API 1 take from a request: who calls, whose campaign, the query, the body.

use super::error::Fail;
use crate::auth::Principal;
use crate::error::{Fault, FieldFault};
use crate::state::AppState;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use campaign_core::campaign::CampaignRecord;
use campaign_core::id::CampaignId;
use campaign_core::wire::Object;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;

/// Who calls; the layer in front of the route has recognised it.
pub(crate) struct Caller(pub(crate) Principal);

impl FromRequestParts<AppState> for Caller {
    type Rejection = Fail;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Fail> {
        let principal = parts.extensions.get::<Principal>().cloned();
        principal.map(Self).ok_or_else(|| Fault::new(StatusCode::UNAUTHORIZED, "Not authenticated").into())
    }
}

/// The campaign that `campaign_id` of the path names, when it is the caller's. There is no other way to a campaign in this API, so no
/// route can show another organisation's: that one is 404.
pub(crate) struct Own {
    /// The campaign.
    pub(crate) record: CampaignRecord,
    names: HashMap<String, String>,
}

impl Own {
    /// Its id.
    pub(crate) fn id(&self) -> CampaignId {
        self.record.id
    }

    /// Another number of the path.
    ///
    /// # Errors
    /// 422 when it is none.
    pub(crate) fn number(&self, name: &'static str) -> Result<i64, Fault> {
        number(&self.names, name)
    }
}

impl FromRequestParts<AppState> for Own {
    type Rejection = Fail;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Fail> {
        let Caller(principal) = Caller::from_request_parts(parts, state).await?;
        let Path(names) =
            Path::<HashMap<String, String>>::from_request_parts(parts, state).await.map_err(|_| Fault::not_found("Campaign"))?;
        let id = number(&names, "campaign_id")?;
        let record = principal.own_campaign(state, CampaignId(id)).await?;
        Ok(Self { record, names })
    }
}

fn number(names: &HashMap<String, String>, name: &'static str) -> Result<i64, Fault> {
    names.get(name).and_then(|text| text.parse().ok()).ok_or_else(|| {
        Fault::fields(vec![FieldFault {
            loc: vec!["path".into(), name.into()],
            message: "Input should be a valid integer, unable to parse string as an integer".to_owned(),
            code: "int_parsing",
        }])
    })
}

/// The query of a request, by name; of a name that is there twice the last.
pub(crate) struct Params(HashMap<String, String>);

impl FromRequestParts<AppState> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        // A query that cannot be read is no query.
        Ok(Self(Query::from_request_parts(parts, state).await.map(|Query(names)| names).unwrap_or_default()))
    }
}

/// Where a listing begins and how long it is, with the answer's `pagination`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) offset: u64,
    pub(crate) limit: u32,
}

impl Window {
    /// The part of the answer that says what is on the page and what else there is.
    pub(crate) fn pagination(self, total: u64) -> Value {
        let limit = u64::from(self.limit);
        let page = self.offset / limit + 1;
        json!({
            "page": page,
            "per_page": limit,
            "total_items": total,
            "total_pages": total.div_ceil(limit),
            "has_next": self.offset + limit < total,
            "has_prev": self.offset > 0,
        })
    }

    /// As engine arguments.
    pub(crate) fn arguments(self, arguments: &mut Object) {
        arguments.insert("offset".to_owned(), self.offset.into());
        arguments.insert("limit".to_owned(), self.limit.into());
    }
}

/// The answer to [`Params::window`]: a page, whose items stand there twice, under their own name and as `items`. It is written from one list:
/// a page may be megabytes, and copying it costs more than reading it from the store.
pub(crate) struct Listing {
    pub(crate) name: &'static str,
    pub(crate) items: Vec<Value>,
    pub(crate) total: u64,
    pub(crate) window: Window,
}

impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry(self.name, &self.items)?;
        out.serialize_entry("items", &self.items)?;
        out.serialize_entry("total", &self.total)?;
        out.serialize_entry("skip", &self.window.offset)?;
        out.serialize_entry("limit", &self.window.limit)?;
        out.serialize_entry("pagination", &self.window.pagination(self.total))?;
        out.end()
    }
}

impl Params {
    /// A text that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A whole number.
    ///
    /// # Errors
    /// 422 when it is none or outside of the range.
    pub(crate) fn integer(&self, name: &'static str, least: i64, most: i64) -> Result<Option<i64>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = |message: String, code| Fault::fields(vec![FieldFault { loc: vec!["query".into(), name.into()], message, code }]);
        let value: i64 = text
            .parse()
            .map_err(|_| wrong("Input should be a valid integer, unable to parse string as an integer".to_owned(), "int_parsing"))?;
        if value < least {
            return Err(wrong(format!("Input should be greater than or equal to {least}"), "greater_than_equal"));
        }
        if value > most {
            return Err(wrong(format!("Input should be less than or equal to {most}"), "less_than_equal"));
        }
        Ok(Some(value))
    }

    /// `page` (from 1) and `per_page` (1 to 1000, 50 if not said), or `skip` and `limit` as the published client counts.
    ///
    /// # Errors
    /// 422 for a value out of range.
    pub(crate) fn window(&self) -> Result<Window, Fault> {
        let page = self.integer("page", 1, i64::MAX / 1000)?;
        let limit = self.integer("per_page", 1, 1000)?.or(self.integer("limit", 1, 1000)?).unwrap_or(50);
        let skip = self.integer("skip", 0, i64::MAX)?;
        let offset = match (page, skip) {
            (Some(page), _) => (page - 1) * limit,
            (None, skip) => skip.unwrap_or(0),
        };
        // Both are within their ranges, so nothing is cut off.
        Ok(Window { offset: offset.unsigned_abs(), limit: u32::try_from(limit).unwrap_or(50) })
    }
}

/// The body of a request: a JSON object.
pub(crate) struct Json(pub(crate) Object);

impl FromRequest<AppState> for Json {
    type Rejection = Fail;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Fail> {
        let bytes = bytes(request, state).await?;
        match value(&bytes)? {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(body_fault("Input should be a valid dictionary or object to extract fields from", "model_attributes_type").into()),
        }
    }
}

impl OptionalFromRequest<AppState> for Json {
    type Rejection = Fail;

    async fn from_request(request: Request, state: &AppState) -> Result<Option<Self>, Fail> {
        let bytes = bytes(request, state).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        match value(&bytes)? {
            Value::Object(object) => Ok(Some(Self(object))),
            Value::Null => Ok(None),
            _ => Err(body_fault("Input should be a valid dictionary or object to extract fields from", "model_attributes_type").into()),
        }
    }
}

async fn bytes(request: Request, state: &AppState) -> Result<Bytes, Fault> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large"),
        _ => Fault::refused("There was an error reading the body"),
    })
}

fn value(bytes: &[u8]) -> Result<Value, Fault> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(body_fault("Field required", "missing"));
    }
    // The reader's own words may repeat what it found.
    serde_json::from_slice(bytes).map_err(|_| body_fault("JSON decode error", "json_invalid"))
}

fn body_fault(message: &str, code: &'static str) -> Fault {
    Fault::fields(vec![FieldFault { loc: vec!["body".into()], message: message.to_owned(), code }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn pages_are_counted_in_two_ways() {
        assert_eq!(params(&[]).window().unwrap(), Window { offset: 0, limit: 50 });
        assert_eq!(params(&[("page", "3"), ("per_page", "20")]).window().unwrap(), Window { offset: 40, limit: 20 });
        assert_eq!(params(&[("skip", "7"), ("limit", "9")]).window().unwrap(), Window { offset: 7, limit: 9 });
        for wrong in [("page", "0"), ("per_page", "1001"), ("page", "x"), ("skip", "-1")] {
            let fault = params(&[wrong]).window().unwrap_err();
            assert_eq!((fault.status.as_u16(), &fault.fields[0].loc), (422, &vec![json!("query"), json!(wrong.0)]));
        }
        let pages = Window { offset: 40, limit: 20 }.pagination(50);
        assert_eq!((pages["page"].as_u64(), pages["total_pages"].as_u64(), pages["has_next"].as_bool()), (Some(3), Some(3), Some(false)));
    }
}
