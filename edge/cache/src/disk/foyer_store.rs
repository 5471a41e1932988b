//! Records in a folder, by foyer's block engine.
//!
//! What the engine does that this file answers for:
//! - It writes from threads that know the file by its number only. So whatever is dropped keeps its files open until
//!   its last write is over, on a thread of its own, and nothing is opened again before that.
//! - It tells nobody of a write that failed. [`RecordStore::contains`] tells, once it has settled. Where one block of two that are
//!   written together fails, the engine goes on in the other from a wrong place, and writes over what lies there without having
//!   given it up. So after a loss nothing is sent that was not read and checked: [`RecordStore::distrust`].
//! - It waits for a disk as long as the disk takes. So it has threads of its own, bounded, and nobody else's wait.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use async_trait::async_trait;
use bytes::Bytes;
use foyer::{
    Age, BlockEngineConfig, DeviceBuilder, ErrorKind, FsDeviceBuilder, HybridCache,
    HybridCacheBuilder, HybridCachePolicy, Load, PsyncIoEngineConfig, RecoverMode, Spawner,
};
use mcsp_edge_mapped::Part;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};

use super::blocks::{self, OldestFirst};
use super::deleted;
use super::folder::{Folder, Layout};
use super::in_place::InPlace;
use super::medium::{Loaded, MediumError, RecordStore};
use super::places::Places;
use super::record::{Content, RecordKey};

/// Reads under way at once; more wait, within their deadline.
const READS_MAX: usize = 64;
/// The engine's write buffer. It has two. One batch of the tier fits, with room for its padding.
const BUFFER_BYTES: usize = 12 << 20;

type Engine = HybridCache<RecordKey, Content>;

/// Everything that must outlive the last write.
struct Remains {
    engine: Option<Engine>,
    runtime: Runtime,
    folder: Option<Arc<Folder>>,
    open: OpenMark,
}

/// Counts a store as open.
struct OpenMark(Arc<watch::Sender<usize>>);

impl Drop for OpenMark {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open = open.saturating_sub(1));
    }
}

/// The records of an open folder.
pub(super) struct FoyerStore {
    dir: PathBuf,
    reads: Arc<Semaphore>,
    /// There when it is open.
    in_place: Option<InPlace>,
    /// Nothing only while it is dropped.
    remains: Option<Remains>,
    undertaker: SyncSender<Remains>,
}

