//! Reading a body that the disk has: into memory for all who read it, or past it for one.

use std::ops::Range;

use bytes::Bytes;

use crate::account::counted;
use crate::body::{CHUNK_BYTES, Promise};
use crate::entity::{DiskBody, Entity};
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

/// Brings the chunk at `position` from the disk into memory, or sees that somebody does.
pub(crate) async fn load(entity: &Entity, disk: &DiskBody, position: u64) -> Result<(), ReadError> {
    let index = position / CHUNK_BYTES;
    let chunk = index * CHUNK_BYTES..(index + 1) * CHUNK_BYTES;
    let (claim, range) = match entity.body.promise_hole(chunk.clone()) {
        Promise::Made { id, range } => (id, range),
        Promise::AllHeld | Promise::OthersAreAtIt => return Ok(()),
    };
    let loading = Loading { entity, claim };
    let hole = ReadError::Hole { at: position };
    let keeper = disk.keeper.upgrade().ok_or(hole)?;
    // Before it is read, so that what is being read is counted too.
    let share = keeper
        .room(range.end - range.start)
        .ok_or(ReadError::NoRoom)?;
    let bytes = read(disk, range).await.ok_or(hole)?;
    entity.body.put(claim, &counted(bytes, share));
    drop(loading);
    entity.body.seal();
    keeper.reweigh(entity);
    Ok(())
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
    let chunk_end = (position / CHUNK_BYTES + 1) * CHUNK_BYTES;
    let end = [range.end, chunk_end, entity.body.total().unwrap_or(0)]
        .into_iter()
        .fold(u64::MAX, u64::min);
    let most = end.checked_sub(position).ok_or(hole)?;
    // The first slice ends where the disk's do.
    let slice_end = (position / SLICE_BYTES + 1) * SLICE_BYTES;
    let least = most.min(slice_end - position);
    let keeper = disk.keeper.upgrade().ok_or(hole)?;
    let attempt = || keeper.room_for_answer(least, most);
    let share = keeper.account().in_turn(entity.wait, attempt).await;
    let mut share = share.ok_or(ReadError::NoRoom)?;
    let mut end = position + share.bytes();
    if !end.is_multiple_of(SLICE_BYTES) && share.bytes() < most && share.bytes() > least {
        end = end / SLICE_BYTES * SLICE_BYTES;
    }
    let share = share.split(end - position).ok_or(hole)?;
    let bytes = read(disk, position..end).await.ok_or(hole)?;
    Ok(counted(bytes, share))
}

/// The bytes of `range`, which lies within one chunk; nothing when the disk does not have them whole.
async fn read(disk: &DiskBody, range: Range<u64>) -> Option<Bytes> {
    let index = range.start / CHUNK_BYTES;
    let within = |position: u64| u32::try_from(position - index * CHUNK_BYTES).ok();
    let within = within(range.start)?..within(range.end)?;
    let wanted = within.len();
    let found = disk
        .tier
        .load_chunk(disk.body_id, u32::try_from(index).ok()?, within)
        .await;
    found.ok()?.filter(|bytes| bytes.len() == wanted)
}
