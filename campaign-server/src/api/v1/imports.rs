//! Files of contacts: uploaded to a temporary file, then imported. Memory does not grow with the file.
//!
//! Once the file is there, the import is carried out to its end, also when the client has gone; what became of it can be read later.

use super::campaigns::Reply;
use super::contacts::import_options;
use super::error::{Fail, FastApi};
use super::extract::{Caller, Own};
use super::schema::{ContactsInput, Imported, UploadInput};
use super::{dialect, present};
use crate::error::{Failure, Fault, FieldFault};
use crate::idempotency::{self, Verdict, is_multipart};
use crate::state::AppState;
use axum::body::Bytes;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use campaign_core::contact::Owner;
use campaign_core::id::CampaignId;
use campaign_core::import::{Format, ImportReport, ImportSource};
use campaign_core::store::{ContactQuery, DocumentQuery, Paging, PutDocument};
use campaign_core::wire::Object;
use campaign_core::{Error, Kind, Result};
use futures_util::StreamExt;
use jiff::SignedDuration;
use ring::digest::{Context, SHA256};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

/// The collection of documents that say what became of imports, and the sequence of their ids.
const COLLECTION: &str = "rest_v1_import";
/// Longest text of `column_mappings`.
const LONGEST_MAPPING: usize = 64 * 1024;
/// An import that has said nothing for so long ended with its process.
const STILL: SignedDuration = SignedDuration::from_mins(2);
/// How often a long import says how far it is, in rows...
const NOTED_EVERY: u64 = 20_000;
/// ...and that it is still carried out.
const ALIVE_EVERY: Duration = Duration::from_secs(20);

/// A file that was uploaded. It has no name in its folder, so that nothing is left of it however the process ends.
struct Upload {
    file: std::fs::File,
    bytes: u64,
    digest: Context,
    name: Option<String>,
    mappings: BTreeMap<String, String>,
    format: Option<Format>,
}

impl Upload {
    async fn begin(state: &AppState) -> Result<(Self, File)> {
        let made = match &state.options().upload_folder {
            Some(folder) => tempfile::tempfile_in(folder),
            None => tempfile::tempfile(),
        };
        let file = made.map_err(not_written)?;
        let written = File::from_std(file.try_clone().map_err(not_written)?);
        let upload = Self { file, bytes: 0, digest: Context::new(&SHA256), name: None, mappings: BTreeMap::new(), format: None };
        Ok((upload, written))
    }

    /// The file from its beginning. There is one place in it, so two readers would be in each other's way.
    fn read(&self) -> Result<std::fs::File> {
        let mut file = self.file.try_clone().map_err(not_written)?;
        file.rewind().map_err(not_written)?;
        Ok(file)
    }

    async fn add(&mut self, file: &mut File, chunk: &Bytes) -> Result<()> {
        file.write_all(chunk).await.map_err(not_written)?;
        self.bytes += chunk.len() as u64;
        self.digest.update(chunk);
        Ok(())
    }
}

fn not_written(error: std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::StorageFull { Kind::Full } else { Kind::Unavailable };
    Error::new(kind, "the upload could not be kept").with_source(error)
}

/// The reader of the form says what is wrong, in words that do not repeat it.
fn broken(error: &MultipartError) -> Fault {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => Fault::refused("There was an error parsing the body"),
    }
}

fn too_large() -> Fault {
    Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "The file is too large")
}

fn wrong(name: &str, message: &str, code: &'static str) -> Fault {
    Fault::fields(vec![FieldFault { loc: vec!["body".into(), name.into()], message: message.to_owned(), code }])
}

/// A form with a `file` and, if wanted, `column_mappings`.
async fn form(state: &AppState, request: Request) -> std::result::Result<Upload, Fault> {
    let mut form = Multipart::from_request(request, state).await.map_err(|_| Fault::refused("There was an error parsing the body"))?;
    let mut upload = None;
    let mut mappings = None;
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
        match field.name() {
            Some("file") if upload.is_none() => upload = Some(file(state, field).await?),
            Some("column_mappings") => mappings = Some(text(field).await?),
            // Whatever else is in the form is read over.
            _ => drain(field).await?,
        }
    }
    let mut upload = upload.ok_or_else(|| wrong("file", "Field required", "missing"))?;
    if let Some(text) = mappings.filter(|text| !text.trim().is_empty()) {
        upload.mappings = serde_json::from_str(&text)
            .map_err(|_| Fault::refused("column_mappings must be a JSON object of column names and field names"))?;
    }
    Ok(upload)
}

