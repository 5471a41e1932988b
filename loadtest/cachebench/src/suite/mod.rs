//! The project's own conformance suite: rows in the form of RFC tests, each naming its section, against a proxy and a
//! scripted origin behind it.

mod collapsing;
mod completeness;
mod conditionals;
mod forwarding;
mod freshness;
mod invalidation;
mod ranges;
mod refusals;
mod scenario;
mod stale;
mod storing;
mod updating;
mod vary;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;

use crate::client::{self, Request, Response};
use crate::origin::{Answer, Origin, Seen};
pub use scenario::Step;

/// Rows that run at once: most of their time is waiting for lives to end.
const ROWS_AT_ONCE: usize = 16;
/// How long one row may take.
const ROW_LIMIT: Duration = Duration::from_secs(40);

/// What a row does.
#[derive(Debug, Clone)]
enum Act {
    /// Requests in turn.
    Steps(Vec<Step>),
    /// What steps cannot say.
    Code(fn(Stage) -> BoxFuture<'static, Result<(), String>>),
    /// A form that must be refused, by its place in the list of them.
    Form(usize),
}

/// One row of the suite.
#[derive(Debug, Clone)]
pub struct Row {
    /// The section it is about, such as `RFC 9111 §4.2.1`.
    pub section: &'static str,
    /// What must hold.
    pub name: String,
    /// Must it have the machine for itself?
    alone: bool,
    act: Act,
}

impl Row {
    /// A row of requests in turn.
    fn steps(section: &'static str, name: impl Into<String>, steps: Vec<Step>) -> Self {
        Self {
            section,
            name: name.into(),
            alone: false,
            act: Act::Steps(steps),
        }
    }

    /// A row of code.
    fn code(
        section: &'static str,
        name: &str,
        code: fn(Stage) -> BoxFuture<'static, Result<(), String>>,
    ) -> Self {
        Self {
            section,
            name: name.to_owned(),
            alone: false,
            act: Act::Code(code),
        }
    }

    /// One that measures time and so has the machine for itself.
    fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Section and statement, as reports name it.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}: {}", self.section, self.name)
    }
}

/// What became of a row.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The section it is about.
    pub section: &'static str,
    /// The row's title.
    pub title: String,
    /// Why it failed.
    pub fault: Option<String>,
}

/// What a row stands on: the proxy, the origin, and a path of its own.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The proxy under test.
    pub proxy: SocketAddr,
    /// The origin behind it.
    pub origin: Arc<Origin>,
    /// The row's own path.
    pub path: String,
}

impl Stage {
    /// The origin's answer for the row's path from now on.
    fn answer(&self, answer: Answer) {
        self.origin.answer(&self.path, answer);
    }

    /// A GET of the row's path.
    fn request(&self) -> Request {
        Request::new("GET", &self.path)
    }

    /// Sends it to the proxy.
    async fn send(&self, request: &Request) -> Result<Response, String> {
        client::send(self.proxy, request).await
    }

    /// A GET of the row's path, sent.
    async fn get(&self) -> Result<Response, String> {
        self.send(&self.request()).await
    }

    /// What the origin was asked for the row's path.
    fn seen(&self) -> Vec<Seen> {
        self.origin.seen(&self.path)
    }
}

/// Fails with these words unless it holds.
fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// All rows.
#[must_use]
pub fn rows() -> Vec<Row> {
    let mut rows = storing::rows();
    rows.extend(freshness::rows());
    rows.extend(updating::rows());
    rows.extend(conditionals::rows());
    rows.extend(stale::rows());
    rows.extend(vary::rows());
    rows.extend(invalidation::rows());
    rows.extend(ranges::rows());
    rows.extend(completeness::rows());
    rows.extend(collapsing::rows());
    rows.extend(forwarding::rows());
    rows.extend(refusals::rows());
    rows
}

async fn run_one(row: Row, stage: Stage) -> Verdict {
    let (section, title) = (row.section, row.title());
    let work = async {
        match row.act {
            Act::Steps(steps) => scenario::run(&stage, &steps).await,
            Act::Code(code) => code(stage).await,
            Act::Form(index) => refusals::run_form(index, stage).await,
        }
    };
    let fault = match tokio::time::timeout(ROW_LIMIT, work).await {
        Ok(result) => result.err(),
        Err(_) => Some(format!("not done within {} s", ROW_LIMIT.as_secs())),
    };
    Verdict {
        section,
        title,
        fault,
    }
}

/// Runs the rows against the proxy: those that measure time one after another, the others at once. In the order given.
pub async fn run(proxy: SocketAddr, origin: &Arc<Origin>, rows: Vec<Row>) -> Vec<Verdict> {
    let (alone, together): (Vec<_>, Vec<_>) =
        rows.into_iter().enumerate().partition(|(_, row)| row.alone);
    let staged = |(index, row): (usize, Row)| {
        let stage = Stage {
            proxy,
            origin: Arc::clone(origin),
            path: format!("/row/{index}"),
        };
        async move { (index, run_one(row, stage).await) }
    };
    let mut verdicts: Vec<_> = futures::stream::iter(together)
        .map(staged)
        .buffer_unordered(ROWS_AT_ONCE)
        .collect()
        .await;
    for row in alone {
        verdicts.push(staged(row).await);
    }
    verdicts.sort_by_key(|(index, _)| *index);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}
