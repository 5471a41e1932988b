//! Login sessions: opened by a password, kept alive by refresh tokens that are each good for one use, ended by logout or
//! by the return of a spent token.
//!
//! There is no grace for a spent token, not even for a client that lost the answer to a good request: within any grace
//! a thief's copy would be as good as the owner's. Such a client signs in again. Our own clients see to it that one
//! of their tabs or commands refreshes at a time, and that a page's end does not lose the answer (`ops/web/site/api.js`).

use mcsp_api::rest::{TokenResponse, UserProfile};
use mcsp_api::{OrganisationId, RegionCode, ViewerIdentity};
use mcsp_audit::AuditEntry;
use mcsp_auth_edge::token::AUDIENCE;
use mcsp_auth_edge::{AccessClaims, issuer_of};
use mcsp_db::Tx;
use serde_json::json;

use crate::error::AuthError;
use crate::secrets::{
    new_hex_id, new_refresh_token, new_session_id, refresh_digest, region_of_refresh_token,
};
use crate::service::{AuthService, SignedIn};
use crate::store::{self, RefreshState, User};
use crate::transaction::transaction;

const REASON_LOGOUT: &str = "logout";
const REASON_THEFT: &str = "refresh-token-reused";
const SIGN_IN_AGAIN: &str = "the session has ended; sign in again";

impl AuthService {
    /// Opens a session for the user within `tx`.
    pub(crate) async fn open_session(
        &self,
        tx: &mut Tx,
        user: &User,
    ) -> Result<SignedIn, AuthError> {
        let now_ms = self.parts.clock.now_ms();
        let session_id = new_session_id(self.parts.region_code, &*self.parts.entropy);
        store::insert_session(tx.conn(), &session_id, &user.user_id, now_ms, now_ms).await?;
        self.continue_session(tx, user, &session_id, now_ms).await
    }

    /// Trades a refresh token for a new one and an access token.
    ///
    /// # Errors
    /// [`AuthError::NoSession`] for every token that is not good; a spent one ends its session, which is audited and
    /// told to all edges. [`AuthError::NotHome`] for another region's, which stays good.
    pub async fn refresh(&self, token: &str) -> Result<SignedIn, AuthError> {
        if let Some(home) = region_of_refresh_token(token) {
            self.check_home(home)?;
        }
        let digest = refresh_digest(token).ok_or(AuthError::NoSession(SIGN_IN_AGAIN))?;
        let renewed = transaction!(self.parts.db, tx => self.spend(&mut tx, &digest).await)?;
        renewed.ok_or(AuthError::NoSession(SIGN_IN_AGAIN))
    }

    /// Ends the viewer's session. Ending it again changes nothing.
    ///
    /// # Errors
    /// [`AuthError::NotHome`], and the database's.
    pub async fn logout(&self, viewer: &ViewerIdentity) -> Result<(), AuthError> {
        self.check_home(viewer.user_id.region())?;
        let ended = transaction!(self.parts.db, tx => self.end(&mut tx, &viewer.session_id, REASON_LOGOUT).await);
        ended.map(|_| ())
    }

    /// Without it, a call that was brought to the wrong region would find no session and say that it has ended.
    pub(crate) fn check_home(&self, home: RegionCode) -> Result<(), AuthError> {
        if home == self.parts.region_code {
            Ok(())
        } else {
            Err(AuthError::NotHome(home))
        }
    }

    /// The continued session; nothing when the token is not good. One that was spent before ends its session in the same
    /// transaction.
    async fn spend(&self, tx: &mut Tx, digest: &str) -> Result<Option<SignedIn>, AuthError> {
        let now_ms = self.parts.clock.now_ms();
        let Some(state) = store::refresh_state(tx.conn(), digest).await? else {
            return Ok(None);
        };
        if state.session_ended_ms.is_some() {
            return Ok(None);
        }
        if state.spent_ms.is_some() {
            self.end_stolen(tx, &state).await?;
            return Ok(None);
        }
        let session_ends_ms = self.session_ends_ms(state.session_created_ms);
        if now_ms >= state.token_expires_ms.min(session_ends_ms) {
            return Ok(None);
        }
        // Where transactions run beside each other, two of them may have read the token as good.
        if !store::spend_refresh_token(tx.conn(), digest, now_ms).await? {
            self.end_stolen(tx, &state).await?;
            return Ok(None);
        }
        let renewed = self
            .continue_session(tx, &state.user, &state.session_id, state.session_created_ms)
            .await?;
        Ok(Some(renewed))
    }