async fn file(state: &AppState, mut field: Field<'_>) -> std::result::Result<Upload, Fault> {
    let (mut upload, mut file) = Upload::begin(state).await?;
    upload.name = field.file_name().map(base_name).filter(|name| !name.is_empty());
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error))? {
        upload.add(&mut file, &chunk).await?;
    }
    file.flush().await.map_err(not_written)?;
    Ok(upload)
}

/// The last part of a name, without the folders that some browsers put in front of it.
fn base_name(name: &str) -> String {
    name.rsplit(['/', '\\']).next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(255).collect()
}

async fn text(mut field: Field<'_>) -> std::result::Result<String, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error))? {
        if bytes.len() + chunk.len() > LONGEST_MAPPING {
            return Err(Fault::refused("column_mappings is too long"));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| Fault::refused("column_mappings must be UTF-8"))
}

async fn drain(mut field: Field<'_>) -> std::result::Result<(), Fault> {
    while field.chunk().await.map_err(|error| broken(&error))?.is_some() {}
    Ok(())
}

/// A JSON body: an array of contacts, or an object with `contacts` and, if wanted, `column_mappings`.
async fn body(state: &AppState, request: Request) -> std::result::Result<Upload, Fault> {
    let (mut upload, mut file) = Upload::begin(state).await?;
    let most = state.options().max_upload_bytes as u64;
    let mut chunks = request.into_body().into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Fault::refused("There was an error reading the body"))?;
        if upload.bytes + chunk.len() as u64 > most {
            return Err(too_large());
        }
        upload.add(&mut file, &chunk).await?;
    }
    file.flush().await.map_err(not_written)?;
    upload.format = Some(Format::Json);
    let whole = upload.read()?;
    upload.mappings = blocking(state, move || mappings_of(whole)).await?;
    Ok(upload)
}

/// Reads on over the contacts without keeping them; the import says what is wrong with a body that is no JSON.
fn mappings_of(file: std::fs::File) -> BTreeMap<String, String> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        column_mappings: BTreeMap<String, String>,
    }
    let mut reader = std::io::BufReader::new(file);
    let mut first = [0; 1];
    while reader.read_exact(&mut first).is_ok() && first[0].is_ascii_whitespace() {}
    if first[0] != b'{' {
        return BTreeMap::new();
    }
    let whole = first.chain(reader);
    serde_json::from_reader::<_, Head>(whole).map(|head| head.column_mappings).unwrap_or_default()
}

async fn blocking<T: Send + 'static>(state: &AppState, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (send, receive) = tokio::sync::oneshot::channel();
    state.engine().executor().spawn_blocking(Box::new(move || drop(send.send(work()))));
    receive.await.map_err(|_| Error::new(Kind::Internal, "reading the body ended unexpectedly"))
}

/// Imports a file of contacts (CSV, TSV, JSON, JSON Lines, XLSX, XLS, ODS). Contacts of earlier imports that nobody has tried to reach
/// are replaced.
#[utoipa::path(post, path = "/api/v1/campaigns/{campaign_id}/import-data", operation_id = "import_data", tag = "contacts",
    params(("campaign_id" = i64, Path, description = "The campaign")),
    request_body(content = UploadInput, content_type = "multipart/form-data"),
    responses((status = 200, description = "What became of the rows", body = Imported)))]
pub(crate) async fn import_data(state: State<AppState>, caller: Caller, own: Own, request: Request) -> Response {
    receive(state, caller, own, request).await.unwrap_or_else(Failure::into_response)
}

