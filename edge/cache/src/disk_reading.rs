//! Reading a body that the disk has: into memory for all who read it, or past it for one.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use mcsp_edge_mapped::{Owner, Part, Parts};

use crate::account::{Share, counted};
use crate::body::{CHUNK_BYTES, Promise};
use crate::entity::{DiskBody, Entity, Keeper};
use crate::reader::ReadError;

/// What is read for one answer where there is no memory for more, and a divisor of a chunk: so small that a few MiB are
/// enough for hundreds of answers, so large that it is worth a write.
pub(crate) const SLICE_BYTES: u64 = 32 << 10;

/// A promise to bring a chunk from the disk; ends when the reader that made it goes away.
struct Loading<'a> {
    entity: &'a Entity,
    claim: u64,
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.entity.body.release(self.claim, false);
    }
}

/// How much of the memory an answer may have for its next bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// What there is: it has nothing to send.
    Any,
    /// Only where there is plenty: it has something to send before them.
    Ahead,
}

impl<'a> Loading<'a> {
    /// Promises what is missing of the chunk at `position`; nothing when others do, or nothing is.
    fn begin(entity: &'a Entity, position: u64) -> Option<(Self, Range<u64>)> {
        let index = position / CHUNK_BYTES;
        let chunk = index * CHUNK_BYTES..(index + 1) * CHUNK_BYTES;
        match entity.body.promise_hole(chunk) {
            Promise::Made { id: claim, range } => Some((Self { entity, claim }, range)),
            Promise::AllHeld | Promise::OthersAreAtIt => None,
        }
    }

    fn end(self, keeper: &dyn Keeper, bytes: Bytes, share: Share) {
        let entity = self.entity;
        entity.note_copied(keeper);
        entity.body.put(self.claim, &counted(bytes, share));
        drop(self);
        entity.body.seal();
        keeper.reweigh(entity);
    }
}

/// Brings the chunk at `position` from the disk into memory, or sees that somebody does.
pub(crate) async fn load(entity: &Entity, disk: &DiskBody, position: u64) -> Result<(), ReadError> {
    let Some((loading, range)) = Loading::begin(entity, position) else {
        return Ok(());
    };
    let hole = ReadError::Hole { at: position };
    let keeper = disk.keeper.upgrade().ok_or(hole)?;
    // Before it is read, so that what is being read is counted too.
    let share = keeper
        .room(range.end - range.start)
        .ok_or(ReadError::NoRoom)?;
    let bytes = read(disk, range).await.ok_or(hole)?;
    loading.end(&*keeper, bytes, share);
    Ok(())
}

/// The same where nothing has to be waited for; says whether it was done.
pub(crate) fn load_now(entity: &Entity, disk: &DiskBody, position: u64) -> bool {
    let brought = || {
        let (loading, range) = Loading::begin(entity, position)?;
        let keeper = disk.keeper.upgrade()?;
        let share = keeper.room(range.end - range.start)?;
        let bytes = read_now(disk, range)?;
        loading.end(&*keeper, bytes, share);
        Some(())
    };
    brought().is_some()
}

/// What there is from the beginning of `range` on, as much as there is memory for, without storing it in memory. Waits for
/// memory when there is none.
pub(crate) async fn read_past(
    entity: &Entity,
    disk: &DiskBody,
    range: Range<u64>,
) -> Result<Bytes, ReadError> {
    let position = range.start;
    let hole = ReadError::Hole { at: position };
    let (least, most) = piece(entity, range).ok_or(hole)?;
    let keeper = disk.keeper.upgrade().ok_or(hole)?;
    let attempt = || keeper.room_for_answer(least, most);
    let share = keeper.account().in_turn(entity.wait, attempt).await;
    let mut share = share.ok_or(ReadError::NoRoom)?;
    let end = end_of_piece(position, (least, most), share.bytes());
    let share = share.split(end - position).ok_or(hole)?;
    let bytes = read(disk, position..end).await.ok_or(hole)?;
    entity.note_copied(&*keeper);
    Ok(counted(bytes, share))
}