impl std::fmt::Debug for FoyerStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FoyerStore")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl FoyerStore {
    /// Of the folder `dir`, which is not open yet; `open` counts those that are not at rest. `runtime` is put to rest in the
    /// right way from here on, whatever happens.
    pub(super) fn new(
        dir: PathBuf,
        runtime: Runtime,
        open: &Arc<watch::Sender<usize>>,
    ) -> Result<Self, MediumError> {
        let (undertaker, remains) = sync_channel::<Remains>(1);
        let thread = std::thread::Builder::new().name("edge-disk-rest".to_owned());
        if let Err(error) = thread.spawn(move || {
            if let Ok(remains) = remains.recv() {
                put_to_rest(remains);
            }
        }) {
            // Nothing was written by it yet.
            runtime.shutdown_background();
            return Err(MediumError::io(&dir, "start a thread", &error));
        }
        open.send_modify(|open| *open += 1);
        Ok(Self {
            dir,
            reads: Arc::new(Semaphore::new(READS_MAX)),
            in_place: None,
            remains: Some(Remains {
                engine: None,
                runtime,
                folder: None,
                open: OpenMark(Arc::clone(open)),
            }),
            undertaker,
        })
    }

    /// Opens the folder and finds what is in it.
    pub(super) async fn start(&mut self, layout: Layout) -> Result<Arc<Folder>, MediumError> {
        let dir = self.dir.clone();
        let Some(remains) = self.remains.as_mut() else {
            return Err(MediumError::failed(&dir, "it is closed"));
        };
        let prepare = remains.runtime.spawn_blocking(move || {
            let folder = Folder::hold(&dir, &layout)?;
            let blocks = folder.blocks();
            let refused =
                |error: std::io::Error| MediumError::io(&blocks, "read its blocks", &error);
            let cleared = deleted::clear_impossible(&blocks).map_err(refused)?;
            if cleared > 0 {
                tracing::warn!(cleared, "the disk has damaged the log of what was deleted");
            }
            let ages = blocks::ages(&blocks).map_err(refused)?;
            Ok((Arc::new(folder), ages))
        });
        let (folder, ages) = prepare
            .await
            .map_err(|error| MediumError::failed(&self.dir, error))??;
        remains.folder = Some(Arc::clone(&folder));
        let spawner = Spawner::from(remains.runtime.handle().clone());
        let places = Places::new(&folder.blocks());
        let oldest_first = OldestFirst::new(ages, Arc::clone(&places));
        let build = build(folder.blocks(), layout, oldest_first, spawner);
        let engine = remains
            .runtime
            .spawn(build)
            .await
            .map_err(|error| MediumError::failed(&self.dir, error))?
            .map_err(|error| self.explain(&error))?;
        if let Some(remains) = self.remains.as_mut() {
            remains.engine = Some(engine);
            // Before anything is read: an older record must not be found because the newer one's block was not looked at.
            let looking = Arc::clone(&places);
            let looked = remains.runtime.spawn_blocking(move || looking.recover());
            looked
                .await
                .map_err(|error| MediumError::failed(&self.dir, error))?;
        }
        self.in_place = Some(InPlace::new(places));
        Ok(folder)
    }

    fn engine(&self) -> Option<&Engine> {
        self.remains.as_ref()?.engine.as_ref()
    }

    fn explain(&self, error: &foyer::Error) -> MediumError {
        explain(&self.dir, error)
    }

    /// A part of a chunk where it is known to lie, on a thread that may wait for it, and which also has the kernel fetch the
    /// chunk after it.
    async fn part_in_place(&self, key: RecordKey, within: Range<usize>) -> Option<Loaded> {
        let (remains, in_place) = (self.remains.as_ref()?, self.in_place.as_ref()?);
        let mut lying = in_place.find_part(key, within)?;
        let permit = Arc::clone(&self.reads).acquire_owned().await.ok()?;
        let fetch_ahead = in_place.fetch_ahead(key);
        let places = Arc::clone(&in_place.places);
        let read = remains.runtime.spawn_blocking(move || {
            if let Some(fetch_ahead) = fetch_ahead {
                fetch_ahead();
            }
            let read = lying.read(&places);
            drop(permit);
            (lying, read)
        });
        let (lying, read) = read.await.ok()?;
        in_place.part_loaded(lying, read)
    }

    /// A record where it is known to lie, on a thread that may wait for it, and which also has the kernel fetch what is likely to
    /// be asked for next. The engine would hand it from one thread to another.
    async fn whole_in_place(&self, key: RecordKey) -> Option<Loaded> {
        let (remains, in_place) = (self.remains.as_ref()?, self.in_place.as_ref()?);
        let lying = in_place.find_whole(key)?;
        let permit = Arc::clone(&self.reads).acquire_owned().await.ok()?;
        let places = Arc::clone(&in_place.places);
        let read = remains.runtime.spawn_blocking(move || {
            let fetched = lying.fetch_after(&places);
            let read = lying.read(&places);
            drop(permit);
            (lying, read, fetched)
        });
        let (lying, read, fetched) = read.await.ok()?;
        if let Some(fetched) = fetched
            && let Ok(permit) = Arc::clone(&self.reads).try_acquire_owned()
        {
            // Nobody waits for it.
            let places = Arc::clone(&in_place.places);
            remains.runtime.spawn_blocking(move || {
                places.keep_fetched(fetched);
                drop(permit);
            });
        }
        in_place.whole_loaded(&lying, read)
    }
}

fn explain(dir: &std::path::Path, error: &foyer::Error) -> MediumError {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => MediumError::io(dir, "use it", io),
        None => MediumError::failed(dir, error),
    }
}

async fn build(
    blocks: PathBuf,
    layout: Layout,
    oldest_first: OldestFirst,
    spawner: Spawner,
) -> foyer::Result<Engine> {
    let whole = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let device = FsDeviceBuilder::new(blocks)
        .with_capacity(whole(layout.capacity_bytes))
        .build()?;
    let engine = BlockEngineConfig::new(device)
        .with_block_size(whole(layout.block_bytes))
        .with_blob_index_size(blocks::INDEX_BYTES)
        .with_buffer_pool_size(BUFFER_BYTES)
        .with_submit_queue_size_threshold(BUFFER_BYTES)
        .with_eviction_pickers(vec![Box::new(oldest_first)])
        .with_tombstone_log(true);
    HybridCacheBuilder::new()
        .with_name("edge-disk")
        .with_policy(HybridCachePolicy::WriteOnInsertion)
        .with_flush_on_close(false)
        // The memory tier is the engine's owner; here everything is only written.
        .memory(16)
        .with_shards(16)
        .with_filter(|_, _| false)
        .storage()
        .with_io_engine_config(PsyncIoEngineConfig::new())
        .with_engine_config(engine)
        .with_recover_mode(RecoverMode::Quiet)
        .with_spawner(spawner)
        .build()
        .await
}

#[async_trait]
impl RecordStore for FoyerStore {
    fn load_now(&self, key: RecordKey) -> Option<Loaded> {
        let in_place = self.in_place.as_ref()?;
        let lying = in_place.find_whole(key)?;
        in_place.whole_loaded(&lying, lying.read_now())
    }

    fn load_part_now(&self, key: RecordKey, within: Range<usize>) -> Option<Loaded> {
        let in_place = self.in_place.as_ref()?;
        let mut lying = in_place.find_part(key, within)?;
        let read = lying.read_now();
        in_place.part_loaded(lying, read)
    }

    fn lying(&self, key: RecordKey, within: Range<usize>) -> Option<Part> {
        self.in_place.as_ref()?.lying(key, within)
    }

