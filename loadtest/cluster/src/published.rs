//! What the event log says of an item.

use std::time::Duration;

use mcsp_api::ContentId;
use mcsp_api::events::{Event as _, Published};
use mcsp_events::{BATCH_RECORDS_MAX, EventsOptions};
use mcsp_identity::{DNS_SUFFIX, WorkloadIdentity};
use mcsp_runtime::SystemClock;

use crate::addresses::Addresses;
use crate::certificates;
use crate::error::ClusterError;
use crate::topology::{Layout, REGIONS};

fn broken(error: impl std::fmt::Display) -> ClusterError {
    ClusterError::Broken(format!("reading the event log: {error}"))
}

/// Publications of an item in its home region's log, read as the region's media worker may read it.
pub(crate) async fn count(
    layout: &Layout,
    addresses: &Addresses,
    content_id: &str,
) -> Result<usize, ClusterError> {
    let id: ContentId = content_id.parse().map_err(broken)?;
    let region = REGIONS
        .iter()
        .find(|region| region.code == id.region().as_str());
    let region = region.ok_or_else(|| broken(format!("no region has {content_id}")))?;
    let identity =
        WorkloadIdentity::load(&certificates::files(layout, region.id, "media")).map_err(broken)?;
    let server = format!("origin.{}.{DNS_SUFFIX}", region.id);
    let uri = format!("mcsp://{}/{server}", addresses.own(region.id)?.rpc);
    let options = EventsOptions {
        clock: SystemClock::shared(),
        identity: Some(identity),
    };
    let log = mcsp_events::open(&uri, options).await.map_err(broken)?;
    let topic = Published::TOPIC.name;
    let states = log.describe(topic).await.map_err(broken)?;
    let mut count = 0;
    for (partition, state) in (0..).zip(states) {
        let mut next = state.first_offset;
        while next < state.next_offset {
            let records = log
                .read(topic, partition, next, BATCH_RECORDS_MAX, Duration::ZERO)
                .await
                .map_err(broken)?;
            let Some(last) = records.last() else { break };
            next = last.position.offset + 1;
            count += records
                .iter()
                .filter(|record| record.key == content_id)
                .count();
        }
    }
    Ok(count)
}
