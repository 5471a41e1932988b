//! The upload session on the server: opened or resumed, asked for fresh URLs, completed.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use mcsp_api::rest::{
    CreateUploadRequest, UploadMetadata, UploadPart, UploadSession, UploadStatus,
};

use super::source::Source;
use super::state::{UploadState, UploadStates};
use crate::api::{Api, Call};
use crate::args::Upload;
use crate::context::Context;
use crate::error::CliError;
use crate::retry::RetryPolicy;

/// A session and its URLs, shared by the parts that are on their way.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    api: &'a Api,
    policy: &'a RetryPolicy,
    key: String,
    current: Mutex<Current>,
    /// One renewal of URLs at a time.
    renewal: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Current {
    session: UploadSession,
    /// When its URLs were asked for.
    since: Instant,
    /// Counts renewals, so that of many parts with old URLs only the first renews them.
    generation: u64,
}

/// A URL to PUT a part to, and the renewal it came with.
#[derive(Debug, Clone)]
pub(crate) struct PartUrl {
    pub(crate) url: String,
    pub(crate) generation: u64,
}

impl<'a> Session<'a> {
    /// Resumes the session of this very file, or opens one.
    pub(crate) async fn open(
        context: &Context,
        api: &'a Api,
        policy: &'a RetryPolicy,
        states: &UploadStates,
        source: &Source,
        args: &Upload,
    ) -> Result<Self, CliError> {
        let key = source.key(api.server());
        let known = states.load(&key)?;
        if let Some(state) = &known
            && let Some(session) = resumable(api, policy, state).await?
        {
            let received = session.parts.iter().filter(|part| part.received).count();
            let note = format!(
                "resuming: {received} of {} parts are there already",
                session.parts.len()
            );
            context.print.note(&note);
            return Ok(Self::new(api, policy, key, session));
        }
        // One that was asked for, and whose answer was lost, is asked for again in the same words.
        let state = match known.filter(|state| state.upload_id.is_none()) {
            Some(state) => state,
            None => UploadState {
                idempotency_key: context.random_key(),
                request: serde_json::to_value(request(source, args))
                    .map_err(|error| CliError::Answer(error.to_string()))?,
                upload_id: None,
            },
        };
        states.save(&key, &state)?;
        let call = Call::post("/api/v1/uploads/session")
            .body(&state.request)?
            .idempotency_key(&state.idempotency_key);
        let created: Result<UploadSession, CliError> = policy.run(|| api.call(&call)).await;
        let session = match created {
            Ok(session) => session,
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => {
                // Refused: the next run asks anew.
                states.remove(&key)?;
                return Err(error);
            }
        };
        let upload_id = Some(session.upload_id.clone());
        states.save(&key, &UploadState { upload_id, ..state })?;
        if session.size_bytes != source.size_bytes {
            states.remove(&key)?;
            return Err(CliError::Answer(
                "the session is for a file of another size".to_owned(),
            ));
        }
        Ok(Self::new(api, policy, key, session))
    }

    fn new(api: &'a Api, policy: &'a RetryPolicy, key: String, session: UploadSession) -> Self {
        Self {
            api,
            policy,
            key,
            current: Mutex::new(Current {
                session,
                since: Instant::now(),
                generation: 0,
            }),
            renewal: tokio::sync::Mutex::new(()),
        }
    }

