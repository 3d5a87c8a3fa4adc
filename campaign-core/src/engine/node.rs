//! The lease of this node.

use super::core::{Core, Lease, Phase, later};
use crate::store::{NewNode, RenewNode};
use crate::{Kind, Result};
use jiff::SignedDuration;
use std::sync::Arc;

/// Registers the node and takes the lease.
pub(crate) async fn register(core: &Arc<Core>) -> Result<()> {
    let (own, before) = (core.clock.own(), core.now());
    let node = NewNode { name: core.options.node_name.clone(), lease: lease(core), now: before };
    let registered = core.guarded(core.store.register_node(node)).await?;
    core.clock.heard(own, registered.now);
    *core.lease.lock() = Some(Lease { token: registered.token, valid_until: later(own, core.options.lease) });
    Ok(())
}

/// Renews the lease three times in its length. A node that finds it gone registers anew; what it had claimed is others' by then.
pub(crate) async fn keep_lease(core: Arc<Core>) {
    loop {
        core.sleep(core.options.lease / 3).await;
        if core.phase() == Phase::Stopped {
            return;
        }
        let Some(lease_held) = *core.lease.lock() else { return };
        let before = core.clock.own();
        let renewed =
            core.guarded(core.store.renew_node(RenewNode { token: lease_held.token, lease: lease(&core), now: core.now() })).await;
        match renewed {
            Ok(()) => {
                let mut held = core.lease.lock();
                if let Some(held) = held.as_mut()
                    && held.token == lease_held.token
                {
                    held.valid_until = later(before, core.options.lease);
                }
            }
            Err(error) if error.kind() == Kind::Stale => {
                tracing::warn!("the lease ran out before it was renewed; registering anew");
                if let Err(error) = register(&core).await {
                    tracing::error!(%error, "registering anew failed; nothing is handed over meanwhile");
                }
                core.changed();
            }
            Err(error) => tracing::warn!(%error, "the lease was not renewed; trying again"),
        }
    }
}

fn lease(core: &Core) -> SignedDuration {
    SignedDuration::try_from(core.options.lease).unwrap_or(SignedDuration::from_secs(15))
}
