//! The WebSockets: live progress of one campaign, and the overview of all.
//!
//! One task per socket. It writes what happens, answers what the client asks, and pings. A client that does not take a message in time
//! is given up; one that is slower than its campaign is told what it missed. Close codes: 1000 and 1001 as usual, 1008 without a key that
//! works, 1013 when there are too many sockets, 4000 when the server failed, 4004 when there is no such campaign.

use super::error::Fail;
use super::extract::Own;
use super::messages::{self, Lines};
use super::schema::Connections;
use super::{present, progress};
use crate::auth::{Principal, socket_credential, stranger};
use crate::live::{Heard, Notice, Subscription};
use crate::state::AppState;
use axum::Json;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use campaign_core::Kind;
use campaign_core::campaign::CampaignRecord;
use campaign_core::id::CampaignId;
use campaign_core::store::{CampaignQuery, Paging};
use campaign_core::wire::{self, Object};
use futures_util::future::{BoxFuture, Either, select, select_all};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

/// The longest message of a client.
const LONGEST: usize = 64 * 1024;
/// Campaigns of the overview.
const OVERVIEW: u32 = 1000;
/// Campaigns one socket may subscribe to at once.
const MOST_SUBSCRIPTIONS: usize = 100;
/// Points of a history.
const POINTS: u32 = 60;

/// Why a socket is closed.
struct Closing(u16, &'static str);

const GONE: Closing = Closing(1001, "the server is going away");
const REFUSED: Closing = Closing(1008, "authentication failed");
const CROWDED: Closing = Closing(1013, "too many connections; try again later");
const FAILED: Closing = Closing(4000, "internal error");
const UNKNOWN: Closing = Closing(4004, "campaign not found");

impl From<campaign_core::Error> for Closing {
    fn from(error: campaign_core::Error) -> Self {
        match error.kind() {
            Kind::NotFound => UNKNOWN,
            Kind::Closed => GONE,
            _ => {
                tracing::error!(?error, "a WebSocket failed");
                FAILED
            }
        }
    }
}

/// What is known of a socket before it is open.
struct Visitor {
    headers: HeaderMap,
    uri: Uri,
}

impl Visitor {
    /// Who it is; asked again at every ping, so that a revoked key ends the socket.
    async fn principal(&self, state: &AppState) -> std::result::Result<Principal, Closing> {
        let (credential, _) = socket_credential(&self.headers, &self.uri);
        Principal::of(state, credential).await.map_err(|fault| if fault.status == StatusCode::UNAUTHORIZED { REFUSED } else { FAILED })
    }

    /// Whether the acknowledgement is to carry a number as its time.
    fn wants_unix(&self) -> bool {
        self.uri.query().unwrap_or_default().split('&').any(|pair| pair == "ack=unix")
    }
}

/// Live progress of a campaign. The key comes in `Authorization`, as `?token=`, or as the subprotocol `burki-token-<key>`. The socket
/// is opened first and then closed with a code when something is wrong.
#[utoipa::path(get, path = "/ws/campaigns/{campaign_id}/progress", operation_id = "watch_campaign", tag = "live", security(()),
    params(("campaign_id" = i64, Path, description = "The campaign"),
           ("token" = Option<String>, Query, description = "An API key"),
           ("ack" = Option<String>, Query, description = "`unix`: the time of `connection_ack` as a number")),
    responses((status = 101, description = "A WebSocket"), (status = 400, description = "No WebSocket was asked for"), (status = 426, description = "No WebSocket was asked for")))]
pub(crate) async fn watch(State(state): State<AppState>, Path(id): Path<String>, upgrade: WebSocketUpgrade, request: Request) -> Response {
    open(&state.clone(), upgrade, request, move |socket, visitor| async move {
        let id = id.parse().ok().map(CampaignId);
        Session::new(state, socket, visitor).run(|session| Box::pin(session.watch(id))).await;
    })
}

