//! What other services and the edges hear: the end of a session, and changes of the signing keys. Written in the
//! transaction of the change, so that neither is ever without the other.

use mcsp_api::events::{TokenKeysRotated, UserSessionRevoked};
use mcsp_db::Tx;
use mcsp_events::envelope;
use mcsp_events::outbox::Outbox;
use mcsp_runtime::{SharedClock, SharedEntropy};

use crate::error::AuthError;
use crate::service::SERVICE;

/// Writes this region's events.
#[derive(Debug, Clone)]
pub(crate) struct EventSource {
    region: String,
    clock: SharedClock,
    entropy: SharedEntropy,
}

impl EventSource {
    pub(crate) fn new(region: String, clock: SharedClock, entropy: SharedEntropy) -> Self {
        Self {
            region,
            clock,
            entropy,
        }
    }

    /// The service in this region, as audit entries name it.
    pub(crate) fn service_name(&self) -> String {
        format!("{}/{SERVICE}", self.region)
    }

    /// No node may accept the session's access tokens from now on; they have all expired at `expires_s`.
    pub(crate) async fn session_revoked(
        &self,
        tx: &mut Tx,
        session_id: &str,
        expires_s: i64,
    ) -> Result<(), AuthError> {
        let event = UserSessionRevoked {
            session_id: session_id.to_owned(),
            expires_s,
        };
        let record = envelope::encode(&event, SERVICE, &*self.clock, &*self.entropy)?;
        Ok(Outbox::add(tx, record).await?)
    }

    /// These are the region's keys now.
    pub(crate) async fn keys_rotated(
        &self,
        tx: &mut Tx,
        jwks_json: String,
    ) -> Result<(), AuthError> {
        let event = TokenKeysRotated {
            region: self.region.clone(),
            jwks_json,
        };
        let record = envelope::encode(&event, SERVICE, &*self.clock, &*self.entropy)?;
        Ok(Outbox::add(tx, record).await?)
    }
}
