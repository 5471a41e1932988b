//! The bytes of an answer, as they come: from memory, from the disk, from a fill, or past the cache.

use std::ops::Range;

use bytes::Bytes;
use mcsp_edge_cache::engine::{ReadError, Reader};
use mcsp_edge_fetch::Response;

use super::client::{ClientStream, SendFault, unless_left};
use super::pump::PROGRESS_BYTES;
use super::send::{Sending, Sent};
use super::slices::{self, Brought, Missing};
use crate::context::RequestContext;

/// How often what is missing of a body is asked for, for one answer. Each time brings up to 8 MiB.
const BRINGS_MAX: usize = 256;
/// How often at a time that brings less than [`PROGRESS_BYTES`]: an origin that breaks off again and again would be asked
/// hundreds of times, by each client.
const BRINGS_IN_VAIN_MAX: usize = 3;

/// How often one answer waits for memory to no avail, each time for as long as a reader waits for its next byte, where its
/// rest cannot be had from an origin either.
const WAITS_MAX: usize = 8;

/// What of the disk is gathered before it goes out, bytes; at most this and a piece. The client is awake while it takes what
/// comes in one go, and has to be woken, dearly, for each that comes by itself; much more than this does not stay in the core's
/// own cache until it is sent. An answer of 2 MiB cost 0.87 ms of a core with 0.5 MiB, 0.79 with 1, 0.85 with 2.
const GATHERED_BYTES: usize = 1 << 20;

/// How a stretch begins.
pub(super) enum Opening {
    /// Its first byte is here, or it has none.
    Here,
    /// Its first piece, and what reads on after it.
    Came(Reader, Bytes),
    /// It does not: see [`Sent`].
    Not(Sent),
}

impl Sending<'_> {
    /// Sends a stretch as it comes; what nobody brings is asked for.
    pub(super) async fn stretch<C: ClientStream>(
        &self,
        client: &mut C,
        context: &RequestContext,
        range: Range<u64>,
        opening: Opening,
    ) -> Result<(), SendFault> {
        let (mut reader, mut came) = match opening {
            Opening::Came(reader, piece) => (reader, Some(piece)),
            _ => (self.entity.reader(range.clone()), None),
        };
        let (mut brings, mut waits) = (Brings::default(), 0);
        loop {
            if came.is_none() && send_lying(client, &mut reader).await? {
                continue;
            }
            // What has to be waited for must not keep back what is here, the head above all.
            let piece = match came.take().or_else(|| reader.try_next()) {
                Some(piece) => Some(Ok(Some(piece))),
                None => {
                    if reader.position() < range.end {
                        client.flush().await?;
                    }
                    Box::pin(unless_left(client, brings.next(&mut reader))).await?
                }
            };
            let at = reader.position();
            let (error, missing) = match piece {
                Some(Ok(Some(piece))) => {
                    client.write_all(gather(piece, &mut reader)).await?;
                    continue;
                }
                Some(Ok(None)) => return Ok(()),
                Some(Err(error @ (ReadError::Hole { .. } | ReadError::NoRoom)))
                    if brings.may_ask(at, error) =>
                {
                    (Some(error), Missing::Hole)
                }
                Some(Err(error)) => return Err(SendFault::Answer(error.to_string())),
                None => {
                    brings.note_sought(at);
                    (None, Missing::Far)
                }
            };
            let bring = self.bring(context, at..range.end, missing);
            match Box::pin(unless_left(client, bring)).await? {
                Brought::Comes => {}
                Brought::Past(response, from) => {
                    let next = pass_part(client, *response, from, at..range.end).await?;
                    if next == at && missing == Missing::Hole {
                        return Err(no_byte(at));
                    }
                    reader = self.entity.reader(next..range.end);
                }
                // Memory may come free yet, and the disk has it.
                Brought::Not if error == Some(ReadError::NoRoom) && waits < WAITS_MAX => {
                    waits += 1;
                }
                // It comes all the same, later.
                Brought::Not if missing == Missing::Far => {}
                Brought::Not => return Err(no_byte(at)),
            }
        }
    }

    pub(super) async fn bring(
        &self,
        context: &RequestContext,
        range: Range<u64>,
        missing: Missing,
    ) -> Brought {
        let request = self.asking.shared_request(self.edge, context);
        let way = self.asking.way(self.edge, context);
        let (Some(request), Some(way)) = (request, way) else {
            return Brought::Not;
        };
        slices::bring(self.edge, request, way, self.entity, range, missing).await
    }
}