    /// Names the unfinished upload in the configuration folder.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn policy(&self) -> &RetryPolicy {
        self.policy
    }

    pub(crate) fn snapshot(&self) -> UploadSession {
        self.current().session
    }

    /// Are all bytes safe?
    pub(crate) fn is_stored(&self) -> bool {
        matches!(
            self.snapshot().status,
            UploadStatus::Completed | UploadStatus::PendingTrigger
        )
    }

    /// Where to PUT a part; asks for fresh URLs when four fifths of their life are over, or when one of `spent`
    /// generation was refused. `None` when the part is there already.
    pub(crate) async fn url(
        &self,
        part_number: u32,
        spent: Option<u64>,
    ) -> Result<Option<PartUrl>, CliError> {
        if self.needs_renewal(part_number, spent) {
            let _alone = self.renewal.lock().await;
            // Another part may have renewed them while this one waited.
            if self.needs_renewal(part_number, spent) {
                self.reload().await?;
            }
        }
        let current = self.current();
        let part = find(&current.session, part_number)?;
        match &part.url {
            _ if part.received => Ok(None),
            Some(url) => Ok(Some(PartUrl {
                url: url.clone(),
                generation: current.generation,
            })),
            None => Err(CliError::Answer(format!("part {part_number} has no URL"))),
        }
    }

    fn needs_renewal(&self, part_number: u32, spent: Option<u64>) -> bool {
        let current = self.current();
        let life = Duration::from_secs(current.session.urls_expire_in_s.into());
        let lacks_url = find(&current.session, part_number)
            .is_ok_and(|part| part.url.is_none() && !part.received);
        spent.is_some_and(|spent| spent >= current.generation)
            || current.since.elapsed() > life * 4 / 5
            || lacks_url
    }

    /// Looks at the session again.
    pub(crate) async fn reload(&self) -> Result<(), CliError> {
        let id = self.snapshot().upload_id;
        let since = Instant::now();
        let call = Call::get(format!("/api/v1/uploads/session/{id}"));
        let session: UploadSession = self.policy.run(|| self.api.call(&call)).await?;
        if matches!(
            session.status,
            UploadStatus::Cancelled | UploadStatus::Expired
        ) {
            return Err(CliError::Refused(
                "the upload was given up on the server; start again".to_owned(),
            ));
        }
        let mut current = self.lock();
        *current = Current {
            session,
            since,
            generation: current.generation + 1,
        };
        Ok(())
    }

    /// Makes the file of its parts. Doing so twice does no harm, so it is retried.
    pub(crate) async fn complete(&self) -> Result<UploadSession, CliError> {
        let id = self.snapshot().upload_id;
        let call = Call::post(format!("/api/v1/uploads/session/{id}/complete"));
        self.policy.run(|| self.api.call(&call)).await
    }

    fn current(&self) -> Current {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        // Whoever panicked left a whole value: it is replaced in one step.
        self.current
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The session of an earlier run, if it can be gone on with.
async fn resumable(
    api: &Api,
    policy: &RetryPolicy,
    state: &UploadState,
) -> Result<Option<UploadSession>, CliError> {
    let Some(upload_id) = &state.upload_id else {
        return Ok(None);
    };
    let call = Call::get(format!("/api/v1/uploads/session/{upload_id}"));
    let found: Result<UploadSession, CliError> = policy.run(|| api.call(&call)).await;
    match found {
        Ok(session)
            if matches!(
                session.status,
                UploadStatus::Cancelled | UploadStatus::Expired
            ) =>
        {
            Ok(None)
        }
        Ok(session) => Ok(Some(session)),
        Err(CliError::Problem(problem)) if matches!(problem.status, 404 | 410) => Ok(None),
        Err(error) => Err(error),
    }
}

fn find(session: &UploadSession, part_number: u32) -> Result<&UploadPart, CliError> {
    let mut parts = session.parts.iter();
    parts
        .find(|part| part.part_number == part_number)
        .ok_or_else(|| CliError::Answer(format!("part {part_number} is not in the session")))
}

fn request(source: &Source, args: &Upload) -> CreateUploadRequest {
    CreateUploadRequest {
        file_name: source.file_name.clone(),
        size_bytes: source.size_bytes,
        media_type: source.media_type,
        residency: args.residency,
        metadata: UploadMetadata {
            title: args.title.clone().unwrap_or_else(|| source.title()),
            description: args.description.clone(),
            tags: args.tags.clone(),
            category: args.category.clone(),
            language: args.language.clone(),
            visibility: args.visibility,
        },
    }
}