/// An overview of all campaigns; `{"type": "subscribe", "campaign_id": 42}` adds one to what is told.
#[utoipa::path(get, path = "/ws/campaigns/monitor", operation_id = "monitor_campaigns", tag = "live", security(()),
    params(("token" = Option<String>, Query, description = "An API key"),
           ("ack" = Option<String>, Query, description = "`unix`: the time of `connection_ack` as a number")),
    responses((status = 101, description = "A WebSocket"), (status = 400, description = "No WebSocket was asked for"), (status = 426, description = "No WebSocket was asked for")))]
pub(crate) async fn monitor(State(state): State<AppState>, upgrade: WebSocketUpgrade, request: Request) -> Response {
    open(&state.clone(), upgrade, request, move |socket, visitor| async move {
        Session::new(state, socket, visitor).run(|session| Box::pin(session.monitor())).await;
    })
}

fn open<F: Future<Output = ()> + Send + 'static>(
    state: &AppState,
    upgrade: WebSocketUpgrade,
    request: Request,
    run: impl FnOnce(WebSocket, Visitor) -> F + Send + 'static,
) -> Response {
    if let Err(fault) = stranger(state.options(), request.headers()) {
        return Fail::from(fault).into_response();
    }
    let visitor = Visitor { headers: request.headers().clone(), uri: request.uri().clone() };
    let (_, agreed) = socket_credential(&visitor.headers, &visitor.uri);
    let mut upgrade = upgrade.max_message_size(LONGEST).max_frame_size(LONGEST);
    if let Some(name) = agreed {
        upgrade = upgrade.protocols([name]);
    }
    upgrade.on_upgrade(move |socket| run(socket, visitor)).into_response()
}

/// How many sockets of this process watch a campaign.
#[utoipa::path(get, path = "/ws/campaigns/{campaign_id}/connections", operation_id = "count_connections", tag = "live",
    params(("campaign_id" = i64, Path, description = "The campaign")),
    responses((status = 200, description = "How many", body = Connections)))]
pub(crate) async fn connections(State(state): State<AppState>, own: Own) -> std::result::Result<Json<Value>, Fail> {
    Ok(Json(json!({ "campaign_id": own.id(), "active_connections": state.sockets().of(own.id()) })))
}

/// What may happen next on a socket.
enum Next {
    /// The client said something; `None`: it is gone.
    Client(Option<Message>),
    Heard(CampaignId, Heard),
    Tick,
}

/// One open socket.
struct Session {
    state: AppState,
    socket: WebSocket,
    visitor: Visitor,
    principal: Option<Principal>,
    subscriptions: BTreeMap<CampaignId, Subscription>,
    /// Pings that were not answered by anything.
    silent: u32,
}

type Run = std::result::Result<(), Closing>;

impl Session {
    fn new(state: AppState, socket: WebSocket, visitor: Visitor) -> Self {
        Self { state, socket, visitor, principal: None, subscriptions: BTreeMap::new(), silent: 0 }
    }

