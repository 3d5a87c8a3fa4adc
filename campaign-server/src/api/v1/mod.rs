//! API 1: `/api/v1/campaigns`, the do-not-contact list `/api/v1/dnc`, and the WebSockets under `/ws/campaigns`.
//!
//! | file | what is in it |
//! |---|---|
//! | `error`, `extract`, `check` | the shape of errors; whose campaign it is; what bodies and queries may hold |

pub(crate) mod error;

use crate::state::AppState;
use utoipa_axum::router::OpenApiRouter;

pub(crate) fn routes(state: &AppState) -> OpenApiRouter<AppState> {
    let _ = state;
    OpenApiRouter::new()
}
