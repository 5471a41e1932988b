//! Calls of the REST API.

use http::Method;
use mcsp_loadtest_measure::{Outcome, RequestClass, RequestSample};
use mcsp_loadtest_wire::{Answer, Body, Client, FailureKind, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::fetch::{failure_sample, sample_of};
use crate::under_way::UnderWay;
use crate::world::World;

/// An answer's body that is read.
const BODY_BYTES_MAX: usize = 4 << 20;

/// One call.
pub(crate) struct Call<'a> {
    /// A short name for its class: `play`.
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    /// After the base.
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<&'a Value>,
    /// Statuses beside 200 to 299 that are no error.
    pub(crate) expected: &'a [u16],
    pub(crate) intended_us: u64,
}

/// Why a call gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallError {
    Status(u16),
    Wire(FailureKind),
    /// Its body is not what the API says.
    Body,
}

/// Makes a call and records it.
pub(crate) async fn call(
    world: &World,
    client: &mut Client,
    base: &Url,
    call: &Call<'_>,
) -> Result<(Answer, Vec<u8>), CallError> {
    let (sample, outcome) = exchange(world, client, base, call).await?;
    world.with_recorder(|recorder| recorder.request(&sample));
    outcome
}

/// A call whose answer is JSON; one that is not what the API says is recorded as an error.
pub(crate) async fn ask<T: DeserializeOwned>(
    world: &World,
    client: &mut Client,
    base: &Url,
    call: &Call<'_>,
) -> Result<(Answer, T), CallError> {
    let (mut sample, outcome) = exchange(world, client, base, call).await?;
    let read = outcome.and_then(|(answer, body)| {
        let read = serde_json::from_slice(&body);
        read.map(|read| (answer, read)).map_err(|_| CallError::Body)
    });
    if matches!(read, Err(CallError::Body)) {
        sample.outcome = Outcome::Protocol;
    }
    world.with_recorder(|recorder| recorder.request(&sample));
    read
}

/// An answer with its body, or why there is none.
type Came = Result<(Answer, Vec<u8>), CallError>;

/// Makes a call; what is to be recorded of it, and what came.
async fn exchange(
    world: &World,
    client: &mut Client,
    base: &Url,
    call: &Call<'_>,
) -> Result<(RequestSample, Came), CallError> {
    let class = RequestClass::api(call.name);
    let url = base.join(call.path).map_err(|_| CallError::Body)?;
    let text = call.body.map(Value::to_string);
    let mut headers = call.headers.to_vec();
    if text.is_some() {
        headers.push(("content-type", "application/json"));
    }
    let request = Request {
        method: call.method.clone(),
        body: text
            .as_ref()
            .map_or(Body::Empty, |text| Body::Bytes(text.as_bytes())),
        ..Request::get(&url, &headers)
    };
    let mut body = Vec::new();
    let under_way = UnderWay::new(world, &class, call.intended_us);
    let outcome = client
        .send(&request, &mut |part| {
            under_way.came();
            if body.len() + part.len() <= BODY_BYTES_MAX {
                body.extend_from_slice(part);
            }
        })
        .await;
    under_way.ended();
    Ok(match outcome {
        Err(failure) => (
            failure_sample(class, call.intended_us, &failure),
            Err(CallError::Wire(failure.kind)),
        ),
        Ok(answer) => {
            let is_good = (200..300).contains(&answer.status);
            let mut sample = sample_of(class, call.intended_us, &answer);
            if !is_good && !call.expected.contains(&answer.status) {
                sample.outcome = Outcome::Status;
            }
            let came = if is_good {
                Ok((answer, body))
            } else {
                Err(CallError::Status(answer.status))
            };
            (sample, came)
        }
    })
}