/// The same where nothing has to be waited for.
pub(crate) fn read_past_now(
    entity: &Entity,
    disk: &DiskBody,
    range: Range<u64>,
    room: Room,
) -> Option<Bytes> {
    let position = range.start;
    let (least, most) = piece(entity, range)?;
    let keeper = disk.keeper.upgrade()?;
    if keeper.account().has_waiting() {
        return None;
    }
    let mut share = match room {
        Room::Any => keeper.room_for_answer(least, most)?,
        Room::Ahead => keeper.room_ahead(most)?,
    };
    let end = end_of_piece(position, (least, most), share.bytes());
    let share = share.split(end - position)?;
    let bytes = read_now(disk, position..end)?;
    entity.note_copied(&*keeper);
    Some(counted(bytes, share))
}

/// The least and the most bytes that make the next piece of `range`.
fn piece(entity: &Entity, range: Range<u64>) -> Option<(u64, u64)> {
    let position = range.start;
    let chunk_end = (position / CHUNK_BYTES + 1) * CHUNK_BYTES;
    let end = range
        .end
        .min(chunk_end)
        .min(entity.body.total().unwrap_or(0));
    let most = end.checked_sub(position)?;
    // The first slice ends where the disk's do.
    let slice_end = (position / SLICE_BYTES + 1) * SLICE_BYTES;
    Some((most.min(slice_end - position), most))
}

/// Where a piece ends that there are `bytes` of memory for.
fn end_of_piece(position: u64, (least, most): (u64, u64), bytes: u64) -> u64 {
    let end = position + bytes;
    if !end.is_multiple_of(SLICE_BYTES) && bytes < most && bytes > least {
        return end / SLICE_BYTES * SLICE_BYTES;
    }
    end
}

/// The bytes of `range`, which lies within one chunk; nothing when the disk does not have them whole.
async fn read(disk: &DiskBody, range: Range<u64>) -> Option<Bytes> {
    let (index, within) = place(range)?;
    let wanted = within.len();
    let found = disk.tier.load_chunk(disk.body_id, index, within).await;
    found.ok()?.filter(|bytes| bytes.len() == wanted)
}

/// The same where nothing has to be waited for.
fn read_now(disk: &DiskBody, range: Range<u64>) -> Option<Bytes> {
    let (index, within) = place(range)?;
    let wanted = within.len();
    let found = disk.tier.load_chunk_now(disk.body_id, index, within);
    found.filter(|bytes| bytes.len() == wanted)
}

/// Where what there is from the beginning of `range` on may be sent from: for no less than `least` bytes and about `most`.
pub(crate) fn lying(
    entity: &Arc<Entity>,
    disk: &DiskBody,
    range: Range<u64>,
    (least, most): (u64, u64),
) -> Option<Parts> {
    let start = range.start;
    let total = entity.body.total().unwrap_or(0);
    let range = start..range.end.min(total).min(start.saturating_add(most));
    let mut parts: Vec<Part> = Vec::new();
    let mut at = start;
    while at < range.end {
        let chunk_end = (at / CHUNK_BYTES + 1) * CHUNK_BYTES;
        let end = range.end.min(chunk_end);
        let (index, within) = place(at..end)?;
        let Some(part) = disk.tier.chunk_lying(disk.body_id, index, within) else {
            break;
        };
        // Whoever begins an answer with it must be able to count on its first bytes.
        if parts.is_empty() && !part.is_here() {
            return None;
        }
        parts.push(part);
        at = end;
    }
    (at - start >= least).then(|| Parts::new(parts, Arc::clone(entity) as Arc<dyn Owner>))
}

/// Which chunk it is, and what of it.
fn place(range: Range<u64>) -> Option<(u32, Range<u32>)> {
    let index = range.start / CHUNK_BYTES;
    let within = |position: u64| u32::try_from(position - index * CHUNK_BYTES).ok();
    let within = within(range.start)?..within(range.end)?;
    Some((u32::try_from(index).ok()?, within))
}
