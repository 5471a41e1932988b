//! What the disk tier counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

#[derive(Debug, Clone)]
pub(super) struct DiskMetrics {
    reads: IntCounterVec,
    hits: IntCounter,
    in_place: IntCounter,
    writes: IntCounterVec,
    pub(super) degraded: IntGauge,
    pub(super) bytes: IntGauge,
    pub(super) queue_bytes: IntGauge,
    pub(super) spare_bytes: IntGauge,
    pub(super) blocks_unmapped: IntGauge,
}

/// How a read ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Read {
    Hit,
    /// None: it may be sent from where it lies.
    InPlace,
    Miss,
    /// It should have been there, and was not, or not whole.
    Damaged,
    TooSlow,
    Failed,
}

/// How the write of a response or a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// It was written again because it was asked for when it was about to leave.
    Kept,
    /// Another write or a removal of the same slot overtook it.
    Superseded,
    /// The queue was full, or it was too large.
    Refused,
    /// A head alone, whose chunks have left.
    Incomplete,
    /// The disk was degraded.
    Degraded,
    /// The disk did not keep it.
    Lost,
}

impl DiskMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let reads = IntCounterVec::new(
            Opts::new(
                "mcsp_cache_disk_reads_total",
                "Reads of records by outcome: hit, in_place (not read: it was sent from where it lies), miss, damaged, too_slow, failed.",
            ),
            &["outcome"],
        )?;
        let metrics = Self {
            hits: reads.with_label_values(&["hit"]),
            in_place: reads.with_label_values(&["in_place"]),
            reads,
            writes: IntCounterVec::new(
                Opts::new(
                    "mcsp_cache_disk_writes_total",
                    "Responses and records given to be written, by outcome: written, kept, superseded, refused, incomplete, degraded, lost.",
                ),
                &["outcome"],
            )?,
            degraded: IntGauge::new(
                "mcsp_cache_disk_degraded",
                "1 while the disk is slow, full or failing and memory goes on alone.",
            )?,
            bytes: IntGauge::new("mcsp_cache_disk_bytes", "Bytes on the disk.")?,
            queue_bytes: IntGauge::new(
                "mcsp_cache_disk_queue_bytes",
                "Bytes that wait to be written.",
            )?,
            spare_bytes: IntGauge::new(
                "mcsp_cache_disk_spare_bytes",
                "Bytes of memory that lie idle until something is read into them.",
            )?,
            blocks_unmapped: IntGauge::new(
                "mcsp_cache_disk_blocks_unmapped",
                "Blocks that the kernel refused to map since the disk was opened: what lies in them is copied before it is sent.",
            )?,
        };
        registry.register(Box::new(metrics.reads.clone()))?;
        registry.register(Box::new(metrics.writes.clone()))?;
        registry.register(Box::new(metrics.degraded.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.queue_bytes.clone()))?;
        registry.register(Box::new(metrics.spare_bytes.clone()))?;
        registry.register(Box::new(metrics.blocks_unmapped.clone()))?;
        Ok(metrics)
    }

    pub(super) fn read(&self, outcome: Read) {
        let label = match outcome {
            Read::Hit => return self.hits.inc(),
            Read::InPlace => return self.in_place.inc(),
            Read::Miss => "miss",
            Read::Damaged => "damaged",
            Read::TooSlow => "too_slow",
            Read::Failed => "failed",
        };
        self.reads.with_label_values(&[label]).inc();
    }

    pub(super) fn written(&self, outcome: Written) {
        let label = match outcome {
            Written::Done => "written",
            Written::Kept => "kept",
            Written::Superseded => "superseded",
            Written::Refused => "refused",
            Written::Incomplete => "incomplete",
            Written::Degraded => "degraded",
            Written::Lost => "lost",
        };
        self.writes.with_label_values(&[label]).inc();
    }
}