    async fn end_stolen(&self, tx: &mut Tx, state: &RefreshState) -> Result<(), AuthError> {
        if !self.end(tx, &state.session_id, REASON_THEFT).await? {
            return Ok(());
        }
        tracing::warn!(session_id = %state.session_id, "a spent refresh token came back: session ended");
        let entry = AuditEntry {
            actor: self.events.service_name(),
            action: "auth.session.revoke".to_owned(),
            object: state.session_id.clone(),
            detail: json!({ "user_id": state.user.user_id, "reason": REASON_THEFT, "spent_ms": state.spent_ms }),
            trace_id: mcsp_telemetry::current_trace().map(|trace| trace.trace_id_hex()),
        };
        self.audit
            .record_in(tx, entry)
            .await
            .map_err(AuthError::Audit)?;
        Ok(())
    }

    /// Ends the session and tells the edges; false when it had ended before.
    async fn end(&self, tx: &mut Tx, session_id: &str, reason: &str) -> Result<bool, AuthError> {
        let now_ms = self.parts.clock.now_ms();
        if !store::end_session(tx.conn(), session_id, now_ms, reason).await? {
            return Ok(false);
        }
        // The last access token can have been issued just now.
        let expires_s = self
            .parts
            .clock
            .now_s()
            .saturating_add(i64::from(self.parts.config.access_token_s) + 1);
        self.events
            .session_revoked(tx, session_id, expires_s)
            .await?;
        Ok(true)
    }

    /// A refresh token and an access token for a session that goes on.
    async fn continue_session(
        &self,
        tx: &mut Tx,
        user: &User,
        session_id: &str,
        session_created_ms: i64,
    ) -> Result<SignedIn, AuthError> {
        let parts = &self.parts;
        let now_ms = parts.clock.now_ms();
        let refresh_token = new_refresh_token(parts.region_code, &*parts.entropy);
        let digest = refresh_digest(&refresh_token)
            .ok_or_else(|| AuthError::Internal("a new refresh token is not one".to_owned()))?;
        let unused_until_ms = now_ms.saturating_add(i64::from(parts.config.refresh_token_s) * 1000);
        let expires_ms = unused_until_ms.min(self.session_ends_ms(session_created_ms));
        store::insert_refresh_token(tx.conn(), &digest, session_id, now_ms, expires_ms).await?;
        // Signed before the commit: should that fail, the token spent in this transaction is still good.
        let access_token = self.keys.sign(&self.claims(user, session_id)?)?;
        Ok(SignedIn {
            response: TokenResponse {
                access_token,
                token_type: "Bearer".to_owned(),
                expires_in: parts.config.access_token_s,
                user: profile(user),
            },
            refresh_token,
            refresh_max_age_s: (expires_ms - now_ms) / 1000,
        })
    }

    fn claims(&self, user: &User, session_id: &str) -> Result<AccessClaims, AuthError> {
        let now_s = self.parts.clock.now_s();
        let org = user
            .organisation_id
            .as_deref()
            .map(str::parse::<OrganisationId>)
            .transpose()
            .map_err(|_| {
                AuthError::Internal(format!(
                    "user {} has an organisation that cannot be read",
                    user.user_id
                ))
            })?;
        Ok(AccessClaims {
            iss: issuer_of(&self.parts.region),
            aud: AUDIENCE.to_owned(),
            sub: user.user_id.clone(),
            role: user.role,
            sid: session_id.to_owned(),
            org,
            exp: now_s + i64::from(self.parts.config.access_token_s),
            iat: now_s,
            nbf: now_s,
            jti: new_hex_id(&*self.parts.entropy),
        })
    }

    fn session_ends_ms(&self, created_ms: i64) -> i64 {
        created_ms.saturating_add(i64::from(self.parts.config.session_max_s) * 1000)
    }
}

pub(crate) fn profile(user: &User) -> UserProfile {
    UserProfile {
        user_id: user.user_id.to_string(),
        email: user.email.clone(),
        display_name: user.display_name.clone(),
        role: user.role,
        organisation_id: user.organisation_id.clone(),
    }
}