/// As import-data; takes a JSON body as well.
#[utoipa::path(post, path = "/api/v1/campaigns/{campaign_id}/contacts/import", operation_id = "import_contacts", tag = "contacts",
    params(("campaign_id" = i64, Path, description = "The campaign")),
    request_body(content((UploadInput = "multipart/form-data"), (ContactsInput = "application/json"))),
    responses((status = 200, description = "What became of the rows", body = Imported)))]
pub(crate) async fn import_contacts(state: State<AppState>, caller: Caller, own: Own, request: Request) -> Response {
    receive(state, caller, own, request).await.unwrap_or_else(Failure::into_response)
}

async fn receive(
    State(state): State<AppState>,
    Caller(principal): Caller,
    own: Own,
    request: Request,
) -> std::result::Result<Response, Fail> {
    let headers = request.headers().clone();
    let uri = request.uri().to_string();
    let upload = if is_multipart(&headers) { form(&state, request).await? } else { body(&state, request).await? };
    if upload.bytes == 0 {
        return Err(Fault::refused("The file is empty").into());
    }
    let id = own.id();
    let fingerprint = || {
        let mappings = serde_json::to_vec(&upload.mappings).unwrap_or_default();
        idempotency::digest([uri.as_bytes(), upload.digest.clone().finish().as_ref(), &mappings])
    };
    let begun = match idempotency::begin(&state, &headers, &principal, fingerprint).await? {
        Verdict::Plain => None,
        Verdict::First(begun) => Some(begun),
        Verdict::Again(response) => return Ok(response),
    };
    let work = {
        let state = state.clone();
        async move {
            match carry_out(&state, id, upload).await {
                Ok(answer) => axum::Json(answer).into_response(),
                Err(fault) => Failure::<FastApi>::from(fault).into_response(),
            }
        }
    };
    Ok(idempotency::to_the_end::<FastApi>(&state, begun, work).await)
}

async fn carry_out(state: &AppState, id: CampaignId, upload: Upload) -> std::result::Result<Value, Fault> {
    let engine = state.engine();
    let import = engine.store().next_number(COLLECTION.to_owned()).await?;
    let began = state.now();
    let mut options = import_options(state);
    options.replace_untouched = true;
    let unnamed = if upload.format == Some(Format::Json) { "contacts.json" } else { "upload" };
    options.file_name = Some(upload.name.clone().unwrap_or_else(|| unnamed.to_owned()));
    options.format = upload.format;
    if !upload.mappings.is_empty() {
        options.mapping = Some(upload.mappings.clone());
    }
    let file_name = options.file_name.clone();
    let note = |status: &str, rows: u64| {
        json!({ "import_id": import, "campaign_id": id, "success": true, "status": status, "message": "The import is being carried out",
                "file_name": file_name, "rows_read": rows, "import_date": present::moment(began), "noted_at": state.now() })
    };
    put(state, id, import, note("processing", 0)).await?;
    let (send, mut rows) = tokio::sync::watch::channel(0_u64);
    let source = ImportSource::File(upload.read()?);
    let work = engine.import_with_progress(Owner::Campaign(id), source, options, |progress| {
        if progress.rows >= *send.borrow() + NOTED_EVERY {
            let _ = send.send(progress.rows);
        }
    });
    let mut work = std::pin::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            Ok(()) = rows.changed() => {}
            () = state.sleep(ALIVE_EVERY) => {}
        }
        let read = *rows.borrow_and_update();
        // Only for whoever asks meanwhile: the import goes on whatever becomes of the note.
        if let Err(error) = put(state, id, import, note("processing", read)).await {
            tracing::warn!(%error, "the progress of an import could not be noted");
        }
    };
    let answer = match done.and_then(not_empty) {
        Ok(report) => imported(state, id, import, &upload, &report, began).await?,
        Err(error) => {
            let fault = refused(error);
            let mut failed = note("failed", 0);
            failed["success"] = false.into();
            failed["message"] = fault.message.clone().into();
            put(state, id, import, failed).await?;
            return Err(fault);
        }
    };
    put(state, id, import, answer.clone()).await?;
    Ok(answer)
}

