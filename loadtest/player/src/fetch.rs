//! One fetch of one user: redirects followed, tried again, recorded.

use std::time::Duration;

use http::StatusCode;
use mcsp_loadtest_measure::{CacheSource, FindingKind, Outcome, RequestClass, RequestSample};
use mcsp_loadtest_wire::{Answer, Client, Failure, FailureKind, Framing, Request};
use twox_hash::XxHash3_128;
use url::Url;

use crate::boxes::BoxWalk;
use crate::cache_source;
use crate::manifest::MANIFEST_BYTES_MAX;
use crate::references::Print;
use crate::retry::{self, Fault, Loading};
use crate::under_way::UnderWay;
use crate::world::World;

/// What is fetched.
pub(crate) struct Wanted<'a> {
    pub(crate) class: RequestClass,
    pub(crate) url: Url,
    pub(crate) headers: &'a [(&'static str, String)],
    /// When it was meant to be asked for, µs after the run's start.
    pub(crate) intended_us: u64,
    pub(crate) loading: Loading,
    /// Whether its bytes are needed, beyond their hash.
    pub(crate) keeps_body: bool,
}

/// What came.
pub(crate) struct Fetched {
    /// Where it was in the end.
    pub(crate) url: Url,
    pub(crate) headers: http::HeaderMap,
    pub(crate) print: Print,
    /// Empty unless it was asked to be kept.
    pub(crate) body: Vec<u8>,
    /// Whether it was a sequence of whole boxes; what not.
    pub(crate) boxes_fault: Option<&'static str>,
    /// From the request to its last byte.
    pub(crate) took_us: u64,
    pub(crate) sample: RequestSample,
}

/// What a session counts of its fetches.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) retries: u32,
    pub(crate) truncated: u32,
    pub(crate) wrong_bytes: u32,
}

/// A path without its token: `/media/{token}/ng/…` is `/media/ng/…`.
pub(crate) fn object_of(url: &Url) -> String {
    let mut steps = url.path().trim_start_matches('/').split('/');
    let first = steps.next().unwrap_or_default();
    if first == "media" {
        steps.next();
    }
    let mut object = format!("/{first}");
    for step in steps {
        object.push('/');
        object.push_str(step);
    }
    object
}

/// Fetches until it is there, or there is no use in trying on. A success is not recorded yet: whoever wanted it judges it first,
/// and calls [`record`].
pub(crate) async fn fetch(
    world: &World,
    client: &mut Client,
    wanted: &Wanted<'_>,
    tally: &mut Tally,
) -> Result<Fetched, Fault> {
    let mut intended_us = wanted.intended_us;
    let mut tries = 0;
    loop {
        tries += 1;
        let fault = match attempt(world, client, wanted, intended_us, tally).await {
            Ok(fetched) => return Ok(fetched),
            Err(fault) => fault,
        };
        let wait =
            retry::wait(&world.scenario.player, wanted.loading, fault, tries).ok_or(fault)?;
        tally.retries += 1;
        intended_us = world.clock().now_us().saturating_add(us(wait));
        if !wait.is_zero() {
            world.clock().until(intended_us).await;
        }
    }
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Records a fetch as its wanter judged it.
pub(crate) fn record(world: &World, fetched: &Fetched, outcome: Outcome) {
    let sample = RequestSample {
        outcome,
        ..fetched.sample.clone()
    };
    world.with_recorder(|recorder| recorder.request(&sample));
}

/// One try, redirects and all.
async fn attempt(
    world: &World,
    client: &mut Client,
    wanted: &Wanted<'_>,
    intended_us: u64,
    tally: &mut Tally,
) -> Result<Fetched, Fault> {
    let deadline = tokio::time::Instant::now() + wanted.loading.load_max();
    let headers: Vec<(&str, &str)> = wanted
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut url = wanted.url.clone();
    let mut began_us = None;
    for hop in 0..=world.scenario.player.redirects_max {
        let mut hasher = XxHash3_128::new();
        let mut walk = BoxWalk::default();
        let mut body = Vec::new();
        let keeps_body = wanted.keeps_body;
        let under_way = UnderWay::new(world, &wanted.class, intended_us);
        let mut sink = |part: &[u8]| {
            under_way.came();
            hasher.write(part);
            walk.feed(part);
            if keeps_body && body.len() + part.len() <= MANIFEST_BYTES_MAX {
                body.extend_from_slice(part);
            }
        };
        let request = Request {
            deadline: Some(deadline),
            ..Request::get(&url, &headers)
        };
        let outcome = client.send(&request, &mut sink).await;
        under_way.ended();
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failure) => return Err(failed(world, wanted, &url, intended_us, &failure, tally)),
        };
        let sample = sample_of(wanted.class.clone(), intended_us, &answer);
        let began_us = *began_us.get_or_insert(answer.times.started_us);
        let status =
            StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(next) = redirect(status, &url, &answer) {
            // A redirect is part of the fetch: its time counts, it does not.
            if hop < world.scenario.player.redirects_max {
                url = next;
                continue;
            }
        }
        if status != StatusCode::OK {
            let sample = RequestSample {
                outcome: Outcome::Status,
                ..sample
            };
            world.with_recorder(|recorder| recorder.request(&sample));
            return Err(Fault::Status(answer.status));
        }
        // Nothing tells the end of such a body; for a segment that is as good as cut off.
        let boxes_fault = walk.fault();
        return Ok(Fetched {
            url,
            took_us: answer.times.last_byte_us.saturating_sub(began_us),
            headers: answer.headers,
            print: Print {
                bytes: answer.body_bytes,
                hash: hasher.finish_128(),
            },
            body,
            boxes_fault: boxes_fault.or(match answer.framing {
                Framing::Close => Some("nothing tells where it ends"),
                _ => None,
            }),
            sample,
        });
    }
    Err(Fault::Status(StatusCode::LOOP_DETECTED.as_u16()))
}

