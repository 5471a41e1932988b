//! The auth service's rules: who gets an account, and who may sign in.

use std::sync::Arc;

use mcsp_api::rest::{LoginRequest, RegisterRequest, TokenResponse, UserProfile};
use mcsp_api::{RegionCode, UserId, ViewerIdentity};
use mcsp_audit::Audit;
use mcsp_db::{Db, Tx};
use mcsp_events::outbox::Outbox;
use mcsp_kv::SharedKv;
use mcsp_runtime::{SharedClock, SharedEntropy};

use crate::account::{check, email_key};
use crate::error::AuthError;
use crate::events::EventSource;
use crate::keys::SigningKeys;
use crate::lockout::LoginGuard;
use crate::passwords::{Passwords, Verdict};
use crate::secrets::digest_hex;
use crate::sessions::profile;
use crate::store::User;
use crate::transaction::transaction;
use crate::{AuthConfig, store};

/// The name of the service as events and logs write it.
pub const SERVICE: &str = "auth";

/// How long the retry of a registration is recognised by its key.
const REGISTER_KEY_S: i64 = 86_400;

/// What the service is made of.
#[derive(Debug, Clone)]
pub struct AuthParts {
    /// The service's own database; its outbox and its audit log are in it too.
    pub db: Db,
    /// Where wrong passwords are counted.
    pub kv: SharedKv,
    /// The time.
    pub clock: SharedClock,
    /// Randomness for ids, salts and refresh tokens.
    pub entropy: SharedEntropy,
    /// The region, such as `ng-lagos`; the issuer of its tokens follows from it.
    pub region: String,
    /// The code inside ids of its users, such as `ng`.
    pub region_code: RegionCode,
    /// Its configuration.
    pub config: AuthConfig,
}

/// The auth service. Clones are the same service.
#[derive(Debug, Clone)]
pub struct AuthService {
    pub(crate) parts: Arc<AuthParts>,
    pub(crate) audit: Audit,
    pub(crate) events: EventSource,
    pub(crate) keys: Arc<SigningKeys>,
    passwords: Arc<Passwords>,
    guard: Arc<LoginGuard>,
}

/// A session that was opened or goes on.
#[derive(Clone)]
pub struct SignedIn {
    /// What the client reads.
    pub response: TokenResponse,
    /// What goes into the cookie, and nowhere else.
    pub refresh_token: String,
    /// How long the cookie is good, seconds.
    pub refresh_max_age_s: i64,
}

impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedIn")
            .field("user", &self.response.user)
            .finish_non_exhaustive()
    }
}

impl AuthService {
    /// Brings the schema up to date, loads or makes the signing keys, and takes up service.
    ///
    /// # Errors
    /// [`AuthError::Config`], and the database's.
    pub async fn open(parts: AuthParts) -> Result<Self, AuthError> {
        parts.config.validate()?;
        parts.db.migrate(store::MIGRATIONS).await?;
        Outbox::migrate(&parts.db).await?;
        let (db, clock, entropy) = (parts.db.clone(), parts.clock.clone(), parts.entropy.clone());
        let audit = Audit::open(db.clone(), clock.clone(), entropy.clone())
            .await
            .map_err(AuthError::Audit)?;
        let events = EventSource::new(parts.region.clone(), clock.clone(), entropy.clone());
        let keys = SigningKeys::open(
            db.clone(),
            audit.clone(),
            clock.clone(),
            events.clone(),
            &parts.config,
        )
        .await?;
        let passwords = Passwords::new(&parts.config, entropy).await?;
        let guard = LoginGuard::new(parts.kv.clone(), db, clock, &parts.config);
        Ok(Self {
            parts: Arc::new(parts),
            audit,
            events,
            keys: Arc::new(keys),
            passwords: Arc::new(passwords),
            guard: Arc::new(guard),
        })
    }

    /// The audit log of this service.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The RFC 7517 JWK Set that verifies this region's access tokens: current, next, and previous keys.
    #[must_use]
    pub fn jwks_json(&self) -> Arc<str> {
        self.keys.jwks_json()
    }

    /// Puts the next signing key in force now; tokens signed before stay good.
    ///
    /// # Errors
    /// [`AuthError::RotatedTooOften`], [`AuthError::Audit`], and the database's; the keys are as before.
    pub async fn rotate_keys(&self, reason: &str) -> Result<(), AuthError> {
        self.keys.rotate(reason).await
    }

