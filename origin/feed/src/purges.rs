//! Purges by operators: checked, audited, published, and asked after in every region.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use mcsp_api::ContentId;
use mcsp_api::media_path::{MEDIA_PREFIX, MediaPath};
use mcsp_api::proto::feed::feed_entry::Change;
use mcsp_api::proto::feed::purge::Target;
use mcsp_api::proto::feed::purge_progress_client::PurgeProgressClient;
use mcsp_api::proto::feed::purge_progress_server::{PurgeProgress, PurgeProgressServer};
use mcsp_api::proto::feed::purges_server::{Purges as PurgesInterface, PurgesServer};
use mcsp_api::proto::feed::{
    GetMirroredRequest, GetProgressRequest, GetProgressResponse, Purge, PurgeRequest,
    PurgeResponse, RegionProgress,
};
use mcsp_audit::{Audit, AuditEntry};
use mcsp_rpc::RpcChannel;
use mcsp_telemetry::current_trace;
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::{Request, Response, Status};
use url::Url;

use crate::entry::PeerPosition;
use crate::grpc::{peer_of, status_of};
use crate::progress::is_complete;
use crate::{Feed, metrics};

/// The longest target, bytes, and the longest reason, characters.
const TARGET_BYTES_MAX: usize = 2048;
const REASON_CHARS_MAX: usize = 400;
/// How much of a target the audit log has as the act's object, bytes; the whole is in its detail.
const OBJECT_BYTES_MAX: usize = 256;
/// Calls that wait for progress at once.
const WAITING_MAX: usize = 64;

/// What operators' purges are made of.
#[derive(Debug)]
pub struct PurgesParts {
    /// The region's feed.
    pub feed: Feed,
    /// No audit write, no purge.
    pub audit: Audit,
    /// The other regions, whose feeds mirror this one.
    pub peers: BTreeMap<String, RpcChannel>,
}

/// The gRPC interfaces `mcsp.feed.v1.Purges` and `mcsp.feed.v1.PurgeProgress`. Clones are the same.
#[derive(Debug, Clone)]
pub struct Purges {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    parts: PurgesParts,
    waiting: Semaphore,
}

impl Purges {
    /// Purges by `parts`.
    #[must_use]
    pub fn new(parts: PurgesParts) -> Self {
        let waiting = Semaphore::new(WAITING_MAX);
        Self {
            inner: Arc::new(Inner { parts, waiting }),
        }
    }

    /// What operators call.
    #[must_use]
    pub fn operators(&self) -> PurgesServer<Self> {
        PurgesServer::new(self.clone())
    }

    /// What other regions call.
    #[must_use]
    pub fn regions(&self) -> PurgeProgressServer<Self> {
        PurgeProgressServer::new(self.clone())
    }

    fn wait(&self) -> Result<SemaphorePermit<'_>, Status> {
        let waiting = self.inner.waiting.try_acquire();
        waiting.map_err(|_| Status::resource_exhausted("too many calls wait for progress already"))
    }

    /// Of the region that `channel` leads to.
    async fn elsewhere(
        region: &str,
        channel: &RpcChannel,
        request: GetMirroredRequest,
    ) -> RegionProgress {
        let mut client = PurgeProgressClient::new(channel.clone());
        let fault = |fault: String| RegionProgress {
            region: region.to_owned(),
            fault,
            ..RegionProgress::default()
        };
        match client.get_mirrored(request).await {
            Ok(answer) if answer.get_ref().region == region => answer.into_inner(),
            Ok(answer) => fault(format!("it says that it is {:?}", answer.get_ref().region)),
            Err(status) => fault(format!("cannot be asked: {}", status.message())),
        }
    }
}

