//! Who a request comes from.

use super::organization;
use crate::error::Fault;
use crate::state::AppState;
use campaign_core::campaign::CampaignRecord;
use campaign_core::id::CampaignId;
use campaign_core::{Kind, Result};
use serde::{Deserialize, Serialize};

/// What a key may do; each scope includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look.
    Read,
    /// Create, change, start and stop.
    Write,
    /// Manage what belongs to the whole organisation, such as webhooks.
    Admin,
}

impl Scope {
    /// All of them, the weakest first.
    pub const ALL: [Scope; 3] = [Self::Read, Self::Write, Self::Admin];

    /// The name on the wire and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The scope with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The id of the key; `None` on a server that is open.
    pub key: Option<String>,
    /// The strongest scope.
    pub scope: Scope,
    /// Whose data is seen; `None` sees that of all organisations and of none.
    pub organization: Option<i64>,
}

impl Principal {
    /// Whether something of this organisation may be seen.
    pub fn sees(&self, organization: Option<i64>) -> bool {
        self.organization.is_none() || self.organization == organization
    }

    /// One campaign, when it may be seen. Another organisation's does not exist as far as the caller can tell.
    ///
    /// # Errors
    /// [`Kind::NotFound`], and what reading the store can meet.
    pub async fn campaign(&self, state: &AppState, id: CampaignId) -> Result<CampaignRecord> {
        let record = state.engine().get_campaign(id).await?;
        if self.sees(organization::of_spec(&record.spec)) { Ok(record) } else { Err(campaign_core::Error::not_found("campaign", id)) }
    }

    /// As [`Principal::campaign`], in the words of the APIs.
    ///
    /// # Errors
    /// 404 `Campaign not found`, or what the engine reports.
    pub async fn own_campaign(&self, state: &AppState, id: CampaignId) -> std::result::Result<CampaignRecord, Fault> {
        self.campaign(state, id).await.map_err(|error| match error.kind() {
            Kind::NotFound => Fault::not_found("Campaign"),
            _ => error.into(),
        })
    }
}
