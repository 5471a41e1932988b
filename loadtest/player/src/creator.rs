//! Creators: uploads in parts by presigned URLs, resumed where they broke off.

use std::sync::Arc;

use http::Method;
use mcsp_loadtest_measure::{Outcome, RequestClass};
use mcsp_loadtest_scenario::{Random, User};
use mcsp_loadtest_wire::{Body, Client, FailureKind, Request, Upload};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::accounts::{SignIn, Who, bearer};
use crate::api::{Call, ask, call};
use crate::fetch::{failure_sample, sample_of};
use crate::retry::{self, Fault, Loading};
use crate::under_way::UnderWay;
use crate::world::World;

/// How often a session is looked at again, for fresh URLs or for what is missing.
const ROUNDS_MAX: u32 = 5;
/// The header of a box.
const BOX_BYTES: u64 = 8;

/// What creators upload: one file, made longer by a `free` box (ISO/IEC 14496-12 section 8.1.2), which every reader skips.
#[derive(Debug, Clone)]
pub(crate) struct Footage(Option<Arc<[u8]>>);

impl Footage {
    pub(crate) fn new(file: Option<Arc<[u8]>>) -> Self {
        Self(file)
    }

    /// An upload of about `bytes`, no shorter than the file. No two users' are the same, so that no store spares itself any.
    pub(crate) fn take(&self, bytes: u64, seed: u64) -> Take {
        let file_bytes = self.0.as_ref().map_or(0, |file| file.len() as u64);
        let padding = bytes.saturating_sub(file_bytes).max(BOX_BYTES + 8);
        Take {
            file: self.0.clone(),
            file_bytes,
            // A box of this form holds less than 4 GiB.
            padding: padding.min(u64::from(u32::MAX)),
            seed,
        }
    }
}

/// One upload's bytes.
#[derive(Debug, Clone)]
pub(crate) struct Take {
    file: Option<Arc<[u8]>>,
    file_bytes: u64,
    padding: u64,
    seed: u64,
}

impl Take {
    pub(crate) fn bytes(&self) -> u64 {
        self.file_bytes + self.padding
    }

    fn byte(&self, offset: u64) -> u8 {
        let within = |bytes: &[u8], at: u64| {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            bytes.get(at).copied().unwrap_or(0)
        };
        let Some(beyond) = offset.checked_sub(self.file_bytes) else {
            return self.file.as_ref().map_or(0, |file| within(file, offset));
        };
        let size = u32::try_from(self.padding)
            .unwrap_or(u32::MAX)
            .to_be_bytes();
        match beyond {
            0..4 => within(&size, beyond),
            4..BOX_BYTES => within(b"free", beyond - 4),
            _ => {
                let word = self.seed ^ (beyond / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                within(&word.to_le_bytes(), beyond % 8)
            }
        }
    }
}

/// A part of it.
struct Part<'t> {
    take: &'t Take,
    start: u64,
    bytes: u64,
    breaks_after: Option<u64>,
}

impl Upload for Part<'_> {
    fn length(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) {
        for (slot, at) in buffer.iter_mut().zip(self.start + offset..) {
            *slot = self.take.byte(at);
        }
    }

    fn breaks_after(&self) -> Option<u64> {
        self.breaks_after
    }
}

#[derive(Debug, Deserialize)]
struct UploadSession {
    upload_id: String,
    parts: Vec<UploadPart>,
}

#[derive(Debug, Deserialize)]
struct UploadPart {
    size_bytes: u64,
    received: bool,
    #[serde(default)]
    url: Option<String>,
}

/// A part to send.
struct Job {
    url: Url,
    start: u64,
    bytes: u64,
    breaks_after: Option<u64>,
}

/// One creator's upload, to its completion or to an error that lasts. All of it is recorded.
pub(crate) async fn upload(world: &World, user: User) {
    // Whatever ends it early has been recorded as the request that it was.
    let _ = attempt(world, &user).await;
}

async fn attempt(world: &World, user: &User) -> Option<()> {
    let settings = &world.scenario.creator;
    let mut random = user.random();
    let mut client = world.client(user);
    let base = world.api(user);
    let who = Who {
        account: user.account,
        is_creator: true,
    };
    let authorization = bearer(world, &mut client, base, who, SignIn::Any, user.at_us)
        .await
        .ok()?;
    let bytes = random.between(settings.upload_min_bytes, settings.upload_max_bytes);
    let take = world.footage.take(bytes, random.next_u64());
    let key = format!("load-{:016x}{:016x}", random.next_u64(), random.next_u64());
    let headers = [
        ("authorization", authorization.as_str()),
        ("idempotency-key", key.as_str()),
    ];
    let body = json!({
        "file_name": "load.mp4", "size_bytes": take.bytes(), "media_type": "VIDEO",
        "metadata": {"title": format!("Load {}", user.index)},
    });
    let create = Call {
        name: "upload-create",
        method: Method::POST,
        path: "/api/v1/uploads/session",
        headers: &headers,
        body: Some(&body),
        expected: &[],
        intended_us: world.clock().now_us(),
    };
    let mut session: UploadSession = ask(world, &mut client, base, &create).await.ok()?.1;
    let path = format!("/api/v1/uploads/session/{}", session.upload_id);
    let mut will_break = random.chance(settings.break_share);
    for _ in 0..ROUNDS_MAX {
        let mut jobs = missing(&session);
        if jobs.is_empty() {
            break;
        }
        let breaks = std::mem::take(&mut will_break);
        if breaks {
            break_off(&mut jobs, &mut random);
        }
        send_all(world, user, &take, jobs).await;
        if breaks {
            let gone_us = settings.break_ms.saturating_mul(1_000);
            world.clock().until(world.clock().now_us() + gone_us).await;
        }
        let resume = Call {
            name: "upload-resume",
            method: Method::GET,
            path: &path,
            headers: &headers[..1],
            body: None,
            expected: &[],
            intended_us: world.clock().now_us(),
        };
        session = ask(world, &mut client, base, &resume).await.ok()?.1;
    }
    let complete_path = format!("{path}/complete");
    let complete = Call {
        name: "upload-complete",
        method: Method::POST,
        path: &complete_path,
        headers: &headers[..1],
        body: None,
        expected: &[],
        intended_us: world.clock().now_us(),
    };
    call(world, &mut client, base, &complete).await.ok()?;
    Some(())
}