    /// Runs to the end, and closes with the code that fits.
    async fn run(mut self, work: impl for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, Run>) {
        if let Err(Closing(code, reason)) = work(&mut self).await {
            // A client that is gone cannot be told.
            let _ = self.send(Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }))).await;
            // Its answer to the closing is waited for a little, so that the code arrives.
            let socket = &mut self.socket;
            let farewell = pin!(async { while let Some(Ok(_)) = socket.recv().await {} });
            select(farewell, pin!(self.state.sleep(std::time::Duration::from_secs(1)))).await;
        }
    }

    async fn watch(&mut self, id: Option<CampaignId>) -> Run {
        let principal = self.visitor.principal(&self.state).await?;
        let id = id.ok_or(UNKNOWN)?;
        let record = principal.campaign(&self.state, id).await?;
        self.principal = Some(principal);
        let ticket = self.state.sockets().enter(Some(id)).ok_or(CROWDED)?;
        self.subscribe(id).await?;
        self.acknowledge(Some(id)).await?;
        let mut first = present::live(&self.state.engine().progress(id).await?);
        first["recent_activity"] = progress::recent(&self.state, id).await?.into();
        self.say(json!({ "type": "initial_progress", "data": first })).await?;
        let done = self.talk(Some(record)).await;
        drop(ticket);
        done
    }

    async fn monitor(&mut self) -> Run {
        let principal = self.visitor.principal(&self.state).await?;
        self.principal = Some(principal);
        let ticket = self.state.sockets().enter(None).ok_or(CROWDED)?;
        self.acknowledge(None).await?;
        self.overview().await?;
        let done = self.talk(None).await;
        drop(ticket);
        done
    }

    async fn acknowledge(&mut self, id: Option<CampaignId>) -> Run {
        let now = self.state.now();
        let unix = now.as_microsecond() as f64 / 1e6;
        let mut ack = json!({ "type": "connection_ack", "timestamp": present::offset_moment(now), "timestamp_unix": unix });
        if self.visitor.wants_unix() {
            ack["timestamp"] = unix.into();
        }
        if let Some(id) = id {
            ack["campaign_id"] = id.0.into();
        }
        self.say(ack).await
    }

    async fn overview(&mut self) -> Run {
        let organization = self.principal.as_ref().and_then(|principal| principal.organization);
        let query = CampaignQuery { organization, paging: Paging { offset: 0, limit: OVERVIEW }, ..CampaignQuery::default() };
        let page = self.state.engine().list_campaigns(query).await?;
        // One that is deleted meanwhile is left out.
        let counted = self.state.engine().progress_of(page.items).await?;
        let campaigns = counted.iter().map(|(record, progress)| {
            let progress = &present::live(progress)["progress"];
            json!({ "campaign_id": record.id, "name": record.spec.name, "status": record.status, "progress": progress })
        });
        let campaigns: Vec<Value> = campaigns.collect();
        let now = present::offset_moment(self.state.now());
        self.say(json!({ "type": "campaigns_overview", "timestamp": now, "data": { "campaigns": campaigns, "total": page.total } })).await
    }

    async fn subscribe(&mut self, id: CampaignId) -> Run {
        if !self.subscriptions.contains_key(&id) {
            let subscription = self.state.feeds().subscribe(self.state.engine(), id).await?;
            self.subscriptions.insert(id, subscription);
        }
        Ok(())
    }

    /// Tells and answers until one of both goes.
    async fn talk(&mut self, own: Option<CampaignRecord>) -> Run {
        let interval = self.state.options().socket_ping_interval;
        let mut tick: BoxFuture<'static, ()> = sleep(self.state.clone(), interval);
        loop {
            let next = self.next(&mut tick).await;
            match next {
                Next::Client(None) => return Ok(()),
                // A goodbye is answered by the next read, which then finds the socket closed.
                Next::Client(Some(message)) => {
                    self.silent = 0;
                    if let Message::Text(text) = message {
                        self.answer(&text, own.as_ref()).await?;
                    }
                }
                Next::Heard(_, Heard::End) => return Err(GONE),
                Next::Heard(id, Heard::Missed(count)) => self.missed(id, count).await?,
                Next::Heard(_, Heard::Notice(notice)) => self.tell(&notice).await?,
                Next::Tick => {
                    if self.silent >= 2 {
                        return Err(GONE);
                    }
                    self.silent += 1;
                    let principal = self.visitor.principal(&self.state).await?;
                    if let Some(own) = &own {
                        // Nothing tells of a campaign that was deleted.
                        principal.campaign(&self.state, own.id).await?;
                    }
                    self.send(Message::Ping(Default::default())).await?;
                    tick = sleep(self.state.clone(), interval);
                }
            }
        }
    }

    async fn next(&mut self, tick: &mut BoxFuture<'static, ()>) -> Next {
        let Self { state, socket, subscriptions, .. } = self;
        let heard = async {
            if subscriptions.is_empty() {
                state.engine().stopped().await;
                return (CampaignId(0), Heard::End);
            }
            let all = subscriptions.iter_mut().map(|(id, subscription)| Box::pin(async { (*id, subscription.next().await) }));
            select_all(all).await.0
        };
        tokio::select! {
            received = socket.recv() => Next::Client(received.and_then(std::result::Result::ok)),
            () = &mut *tick => Next::Tick,
            (id, heard) = heard => Next::Heard(id, heard),
        }
    }

    async fn answer(&mut self, text: &str, own: Option<&CampaignRecord>) -> Run {
        let asked: Object = serde_json::from_str(text).unwrap_or_default();
        let id = asked.get("campaign_id").and_then(Value::as_i64).map(CampaignId);
        match (asked.get("type").and_then(Value::as_str).unwrap_or_default(), own) {
            ("ping", _) => self.say(json!({ "type": "pong", "timestamp": present::offset_moment(self.state.now()) })).await,
            ("request_update" | "request_status", Some(own)) => self.update(own.id).await,
            ("request_update" | "request_status", None) => self.overview().await,
            ("request_history", Some(own)) => self.history(own, asked.get("hours").and_then(Value::as_f64)).await,
            ("subscribe", None) => match self.mine(id).await? {
                Some(_) if self.subscriptions.len() >= MOST_SUBSCRIPTIONS => self.complain("too many subscriptions").await,
                Some(id) => {
                    self.subscribe(id).await?;
                    self.say(json!({ "type": "subscribed", "campaign_id": id })).await?;
                    self.update(id).await
                }
                None => self.complain("campaign not found").await,
            },
            ("unsubscribe", None) => {
                if let Some(id) = id {
                    self.subscriptions.remove(&id);
                }
                self.say(json!({ "type": "unsubscribed", "campaign_id": id })).await
            }
            _ => self.complain("this message is not understood").await,
        }
    }

    /// A campaign by its id, when the caller may see it.
    async fn mine(&mut self, id: Option<CampaignId>) -> std::result::Result<Option<CampaignId>, Closing> {
        let (Some(id), Some(principal)) = (id, &self.principal) else { return Ok(None) };
        match principal.campaign(&self.state, id).await {
            Ok(record) => Ok(Some(record.id)),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn complain(&mut self, message: &str) -> Run {
        self.say(json!({ "type": "error", "message": message, "timestamp": present::offset_moment(self.state.now()) })).await
    }

    async fn update(&mut self, id: CampaignId) -> Run {
        let progress = self.state.engine().progress(id).await?;
        let lines = messages::progress(&progress, self.state.now());
        self.lines(lines).await
    }

    /// What attempts came to, added up over the last hours.
    async fn history(&mut self, own: &CampaignRecord, hours: Option<f64>) -> Run {
        let hours = hours.filter(|hours| hours.is_finite()).unwrap_or(24.0).clamp(0.1, 24.0 * 366.0);
        let now = self.state.now();
        let seconds = (hours * 3600.0) as i64;
        let bucket = u32::try_from(seconds / i64::from(POINTS)).unwrap_or(u32::MAX).max(1);
        let from = now.checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap_or(now);
        let arguments = json!({ "bucket_seconds": bucket });
        let query = wire::timeline_query(own.id, messages::object(arguments), now)?;
        let buckets = self.state.engine().timeline(query).await?;
        self.say(json!({ "type": "metrics_history", "data": messages::history(&buckets, from) })).await
    }

    async fn missed(&mut self, id: CampaignId, count: u64) -> Run {
        let now = present::offset_moment(self.state.now());
        let message = json!({ "type": "missed", "campaign_id": id, "timestamp": now, "count": count, "data": { "count": count } });
        self.say(message).await?;
        self.update(id).await
    }

    async fn tell(&mut self, notice: &Arc<Notice>) -> Run {
        if let Some(lines) = notice.rendered(messages::lines) {
            self.lines(lines).await?;
        }
        Ok(())
    }

    async fn lines(&mut self, lines: Lines) -> Run {
        for line in lines.iter() {
            self.send(Message::Text(line.clone())).await?;
        }
        Ok(())
    }

    async fn say(&mut self, value: Value) -> Run {
        self.send(Message::Text(value.to_string().into())).await
    }

    /// Sends, for so long as a client may take. While it does, what happens waits in the socket's own queue and nowhere else.
    async fn send(&mut self, message: Message) -> Run {
        let late = self.state.sleep(self.state.options().socket_send_timeout);
        match select(pin!(self.socket.send(message)), pin!(late)).await {
            Either::Left((Ok(()), _)) => Ok(()),
            Either::Left((Err(_), _)) | Either::Right(_) => Err(GONE),
        }
    }
}

fn sleep(state: AppState, time: std::time::Duration) -> BoxFuture<'static, ()> {
    Box::pin(async move { state.sleep(time).await })
}
