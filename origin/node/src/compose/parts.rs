//! What several services are given alike: channels, outbox relays, consumers, checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcsp_db::Db;
use mcsp_events::consumer::{Consumer, Handler, RetryPolicy};
use mcsp_events::outbox::OutboxRelay;
use mcsp_identity::{IdentityError, SpiffeId};
use mcsp_objects::{ObjectError, SharedObjects};
use mcsp_rpc::RpcChannel;
use mcsp_runtime::Shutdown;
use mcsp_svc_content::ContentService;
use tonic::service::Routes;

use super::Composer;
use crate::NodeError;
use crate::config::RemoteAddress;
use crate::engines::Engines;
use crate::health::{Check, Need};
use crate::supervise::BackgroundTask;

impl Composer<'_> {
    /// The content service of this region: in this process, or in another.
    pub(super) fn content_channel(
        &self,
        content: Option<&ContentService>,
        caller: &str,
    ) -> Result<RpcChannel, NodeError> {
        let region = &self.site.config.region;
        if let Some(service) = content {
            let trust_domain = self.site.identity.spiffe_id().trust_domain().to_owned();
            let caller =
                SpiffeId::new(&trust_domain, region, caller).map_err(IdentityError::from)?;
            let routes = Routes::new(mcsp_svc_content::grpc(service.clone()));
            let callers = self.site.references.callers.clone();
            return Ok(RpcChannel::in_process_with(routes, caller, region, callers)
                .with_policy(self.site.config.calls));
        }
        let missing = || NodeError::Config(vec!["remote.content is missing".to_owned()]);
        self.connect(
            region,
            self.site
                .config
                .remote
                .content
                .as_ref()
                .ok_or_else(missing)?,
        )
    }

    pub(super) fn connect(
        &self,
        region: &str,
        address: &RemoteAddress,
    ) -> Result<RpcChannel, NodeError> {
        let name = address.server_name(region);
        Ok(
            RpcChannel::connect(&address.address, &name, &self.site.identity)?
                .with_policy(self.site.config.calls),
        )
    }

    /// Ways to the other regions, with connections and circuit breakers of their own.
    pub(super) fn peers(&self) -> Result<BTreeMap<String, RpcChannel>, NodeError> {
        let peers = self.site.config.peers.iter();
        peers
            .map(|(region, address)| Ok((region.clone(), self.connect(region, address)?)))
            .collect()
    }

    pub(super) fn outbox(&mut self, service: &'static str, db: &Db) -> Result<(), NodeError> {
        let (db, log) = (db.clone(), self.events()?);
        self.endless(&format!("outbox-{service}"), move |shutdown| {
            let relay = OutboxRelay::new(db.clone(), log.clone(), service);
            async move { relay.run(shutdown).await }
        });
        Ok(())
    }

    pub(super) fn consumer<H: Handler>(
        &mut self,
        db: &Db,
        handler: impl Fn() -> H + Send + Sync + 'static,
    ) -> Result<(), NodeError> {
        let (db, log, member) = (db.clone(), self.events()?, self.site.member.clone());
        let (clock, entropy) = (self.site.clock.clone(), self.site.entropy.clone());
        self.tasks.push(BackgroundTask::new(
            format!("consumer-{}", H::GROUP),
            move |shutdown| {
                let consumer = Consumer::new(
                    log.clone(),
                    db.clone(),
                    H::GROUP,
                    &member,
                    RetryPolicy::default(),
                )
                .with_inputs(clock.clone(), entropy.clone());
                consumer.run(handler(), shutdown)
            },
        ));
        Ok(())
    }

    /// Work that cannot fail.
    pub(super) fn endless<F, W>(&mut self, name: &str, work: F)
    where
        F: Fn(Shutdown) -> W + Send + Sync + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        self.tasks.push(BackgroundTask::new(name, move |shutdown| {
            let running = work(shutdown);
            async move {
                running.await;
                Ok::<_, std::convert::Infallible>(())
            }
        }));
    }

    /// Storage in this process is as well as the process; storage elsewhere is asked.
    pub(super) fn check_objects(&mut self, objects: SharedObjects) {
        let bucket = Engines::probe_bucket(self.site);
        self.checks.push(Check::new("objects", Need::Soft, move || {
            let (objects, bucket) = (Arc::clone(&objects), bucket.clone());
            async move {
                // Nothing has this name; that the answer says so is the answer.
                match objects.head(&bucket, "health/probe").await {
                    Ok(_) | Err(ObjectError::NotFound(_)) => Ok(()),
                    Err(error) => Err(error),
                }
            }
        }));
    }

    pub(super) fn check_db(&mut self, name: &'static str, db: Db) {
        self.checks.push(Check::new(name, Need::Hard, move || {
            let db = db.clone();
            async move { db.acquire().await.map(drop) }
        }));
    }
}
