//! The auth service's rules: who gets an account, and who may sign in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use mcsp_api::rest::{LoginRequest, RegisterRequest, TokenResponse, UserProfile};
use mcsp_api::{RegionCode, UserId, ViewerIdentity};
use mcsp_audit::Audit;
use mcsp_db::{Db, Tx};
use mcsp_events::outbox::Outbox;
use mcsp_kv::SharedKv;
use mcsp_rpc::RpcChannel;
use mcsp_runtime::{SharedClock, SharedEntropy};

use crate::account::{check, email_key, may_exist};
use crate::error::AuthError;
use crate::events::EventSource;
use crate::homes::{Elsewhere, Homes, InUse};
use crate::keys::SigningKeys;
use crate::lockout::{Attempt, LoginGuard};
use crate::passwords::{Asker, Passwords, Verdict};
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
    /// The ways to other regions' [`crate::home_login`], by region.
    pub peers: BTreeMap<String, RpcChannel>,
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
    homes: Arc<Homes>,
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
        let homes = Homes::new(
            parts.peers.clone(),
            parts.region_code,
            parts.config.peer_timeout_ms,
        );
        let guard = LoginGuard::new(parts.kv.clone(), db, clock, &parts.config);
        Ok(Self {
            parts: Arc::new(parts),
            audit,
            events,
            keys: Arc::new(keys),
            passwords: Arc::new(passwords),
            guard: Arc::new(guard),
            homes: Arc::new(homes),
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

    /// Creates an account and signs it in. An address that another region knows is taken.
    ///
    /// While a region cannot be asked, registration goes on: a cut link stops nothing local. So may two registrations in
    /// two regions at the same moment both succeed, and an address come to have an account in each. Both work from
    /// everywhere, each by its own password, because a password that is wrong here is tried elsewhere; ids, sessions and
    /// content of the two stay apart. With an `Idempotency-Key`, the same registration again signs the same account
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
        let (password_hash, in_use) = tokio::join!(
            self.passwords.hash(&request.password, Asker::Client),
            self.homes.in_use(&request.email)
        );
        let password_hash = password_hash?;
        match in_use {
            InUse::Yes => return Err(AuthError::EmailTaken),
            InUse::Unknown => tracing::warn!("an account is made without every region's word"),
            InUse::No => {}
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
            password_hash,
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

    /// Signs in by password, in whichever region the account is.
    ///
    /// A password that is right here signs in here and no other region hears of it. Otherwise the other regions are asked,
    /// whether there is an account here or not: so the time an answer takes does not tell, and an account here does not
    /// stand in front of one with the same address elsewhere. `client` goes along for that region's log.
    ///
    /// While a region cannot be asked, a wrong password for an account here is still [`AuthError::BadCredentials`], but an
    /// address unknown here is [`AuthError::HomeAway`]: the answer then tells which it is. To hide that would be to tell
    /// people of this region that they may be right when they are wrong, or travellers that they are wrong when they
    /// are right.
    ///
    /// # Errors
    /// [`AuthError::BadCredentials`], [`AuthError::LockedOut`], [`AuthError::HomeAway`], [`AuthError::Busy`], and the
    /// database's.
    pub async fn login(
        &self,
        request: &LoginRequest,
        client: Option<IpAddr>,
    ) -> Result<SignedIn, AuthError> {
        let email_key = email_key(&request.email);
        let user = self.account(&email_key).await?;
        let (attempt, verdict) = self
            .attempt(&email_key, user.as_ref(), &request.password, Asker::Client)
            .await?;
        if let (Some(user), Verdict::Right | Verdict::RightButOld) = (&user, verdict) {
            attempt.succeeded().await;
            return self.enter(user, verdict, request, Asker::Client).await;
        }
        let elsewhere = if may_exist(request) {
            self.homes.login(request, client).await
        } else {
            Elsewhere::Refused
        };
        match elsewhere {
            Elsewhere::SignedIn(signed_in) => {
                attempt.succeeded().await;
                Ok(signed_in)
            }
            // Nobody has said that it is the wrong password.
            Elsewhere::Locked { retry_after_s } if user.is_none() => {
                attempt.withdrawn().await;
                Err(AuthError::LockedOut { retry_after_s })
            }
            Elsewhere::Unknown { retry_after_s } if user.is_none() => {
                attempt.withdrawn().await;
                Err(AuthError::HomeAway { retry_after_s })
            }
            Elsewhere::Refused | Elsewhere::Locked { .. } | Elsewhere::Unknown { .. } => {
                attempt.failed().await?;
                Err(AuthError::BadCredentials)
            }
        }
    }

    /// Signs in by password for a client of another region: only if the account is here. Tries are counted as if they had
    /// been made here, so that they are the same few through however many regions they come.
    pub(crate) async fn login_for(&self, request: &LoginRequest) -> Result<SignedIn, AuthError> {
        let email_key = email_key(&request.email);
        let user = self.account(&email_key).await?;
        let (attempt, verdict) = self
            .attempt(&email_key, user.as_ref(), &request.password, Asker::Region)
            .await?;
        match (&user, verdict) {
            (Some(user), Verdict::Right | Verdict::RightButOld) => {
                attempt.succeeded().await;
                self.enter(user, verdict, request, Asker::Region).await
            }
            (None, _) | (Some(_), Verdict::Wrong) => {
                attempt.failed().await?;
                Err(AuthError::BadCredentials)
            }
        }
    }

    /// Is there an account with this address in this region?
    pub(crate) async fn has_account(&self, email: &str) -> Result<bool, AuthError> {
        Ok(self.account(&email_key(email)).await?.is_some())
    }

    /// The account of the viewer, whose session must not have ended.
    ///
    /// # Errors
    /// [`AuthError::NoSession`], [`AuthError::NotHome`], and the database's.
    pub async fn me(&self, viewer: &ViewerIdentity) -> Result<UserProfile, AuthError> {
        self.check_home(viewer.user_id.region())?;
        let mut conn = self.parts.db.acquire().await?;
        let user = store::user_of_session(conn.conn(), &viewer.session_id, &viewer.user_id).await?;
        user.map(|user| profile(&user))
            .ok_or(AuthError::NoSession("the session has ended; sign in again"))
    }

    async fn account(&self, email_key: &str) -> Result<Option<User>, AuthError> {
        let mut conn = self.parts.db.acquire().await?;
        store::user_by_email(conn.conn(), email_key).await
    }

    /// Opens a session for a password that was right, and hashes it anew if it was with other settings than today's.
    async fn enter(
        &self,
        user: &User,
        verdict: Verdict,
        request: &LoginRequest,
        asker: Asker,
    ) -> Result<SignedIn, AuthError> {
        let new_hash = match verdict {
            Verdict::RightButOld => Some(self.passwords.hash(&request.password, asker).await?),
            _ => None,
        };
        transaction!(self.parts.db, tx => self.enter_in(&mut tx, user, new_hash.as_deref()).await)
    }

    async fn enter_in(
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
        let (attempt, verdict) = self
            .attempt(
                &user.email_key,
                Some(&user),
                &request.password,
                Asker::Client,
            )
            .await?;
        if verdict == Verdict::Wrong {
            attempt.failed().await?;
            return Err(AuthError::KeyReused);
        }
        attempt.succeeded().await;
        if !same {
            return Err(AuthError::KeyReused);
        }
        transaction!(self.parts.db, tx => self.open_session(&mut tx, &user).await)
    }

    /// Counts the attempt and verifies the password, with the same work whether there is an account or not. Say how the
    /// attempt ended.
    async fn attempt(
        &self,
        email_key: &str,
        user: Option<&User>,
        password: &str,
        asker: Asker,
    ) -> Result<(Attempt<'_>, Verdict), AuthError> {
        let attempt = self.guard.admit(email_key).await?;
        let hash = user.map(|user| user.password_hash.as_str());
        match self.passwords.verify(hash, password, asker).await {
            Ok(verdict) => Ok((attempt, verdict)),
            Err(error) => {
                attempt.withdrawn().await;
                Err(error)
            }
        }
    }
}