/// A header alone is no list.
fn not_empty(report: ImportReport) -> Result<ImportReport> {
    if report.total == 0 { Err(Error::new(Kind::Invalid, "the file holds no contacts")) } else { Ok(report) }
}

/// A file that cannot be read is 400 in the documents.
fn refused(error: Error) -> Fault {
    match error.kind() {
        Kind::Invalid | Kind::State => Fault::refused(error.to_string()),
        Kind::NotFound => Fault::not_found("Campaign"),
        _ => error.into(),
    }
}

async fn imported(
    state: &AppState,
    id: CampaignId,
    import: i64,
    upload: &Upload,
    report: &ImportReport,
    began: jiff::Timestamp,
) -> Result<Value> {
    let engine = state.engine();
    if !upload.mappings.is_empty() {
        let mappings = serde_json::to_value(&upload.mappings).unwrap_or_default();
        engine
            .edit_campaign(id, |spec| dialect::apply(spec, Object::from_iter([("variable_mappings".to_owned(), mappings.clone())])))
            .await?;
    }
    let count = ContactQuery { paging: Paging { offset: 0, limit: 1 }, ..ContactQuery::of(Owner::Campaign(id)) };
    let total = engine.list_contacts(count).await?.total;
    let added = report.imported + report.suppressed;
    let errors: Vec<Value> = report
        .errors
        .iter()
        .map(|error| json!({ "line": error.line, "column": error.column, "code": error.code, "error": error.reason }))
        .collect();
    Ok(json!({
        "success": true,
        "message": format!("Successfully imported {added} contacts"),
        "imported_count": added,
        "total_contacts": total,
        "file_name": report.file_name,
        "import_date": present::moment(began),
        "import_id": import,
        "campaign_id": id,
        "status": "completed",
        "rows_read": report.total,
        "duplicate_count": report.duplicates,
        "invalid_count": report.invalid,
        "suppressed_count": report.suppressed,
        "errors": errors,
        "errors_truncated": report.errors_truncated,
        "column_mappings": report.mapping,
    }))
}

/// Padded, so that keys sort as numbers.
fn key(id: CampaignId, import: i64) -> String {
    format!("{:016}/{import:016}", id.0)
}

async fn put(state: &AppState, id: CampaignId, import: i64, value: Value) -> Result<()> {
    let put = PutDocument { collection: COLLECTION.to_owned(), key: key(id, import), value, expected_revision: None };
    state.engine().store().put_document(put).await.map(drop)
}

/// What became of an import, or how far it is.
#[utoipa::path(get, path = "/api/v1/campaigns/{campaign_id}/imports/{import_id}", operation_id = "get_import", tag = "contacts",
    params(("campaign_id" = i64, Path, description = "The campaign"), ("import_id" = i64, Path, description = "The import")),
    responses((status = 200, description = "The import", body = Imported)))]
pub(crate) async fn get(State(state): State<AppState>, own: Own) -> Reply {
    let import = own.number("import_id")?;
    let query = DocumentQuery { collection: COLLECTION.to_owned(), key: Some(key(own.id(), import)), after: None, limit: 1 };
    let found = state.engine().store().documents(query).await?.into_iter().next();
    let mut value = found.ok_or_else(|| Fault::not_found("Import"))?.value;
    let noted: Option<jiff::Timestamp> =
        value.as_object_mut().and_then(|object| object.remove("noted_at")).and_then(|at| serde_json::from_value(at).ok());
    if value["status"] == "processing" && ended_with_its_process(&state, noted).await? {
        value["status"] = "failed".into();
        value["success"] = false.into();
        value["message"] = "The import was interrupted; rows stored so far are kept. Import the file again.".into();
    }
    Ok(axum::Json(value))
}

/// Whether nobody carries an import any more: it has said nothing for long, or every node that lives began after it was last heard of.
async fn ended_with_its_process(state: &AppState, noted: Option<jiff::Timestamp>) -> Result<bool> {
    let Some(noted) = noted.filter(|at| state.now().duration_since(*at) <= STILL) else { return Ok(true) };
    Ok(state.engine().nodes().await?.iter().all(|node| node.started_at > noted))
}