#[tonic::async_trait]
impl PurgesInterface for Purges {
    async fn purge(
        &self,
        request: Request<PurgeRequest>,
    ) -> Result<Response<PurgeResponse>, Status> {
        let peer = peer_of(&request)?;
        let request = request.into_inner();
        let purge = request.purge.unwrap_or_default();
        let (kind, text) = check(&purge)?;
        let reason = request.reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
            return Err(Status::invalid_argument(format!(
                "reason: expected 1 to {REASON_CHARS_MAX} characters"
            )));
        }
        let PurgesParts { feed, audit, .. } = &self.inner.parts;
        let object: String = text.chars().take(OBJECT_BYTES_MAX).collect();
        let intent = audit
            .intend(AuditEntry {
                actor: peer.0.to_string(),
                action: "cache.purge".to_owned(),
                object: format!("{kind}:{object}"),
                detail: json!({"target": text, "soft": purge.soft, "reason": reason}),
                trace_id: current_trace().map(|trace| trace.trace_id_hex()),
            })
            .await
            .map_err(|error| {
                tracing::error!(%error, "a purge cannot be audited");
                Status::unavailable("the audit log is not available, so nothing was done")
            })?;
        let soft = purge.soft;
        let published = feed.publish(Change::Purge(purge)).await;
        let sequence = match published {
            Ok(sequence) => sequence,
            // It may be there nevertheless: the intent stays open, which says so.
            Err(error) if error.is_retryable() => return Err(status_of(error)),
            Err(error) => {
                if let Err(audit_error) = intent.abort(&error.to_string()).await {
                    tracing::warn!(%audit_error, "the audit log keeps an open intent");
                }
                return Err(status_of(error));
            }
        };
        metrics::purged(kind, soft);
        tracing::info!(operator = %peer.0, kind, target = text, soft, sequence, reason, "purge");
        let epoch = feed.epoch().to_owned();
        if let Err(error) = intent
            .commit(json!({"epoch": epoch, "sequence": sequence}))
            .await
        {
            tracing::warn!(%error, sequence, "the audit log keeps an open intent of a purge that was made");
        }
        Ok(Response::new(PurgeResponse { epoch, sequence }))
    }

    async fn get_progress(
        &self,
        request: Request<GetProgressRequest>,
    ) -> Result<Response<GetProgressResponse>, Status> {
        let request = request.into_inner();
        let PurgesParts { feed, peers, .. } = &self.inner.parts;
        if !request.epoch.is_empty() && request.epoch != feed.epoch() {
            return Err(Status::not_found(
                "the feed has begun anew since; every node revalidates what it held before",
            ));
        }
        let last = feed.last_sequence().await.map_err(status_of)?;
        if request.sequence > last {
            return Err(Status::not_found(format!("the feed ends at {last}")));
        }
        let sequence = match request.sequence {
            0 => last,
            sequence => sequence,
        };
        let _waiting = self.wait()?;
        let wait = Duration::from_millis(u64::from(request.wait_ms));
        let mirrored = GetMirroredRequest {
            epoch: feed.epoch().to_owned(),
            sequence,
            wait_ms: request.wait_ms,
        };
        let elsewhere = peers
            .iter()
            .map(|(region, channel)| Self::elsewhere(region, channel, mirrored.clone()));
        let (here, elsewhere) = tokio::join!(feed.progress(sequence, wait), join_all(elsewhere));
        let regions: Vec<_> = std::iter::once(here).chain(elsewhere).collect();
        Ok(Response::new(GetProgressResponse {
            epoch: feed.epoch().to_owned(),
            sequence,
            is_complete: regions.iter().all(is_complete),
            regions,
        }))
    }
}

#[tonic::async_trait]
impl PurgeProgress for Purges {
    async fn get_mirrored(
        &self,
        request: Request<GetMirroredRequest>,
    ) -> Result<Response<RegionProgress>, Status> {
        let peer = peer_of(&request)?;
        let request = request.into_inner();
        let _waiting = self.wait()?;
        let position = PeerPosition {
            epoch: request.epoch,
            sequence: request.sequence,
        };
        // A region asks after its own entries: its name is in its certificate.
        let progress = self
            .inner
            .parts
            .feed
            .mirrored_progress(
                peer.0.namespace(),
                &position,
                Duration::from_millis(u64::from(request.wait_ms)),
            )
            .await
            .map_err(status_of)?;
        Ok(Response::new(progress))
    }
}

