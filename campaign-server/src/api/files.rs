//! Files uploaded to the compatible APIs: small ones, read in memory. Long lists go through `/api/v1`, which streams them.

use crate::auth::Principal;
use crate::error::{Failure, Fault, Shape};
use crate::idempotency::{self, Verdict};
use crate::state::AppState;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use campaign_core::contact::NewContact;
use campaign_core::import::{ImportOptions, ImportReport, ImportSource, Importer};
use campaign_core::{Error, Kind, Result};
use std::collections::BTreeMap;

/// Bytes of a file.
pub(crate) const MOST: usize = 10 << 20;
/// Bytes of a form besides its file.
const MOST_TEXT: usize = 1 << 20;

/// A form.
#[derive(Default)]
pub(crate) struct Form {
    /// Its `file`.
    pub(crate) file: Option<Upload>,
    /// Its other fields.
    pub(crate) fields: BTreeMap<String, String>,
}

/// A file.
pub(crate) struct Upload {
    /// Its name, without folders.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) bytes: Vec<u8>,
}

/// Why a form was not read.
pub(crate) enum Unread {
    /// The file has more than [`MOST`] bytes.
    TooLarge,
    /// Everything else.
    Fault(Fault),
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Unread> for Fault {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::TooLarge => Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "The file is too large"),
            Unread::Fault(fault) => fault,
        }
    }
}

impl Form {
    /// Reads a form. What is not a form has neither file nor fields.
    pub(crate) async fn read(state: &AppState, request: Request) -> std::result::Result<Self, Unread> {
        let mut form = Self::default();
        let Ok(mut parts) = Multipart::from_request(request, state).await else { return Ok(form) };
        let mut text = 0;
        while let Some(field) = parts.next_field().await.map_err(|error| broken(&error))? {
            match field.name().map(str::to_owned) {
                Some(name) if name == "file" => {
                    let file_name = field.file_name().map(base_name).unwrap_or_default();
                    form.file = Some(Upload { name: file_name, bytes: bytes(field, MOST).await? });
                }
                Some(name) => {
                    let value = String::from_utf8(bytes(field, MOST_TEXT - text).await?)
                        .map_err(|_| Fault::refused("The fields of the form must be UTF-8"))?;
                    text += value.len();
                    form.fields.insert(name, value);
                }
                None => {}
            }
        }
        Ok(form)
    }

    /// What tells this form from others.
    fn digest(&self, path: &str) -> String {
        let fields = self.fields.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let file = self.file.iter().flat_map(|file| [file.name.as_bytes(), &file.bytes]);
        idempotency::digest(std::iter::once(path.as_bytes()).chain(fields).chain(file))
    }
}

impl Upload {
    /// The end of its name, in lower case.
    pub(crate) fn extension(&self) -> String {
        self.name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).unwrap_or_default()
    }
}

/// The last part of a name, without the folders that some browsers put in front of it.
fn base_name(name: &str) -> String {
    name.rsplit(['/', '\\']).next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(255).collect()
}

async fn bytes(mut field: Field<'_>, most: usize) -> std::result::Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error))? {
        if bytes.len() + chunk.len() > most {
            return Err(Unread::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn broken(error: &MultipartError) -> Unread {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Unread::TooLarge,
        _ => Unread::Fault(Fault::refused("There was an error parsing the body")),
    }
}

/// Carries out what a form asks for: once for each `Idempotency-Key`, and to its end also when the client has gone.
pub(crate) async fn once<S: Shape, W>(
    state: &AppState,
    headers: &HeaderMap,
    principal: &Principal,
    path: &str,
    form: Form,
    work: impl FnOnce(Form) -> W,
) -> std::result::Result<Response, Failure<S>>
where
    W: Future<Output = std::result::Result<Response, Fault>> + Send + 'static,
{
    let begun = match idempotency::begin(state, headers, principal, || form.digest(path)).await? {
        Verdict::Plain => None,
        Verdict::First(begun) => Some(begun),
        Verdict::Again(response) => return Ok(response),
    };
    let work = work(form);
    let answered = async move {
        match work.await {
            Ok(answer) => answer,
            Err(fault) => Failure::<S>::from(fault).into_response(),
        }
    };
    Ok(idempotency::to_the_end::<S>(state, begun, answered).await)
}

/// Reads a whole file of contacts, on a thread where that is fine.
///
/// # Errors
/// [`Kind::Invalid`] when it cannot be read at all; rows that are not acceptable are in the report.
pub(crate) async fn people(state: &AppState, file: Upload) -> Result<(Vec<NewContact>, ImportReport)> {
    let options = ImportOptions {
        default_region: state.options().default_region.clone(),
        file_name: Some(file.name),
        consent_moment: Some(state.now()),
        ..ImportOptions::default()
    };
    let (send, receive) = tokio::sync::oneshot::channel();
    state.engine().executor().spawn_blocking(Box::new(move || {
        let read = || -> Result<_> {
            let mut importer = Importer::open(ImportSource::from(file.bytes), options)?;
            let mut contacts = Vec::new();
            while let Some(batch) = importer.next_batch(1000)? {
                contacts.extend(batch.contacts);
            }
            Ok((contacts, importer.into_report()))
        };
        // Nobody waits any more when the client has gone.
        drop(send.send(read()));
    }));
    receive.await.map_err(|_| Error::new(Kind::Internal, "reading the file ended unexpectedly"))?
}
