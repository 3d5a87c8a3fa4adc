//! What a campaign is: its spec, its kinds, its lifecycle. Pure; no I/O.

mod kinds;
mod lifecycle;
mod replies;
mod spec;
mod validate;

pub use crate::status::CampaignStatus;
pub use kinds::{Campaign, CampaignKind, ContactView, Next, SpecCampaign};
pub use lifecycle::{CampaignRecord, RunState};
pub use replies::{OptOutScope, ReplySettings, ReturnedCalls};
pub use spec::{
    Backoff, CallerId, CampaignSpec, CampaignSpecBuilder, CampaignType, Condition, FrequencyCap, OutcomeRule, Priority, RetryPolicy, Step,
    TemplateSyntax, VoicemailSettings,
};
pub(crate) use validate::organization as check_organization;