/// The parts that the server lacks, with where they start.
fn missing(session: &UploadSession) -> Vec<Job> {
    let mut start = 0;
    let mut jobs = Vec::new();
    for part in &session.parts {
        let url = part.url.as_deref().and_then(|url| Url::parse(url).ok());
        if let Some(url) = url.filter(|_| !part.received) {
            jobs.push(Job {
                url,
                start,
                bytes: part.size_bytes,
                breaks_after: None,
            });
        }
        start += part.size_bytes;
    }
    jobs
}

/// The user goes away in the middle of a part; those after it are not begun.
fn break_off(jobs: &mut Vec<Job>, random: &mut Random) {
    let last = usize::try_from(random.below(jobs.len() as u64)).unwrap_or(0);
    jobs.truncate(last + 1);
    if let Some(job) = jobs.last_mut() {
        job.breaks_after = Some(random.below(job.bytes.max(1)));
    }
}

/// Sends parts over as many connections as the scenario says.
async fn send_all(world: &World, user: &User, take: &Take, jobs: Vec<Job>) {
    let jobs = parking_lot::Mutex::new(jobs.into_iter());
    let lane = || async {
        let mut client = world.client(user);
        loop {
            let next = jobs.lock().next();
            let Some(job) = next else {
                break;
            };
            send(world, &mut client, take, &job).await;
        }
    };
    let lanes: Vec<_> = (0..world.scenario.creator.parallel_parts.clamp(1, 16))
        .map(|_| Box::pin(lane()))
        .collect();
    for_all(lanes).await;
}

/// Drives futures together, on the one task that they are of.
async fn for_all<F: Future<Output = ()> + Unpin>(mut all: Vec<F>) {
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| std::pin::Pin::new(one).poll(cx).is_pending());
        if all.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

async fn send(world: &World, client: &mut Client, take: &Take, job: &Job) {
    let part = Part {
        take,
        start: job.start,
        bytes: job.bytes,
        breaks_after: job.breaks_after,
    };
    let mut tries = 0;
    let mut intended_us = world.clock().now_us();
    loop {
        tries += 1;
        let request = Request {
            method: Method::PUT,
            body: Body::Upload(&part),
            ..Request::get(&job.url, &[])
        };
        let under_way = UnderWay::new(world, &RequestClass::Upload, intended_us);
        let outcome = client.send(&request, &mut |_| under_way.came()).await;
        under_way.ended();
        let fault = match outcome {
            Ok(answer) => {
                let mut sample = sample_of(RequestClass::Upload, intended_us, &answer);
                let is_good = (200..300).contains(&answer.status);
                if is_good {
                    sample.bytes = job.bytes;
                } else {
                    sample.outcome = Outcome::Status;
                }
                world.with_recorder(|recorder| recorder.request(&sample));
                if is_good {
                    return;
                }
                Fault::Status(answer.status)
            }
            Err(failure) => {
                let sample = failure_sample(RequestClass::Upload, intended_us, &failure);
                world.with_recorder(|recorder| recorder.request(&sample));
                if failure.kind == FailureKind::BrokenOff {
                    return;
                }
                Fault::Wire(failure.kind)
            }
        };
        // A URL that was refused may be too old: the session is looked at again.
        let Some(wait) = retry::wait(&world.scenario.player, Loading::Segment, fault, tries) else {
            return;
        };
        intended_us = world.clock().now_us() + u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        world.clock().until(intended_us).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_its_file_and_a_box_that_readers_skip() {
        let file: Arc<[u8]> = Arc::from(&b"\0\0\0\x08moov"[..]);
        let take = Footage::new(Some(file)).take(100, 7);
        assert_eq!(take.bytes(), 100);
        let mut all = vec![0; 100];
        let part = |start, bytes| Part {
            take: &take,
            start,
            bytes,
            breaks_after: None,
        };
        part(0, 100).read_at(0, &mut all);
        assert_eq!(&all[..16], b"\0\0\0\x08moov\0\0\0\x5cfree");
        let mut tail = vec![0; 30];
        part(60, 40).read_at(10, &mut tail);
        assert_eq!(tail, all[70..]);
    }
}