    async fn load_part(
        &self,
        key: RecordKey,
        within: Range<usize>,
    ) -> Result<Option<Loaded>, MediumError> {
        if let Some(loaded) = self.load_part_now(key, within.clone()) {
            return Ok(Some(loaded));
        }
        if let Some(loaded) = self.part_in_place(key, within.clone()).await {
            return Ok(Some(loaded));
        }
        let loaded = self.load(key).await?;
        Ok(loaded.and_then(|loaded| loaded.part(within)))
    }

    async fn load(&self, key: RecordKey) -> Result<Option<Loaded>, MediumError> {
        let (Some(remains), Some(engine)) = (self.remains.as_ref(), self.engine()) else {
            return Ok(None);
        };
        if let Some(loaded) = self.load_now(key) {
            return Ok(Some(loaded));
        }
        if let Some(loaded) = self.whole_in_place(key).await {
            return Ok(Some(loaded));
        }
        // The permit is given back when the disk has answered, not when somebody stops waiting for it.
        let Ok(permit) = Arc::clone(&self.reads).acquire_owned().await else {
            return Ok(None);
        };
        let engine = engine.clone();
        let places = self
            .in_place
            .as_ref()
            .map(|in_place| Arc::clone(&in_place.places));
        let read = remains.runtime.spawn(async move {
            let loaded = engine.storage().load(&key).await;
            drop(permit);
            if let Some(places) = places.filter(|places| places.is_behind()) {
                tokio::task::spawn_blocking(move || places.look());
            }
            loaded
        });
        let loaded = read
            .await
            .map_err(|error| MediumError::failed(&self.dir, error))?;
        match loaded {
            Ok(Load::Entry {
                value, populated, ..
            }) => Ok(Some(Loaded {
                content: value.bytes,
                is_leaving: matches!(populated.age, Age::Old),
            })),
            Ok(Load::Piece { piece, .. }) => Ok(Some(Loaded {
                content: piece.value().bytes.clone(),
                is_leaving: false,
            })),
            Ok(Load::Miss | Load::Throttled) => Ok(None),
            Err(error) if is_damage(&error) => {
                self.delete(key);
                Ok(None)
            }
            Err(error) => Err(self.explain(&error)),
        }
    }

    fn contains(&self, key: RecordKey) -> bool {
        self.engine()
            .is_some_and(|engine| engine.storage().may_contains(&key))
    }

    fn put(&self, key: RecordKey, content: Bytes) {
        if let Some(engine) = self.engine() {
            // What comes of it shows once it has settled.
            let content = Content::new(key, content);
            if let (Some(in_place), RecordKey::Slot(_)) = (&self.in_place, key) {
                in_place.places.written(key, content.print());
            }
            let _ = engine.storage_writer(key).force().insert(content);
        }
    }

    fn delete(&self, key: RecordKey) {
        if let Some(engine) = self.engine() {
            engine.storage().delete(&key);
            if let Some(in_place) = &self.in_place {
                in_place.places.deleted(key);
            }
        }
    }

    fn distrust(&self) {
        if let Some(in_place) = &self.in_place {
            in_place.places.distrust();
        }
    }

    fn spare_bytes(&self) -> u64 {
        self.in_place.as_ref().map_or(0, InPlace::spare_bytes)
    }

    fn blocks_unmapped(&self) -> u64 {
        let in_place = self.in_place.as_ref();
        in_place.map_or(0, |in_place| in_place.places.mapped.refused())
    }

    async fn settle(&self) {
        let (Some(remains), Some(engine)) = (self.remains.as_ref(), self.engine()) else {
            return;
        };
        engine.storage().wait().await;
        if let Some(in_place) = &self.in_place {
            // So that even the first who asks for it finds it where it lies. What is not found so the engine finds.
            let places = Arc::clone(&in_place.places);
            let _ = remains
                .runtime
                .spawn_blocking(move || places.follow())
                .await;
        }
    }
}

/// The disk gave bytes, but not those that were written.
fn is_damage(error: &foyer::Error) -> bool {
    let is_cut = error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|io| io.kind() == std::io::ErrorKind::UnexpectedEof);
    is_cut || !matches!(error.kind(), ErrorKind::Io | ErrorKind::Join)
}

impl Drop for FoyerStore {
    fn drop(&mut self) {
        if let Some(in_place) = &self.in_place {
            // Answers may outlive this, and whoever opens the folder next writes to the same blocks.
            in_place.places.give_up();
        }
        let Some(remains) = self.remains.take() else {
            return;
        };
        // There is room for the one message. Without the thread it is better to leak than to close files under a
        // write.
        if let Err(unsent) = self.undertaker.send(remains) {
            std::mem::forget(unsent);
        }
    }
}

fn put_to_rest(remains: Remains) {
    let Remains {
        engine,
        runtime,
        folder,
        open,
    } = remains;
    // The device is the engine's; it is held until the last thread that reads or writes is done.
    let device = engine
        .as_ref()
        .map(|engine| Arc::clone(engine.storage().device()));
    drop(engine);
    drop(runtime);
    drop(device);
    drop(folder);
    drop(open);
}