    /// Creates an account and signs it in. With an `Idempotency-Key`, the same registration again signs the same account
    /// in again.
    ///
    /// # Errors
    /// [`AuthError::Invalid`], [`AuthError::EmailTaken`], [`AuthError::KeyReused`], [`AuthError::Busy`], and the
    /// database's.
    pub async fn register(
        &self,
        request: &RegisterRequest,
        idempotency_key: Option<&str>,
    ) -> Result<SignedIn, AuthError> {
        check(request)?;
        // By address too: nobody's key can collide with another's.
        let key_digest =
            idempotency_key.map(|key| digest_hex(&["register", &email_key(&request.email), key]));
        if let Some(user) = self.registered_before(key_digest.as_deref()).await? {
            return self.repeat_registration(user, request).await;
        }
        let user = User {
            user_id: UserId::generate(
                self.parts.region_code,
                &*self.parts.clock,
                &*self.parts.entropy,
            ),
            email: request.email.clone(),
            email_key: email_key(&request.email),
            display_name: request.display_name.clone(),
            role: request.role,
            organisation_id: None,
            password_hash: self.passwords.hash(&request.password).await?,
            created_ms: self.parts.clock.now_ms(),
        };
        let added = transaction!(self.parts.db, tx => self.add_account(&mut tx, &user, key_digest.as_deref()).await);
        if let Some(signed_in) = added? {
            return Ok(signed_in);
        }
        // The first of two equal requests may have finished meanwhile.
        match self.registered_before(key_digest.as_deref()).await? {
            Some(user) => self.repeat_registration(user, request).await,
            None => Err(AuthError::EmailTaken),
        }
    }

    /// Signs in by password.
    ///
    /// # Errors
    /// [`AuthError::BadCredentials`], [`AuthError::LockedOut`], [`AuthError::Busy`], and the database's.
    pub async fn login(&self, request: &LoginRequest) -> Result<SignedIn, AuthError> {
        let email_key = email_key(&request.email);
        let mut conn = self.parts.db.acquire().await?;
        let user = store::user_by_email(conn.conn(), &email_key).await?;
        drop(conn);
        let verdict = self
            .check_password(&email_key, user.as_ref(), &request.password)
            .await?;
        let user = user.ok_or(AuthError::BadCredentials)?;
        let new_hash = match verdict {
            Verdict::RightButOld => Some(self.passwords.hash(&request.password).await?),
            _ => None,
        };
        transaction!(self.parts.db, tx => self.enter(&mut tx, &user, new_hash.as_deref()).await)
    }

    /// The account of the viewer, whose session must not have ended.
    ///
    /// # Errors
    /// [`AuthError::NoSession`], and the database's.
    pub async fn me(&self, viewer: &ViewerIdentity) -> Result<UserProfile, AuthError> {
        let mut conn = self.parts.db.acquire().await?;
        let user = store::user_of_session(conn.conn(), &viewer.session_id, &viewer.user_id).await?;
        user.map(|user| profile(&user))
            .ok_or(AuthError::NoSession("the session has ended; sign in again"))
    }

    async fn enter(
        &self,
        tx: &mut Tx,
        user: &User,
        new_hash: Option<&str>,
    ) -> Result<SignedIn, AuthError> {
        if let Some(hash) = new_hash {
            store::replace_password_hash(tx.conn(), user, hash).await?;
        }
        self.open_session(tx, user).await
    }

    async fn add_account(
        &self,
        tx: &mut Tx,
        user: &User,
        key_digest: Option<&str>,
    ) -> Result<Option<SignedIn>, AuthError> {
        if !store::insert_user(tx.conn(), user).await? {
            return Ok(None);
        }
        if let Some(key_digest) = key_digest {
            let expires_ms = user.created_ms.saturating_add(REGISTER_KEY_S * 1000);
            store::insert_register_key(tx.conn(), key_digest, &user.user_id, expires_ms).await?;
        }
        self.open_session(tx, user).await.map(Some)
    }

    async fn registered_before(&self, key_digest: Option<&str>) -> Result<Option<User>, AuthError> {
        let Some(key_digest) = key_digest else {
            return Ok(None);
        };
        let mut conn = self.parts.db.acquire().await?;
        store::user_by_register_key(conn.conn(), key_digest, self.parts.clock.now_ms()).await
    }

    /// The same request again gets a session of its own, since the first one's tokens are not kept anywhere. It must
    /// know the password: a key alone opens nothing.
    async fn repeat_registration(
        &self,
        user: User,
        request: &RegisterRequest,
    ) -> Result<SignedIn, AuthError> {
        let same = user.display_name == request.display_name && user.role == request.role;
        match self
            .check_password(&user.email_key, Some(&user), &request.password)
            .await
        {
            Ok(_) if same => {
                transaction!(self.parts.db, tx => self.open_session(&mut tx, &user).await)
            }
            Ok(_) | Err(AuthError::BadCredentials) => Err(AuthError::KeyReused),
            Err(error) => Err(error),
        }
    }

    /// Counts the attempt and verifies the password, with the same work whether there is an account or not.
    async fn check_password(
        &self,
        email_key: &str,
        user: Option<&User>,
        password: &str,
    ) -> Result<Verdict, AuthError> {
        let attempt = self.guard.admit(email_key).await?;
        let hash = user.map(|user| user.password_hash.as_str());
        match self.passwords.verify(hash, password).await {
            Ok(Verdict::Wrong) => {
                attempt.failed().await?;
                Err(AuthError::BadCredentials)
            }
            Ok(verdict) => {
                attempt.succeeded().await;
                Ok(verdict)
            }
            Err(error) => {
                attempt.withdrawn().await;
                Err(error)
            }
        }
    }
}