fn redirect(status: StatusCode, url: &Url, answer: &Answer) -> Option<Url> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    url.join(answer.header("location")?).ok()
}

pub(crate) fn sample_of(class: RequestClass, intended_us: u64, answer: &Answer) -> RequestSample {
    RequestSample {
        class,
        intended_us,
        started_us: answer.times.started_us,
        connect_us: answer.times.connect_us,
        tls_us: answer.times.tls_us,
        first_byte_us: Some(answer.times.first_byte_us),
        last_byte_us: answer.times.last_byte_us,
        bytes: answer.body_bytes,
        status: answer.status,
        source: cache_source::of(&answer.headers),
        outcome: Outcome::Ok,
    }
}

pub(crate) fn failure_sample(
    class: RequestClass,
    intended_us: u64,
    failure: &Failure,
) -> RequestSample {
    let outcome = match failure.kind {
        FailureKind::Refused
        | FailureKind::HeadTooLarge
        | FailureKind::BadHead
        | FailureKind::BadBody
        | FailureKind::Protocol => Outcome::Protocol,
        FailureKind::Resolve | FailureKind::Connect => Outcome::Connect,
        FailureKind::Tls => Outcome::Tls,
        FailureKind::ConnectTimeout | FailureKind::HeadTimeout | FailureKind::BodyTimeout => {
            Outcome::Timeout
        }
        FailureKind::Truncated => Outcome::Truncated,
        FailureKind::Reset => Outcome::Reset,
        FailureKind::BrokenOff => Outcome::Abandoned,
    };
    let times = &failure.times;
    RequestSample {
        class,
        intended_us,
        started_us: times.started_us,
        connect_us: times.connect_us,
        tls_us: times.tls_us,
        first_byte_us: (times.first_byte_us > 0).then_some(times.first_byte_us),
        last_byte_us: times.last_byte_us,
        bytes: failure.body_bytes,
        status: failure.status.unwrap_or(0),
        source: CacheSource::Unknown,
        outcome,
    }
}

fn failed(
    world: &World,
    wanted: &Wanted<'_>,
    url: &Url,
    intended_us: u64,
    failure: &Failure,
    tally: &mut Tally,
) -> Fault {
    let sample = failure_sample(wanted.class.clone(), intended_us, failure);
    world.with_recorder(|recorder| recorder.request(&sample));
    match failure.kind {
        FailureKind::Truncated => {
            tally.truncated += 1;
            let promised = failure
                .declared_bytes
                .map_or("more".to_owned(), |bytes| bytes.to_string());
            let detail = format!(
                "{} bytes of {promised}: {}",
                failure.body_bytes, failure.detail
            );
            world.find(FindingKind::TruncatedSegment, object_of(url), detail);
        }
        FailureKind::Refused => {
            world.find(
                FindingKind::RefusedTarget,
                object_of(url),
                failure.detail.clone(),
            );
        }
        _ => {}
    }
    Fault::Wire(failure.kind)
}