/// What one answer has asked for of what its body lacks.
#[derive(Debug, Default)]
struct Brings {
    count: usize,
    /// Where it was asked for last, and how often in vain since.
    at: u64,
    in_vain: usize,
    /// Where a fill was far behind, the last time.
    sought_at: Option<u64>,
}

impl Brings {
    /// May what is missing at this byte be asked for?
    fn may_ask(&mut self, at: u64, error: ReadError) -> bool {
        if at >= self.at.saturating_add(PROGRESS_BYTES) {
            (self.at, self.in_vain) = (at, 0);
        }
        self.count += 1;
        // That there is no memory here is no fault of the origin's.
        self.in_vain += usize::from(error != ReadError::NoRoom);
        self.count <= BRINGS_MAX && self.in_vain <= BRINGS_IN_VAIN_MAX
    }

    fn note_sought(&mut self, at: u64) {
        self.count += 1;
        self.sought_at = Some(at);
    }

    /// What comes next: see [`slices::next_soon`]. What was sought in vain is waited for.
    async fn next(&self, reader: &mut Reader) -> Option<Result<Option<Bytes>, ReadError>> {
        let sought = self.sought_at.map(|at| at.saturating_add(PROGRESS_BYTES));
        let is_sought = sought.is_some_and(|sought| reader.position() < sought);
        if is_sought || self.count >= BRINGS_MAX {
            return Some(reader.next().await);
        }
        slices::next_soon(reader).await
    }
}

/// Sends what comes next as it lies on the disk, where that can be done; says whether to try the same for what comes after it.
/// Where not, that is read.
async fn send_lying<C: ClientStream>(
    client: &mut C,
    reader: &mut Reader,
) -> Result<bool, SendFault> {
    if !client.takes_parts() {
        return Ok(false);
    }
    let Some(parts) = reader.try_lying() else {
        return Ok(false);
    };
    let sent = client.write_parts(&parts).await?;
    reader.skip(sent);
    Ok(sent == parts.bytes())
}

/// A piece, and what can go out with it.
fn gather(piece: Bytes, reader: &mut Reader) -> Vec<Bytes> {
    let mut bytes = piece.len();
    let mut pieces = vec![piece];
    while bytes < GATHERED_BYTES
        && let Some(piece) = reader.try_ahead()
    {
        bytes += piece.len();
        pieces.push(piece);
    }
    pieces
}

fn no_byte(at: u64) -> SendFault {
    SendFault::Answer(format!("byte {at} is missing"))
}

/// Sends what an origin's answer that begins at byte `from` has of `wanted`, as it comes. Returns the next byte to be sent:
/// what the answer lacks may be had otherwise.
async fn pass_part<C: ClientStream>(
    client: &mut C,
    mut response: Response,
    from: u64,
    wanted: Range<u64>,
) -> Result<u64, SendFault> {
    let (mut position, mut next) = (from, wanted.start);
    while next < wanted.end {
        let piece = match unless_left(client, response.next_chunk()).await? {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%error, at = next, "an origin's answer broke off on its way past the cache");
                break;
            }
        };
        let piece_end = position + piece.len() as u64;
        let part = next.max(position)..wanted.end.min(piece_end);
        if part.start < part.end {
            let within = |at: u64| usize::try_from(at - position).unwrap_or(usize::MAX);
            let piece = piece.slice(within(part.start)..within(part.end));
            client.write(piece).await?;
            next = part.end;
        }
        position = piece_end;
    }
    Ok(next)
}