/// The target's kind and text.
fn check(purge: &Purge) -> Result<(&'static str, String), Status> {
    let (kind, text) = match &purge.target {
        Some(Target::ContentId(id)) => ("content_id", id),
        Some(Target::SurrogateKey(key)) => ("surrogate_key", key),
        Some(Target::Prefix(prefix)) => ("prefix", prefix),
        Some(Target::Key(key)) => ("key", key),
        Some(Target::Everything(true)) => return Ok(("everything", "*".to_owned())),
        Some(Target::Everything(false)) | None => {
            return Err(Status::invalid_argument("target: expected one"));
        }
    };
    let is_text = (1..=TARGET_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_text {
        return Err(Status::invalid_argument(format!(
            "{kind}: expected 1 to {TARGET_BYTES_MAX} visible ASCII characters"
        )));
    }
    // A mistyped one would be carried out everywhere, and find nothing.
    if kind == "content_id" && text.parse::<ContentId>().is_err() {
        return Err(Status::invalid_argument(format!(
            "{kind} {text:?}: expected an item's id, such as c_ng_ and 26 characters"
        )));
    }
    let is_key = matches!(kind, "key" | "prefix");
    if is_key
        && !["/", "http://", "https://"]
            .iter()
            .any(|start| text.starts_with(start))
    {
        return Err(Status::invalid_argument(format!(
            "{kind} {text:?}: expected a path from its first slash on, or a URL of a plain route"
        )));
    }
    if is_key && text.strip_prefix(MEDIA_PREFIX).is_some_and(has_token) {
        return Err(Status::invalid_argument(format!(
            "{kind}: expected a path without its token, such as {MEDIA_PREFIX}global/c_…/"
        )));
    }
    Ok((kind, text.clone()))
}

/// Does what follows `/media/` begin with a token? Keys have none, so such a purge would find nothing.
fn has_token(rest: &str) -> bool {
    let first = rest.split('/').next().unwrap_or_default();
    rest.contains('/') && !["ng", "global"].contains(&first)
}

/// The cache key of a URL as a viewer has it: media without host and token, anything else as plain routes have it.
/// Nothing when it is no `http` or `https` URL.
#[must_use]
pub fn key_of_url(url: &str) -> Option<String> {
    let mut url: Url = url.parse().ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let media = MediaPath::parse_viewer(url.path()).map(|(_, media)| media);
    if let Some(media) = media.or_else(|| MediaPath::parse_origin(url.path())) {
        return Some(format!("{MEDIA_PREFIX}{}", media.object_name()));
    }
    url.set_fragment(None);
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";

    #[test]
    fn a_url_of_media_has_the_key_without_its_host_and_token() {
        let key = format!("/media/global/{CONTENT}/v360/1.m4s");
        for url in [
            format!("https://los1.example:8443/media/to.ken/global/{CONTENT}/v360/1.m4s?x#y"),
            format!("https://origin/media/global/{CONTENT}/v360/1.m4s"),
        ] {
            assert_eq!(key_of_url(&url).as_deref(), Some(&*key), "{url}");
        }
        assert_eq!(
            key_of_url("HTTPS://Www.Example:443/a/../b?q=1#top").as_deref(),
            Some("https://www.example/b?q=1")
        );
        for none in ["/media/x", "ftp://a/b", "los1.example"] {
            assert_eq!(key_of_url(none), None, "{none}");
        }
    }

    #[test]
    fn what_would_find_nothing_or_is_no_target_is_refused() {
        let of = |target: Target| {
            check(&Purge {
                target: Some(target),
                soft: false,
            })
        };
        for good in [
            Target::Key("/assets/app.js".to_owned()),
            Target::Key("https://a/b?c".to_owned()),
            Target::Prefix(format!("/media/ng/{CONTENT}/")),
            Target::Prefix("/media/".to_owned()),
            Target::SurrogateKey("blue".to_owned()),
            Target::ContentId(CONTENT.to_owned()),
            Target::Everything(true),
        ] {
            assert!(of(good.clone()).is_ok(), "{good:?}");
        }
        for bad in [
            Target::Key("assets/app.js".to_owned()),
            Target::Key(format!("/media/token/ng/{CONTENT}/v360/1.m4s")),
            Target::Prefix(String::new()),
            Target::SurrogateKey("two keys".to_owned()),
            Target::ContentId("x".repeat(TARGET_BYTES_MAX + 1)),
            Target::ContentId(CONTENT[..CONTENT.len() - 1].to_owned()),
            Target::ContentId("u_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".to_owned()),
            Target::Everything(false),
        ] {
            assert!(of(bad.clone()).is_err(), "{bad:?}");
        }
        assert!(check(&Purge::default()).is_err());
    }
}
