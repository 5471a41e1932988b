//! What everything the shield does adds to a cached segment: the same request to a node with all of it and to one without, in
//! turn, by one client on one core, which looks for its bytes until they are there: see [`Wait::Looking`].

use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;
use tokio::runtime::Handle;

use super::latencies::Latencies;
use super::speaker::Speaker;
use super::wait::Wait;
use super::{CLIENT_ADDRESS, LOAD_CORE, Options, pin};
use crate::error::BenchError;
use crate::random::Random;
use crate::report::{Better, Row, median};
use crate::server::Server;
use crate::sized::path_of;

/// What the shield may add, at the median and at the 99th percentile, µs.
const BOUND_US: f64 = 50.0;
/// Objects of a size that are asked for in turn.
pub(super) const OBJECTS: usize = 8;
/// Bytes of a segment, and requests to each node in one window.
const SIZES: [(usize, usize); 2] = [(1 << 10, 800), (200 << 10, 600)];

/// Windows for each pass: short ones, so that what the machine does beside spoils few of them.
const WINDOWS_OF_PASS: usize = 8;

/// Who is asked, and for what.
pub(super) struct Contender<'s> {
    /// As the table names it.
    pub(super) name: &'static str,
    pub(super) server: &'s Server,
    /// What its paths begin with.
    pub(super) prefix: &'s str,
}

/// Latencies of one contender in one window.
struct Sample {
    p50_us: f64,
    p99_us: f64,
}

/// Measures; `contenders` are the node without, the node that verifies signatures alone, and the node with everything.
///
/// # Errors
/// When a request fails.
pub(super) async fn run(
    options: &Options<'_>,
    contenders: &[Contender<'_>; 3],
    tls: &Arc<ClientConfig>,
    say: &dyn Fn(&str),
) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    for (protocol, tls) in [("h1", None), ("h1 TLS 1.3", Some(tls))] {
        for (bytes, requests) in SIZES {
            let case = format!("cached segment, {} KiB, {protocol}", bytes >> 10);
            let asked = contenders.each_ref().map(|contender| {
                let address = match tls {
                    Some(_) => contender.server.tls,
                    None => Some(contender.server.plain),
                };
                let paths =
                    (0..OBJECTS).map(|at| format!("{}/{}", contender.prefix, path_of(bytes, at)));
                (address, paths.collect::<Vec<_>>())
            });
            let mut speakers = Vec::new();
            for (address, paths) in asked {
                let address = address.ok_or_else(|| {
                    BenchError::Answer("the node has no such listener".to_owned())
                })?;
                let speaker = Speaker::open(CLIENT_ADDRESS, address, tls, Wait::Looking).await;
                speakers.push((speaker.map_err(BenchError::Answer)?, paths));
            }
            let mut windows: [Vec<Sample>; 3] = Default::default();
            for _ in 0..WINDOWS_OF_PASS * options.passes {
                let (measured, back) = off_the_runtime(speakers, requests).await?;
                speakers = back;
                for (windows, latencies) in windows.iter_mut().zip(measured) {
                    windows.push(Sample {
                        p50_us: latencies.us(0.5),
                        p99_us: latencies.us(0.99),
                    });
                }
            }
            rows.extend(judge(&case, contenders, &windows, say));
        }
    }
    Ok(rows)
}

/// A speaker, and what it asks for in turn.
type Asker = (Speaker, Vec<String>);

async fn off_the_runtime(
    speakers: Vec<Asker>,
    requests: usize,
) -> Result<(Vec<Latencies>, Vec<Asker>), BenchError> {
    let thread = std::thread::spawn(move || {
        pin::to_core(LOAD_CORE)
            .map_err(|source| BenchError::socket("a core for the load", source))?;
        window(speakers, requests)
    });
    let joined = Handle::current()
        .spawn_blocking(move || thread.join())
        .await;
    let fault = || BenchError::Answer("the client ended early".to_owned());
    joined.map_err(|_| fault())?.map_err(|_| fault())?
}

/// Asks all of them in turn, in another order each time, so that nobody always comes after the same.
fn window(
    mut speakers: Vec<Asker>,
    requests: usize,
) -> Result<(Vec<Latencies>, Vec<Asker>), BenchError> {
    let mut random = Random::new(requests as u64);
    let mut order: Vec<usize> = (0..speakers.len()).collect();
    let mut found = vec![Vec::with_capacity(requests); speakers.len()];
    // The first few warm what the pause before has cooled.
    let warming = requests / 10;
    for round in 0..warming + requests {
        random.shuffle(&mut order);
        for at in &order {
            let (speaker, paths) = &mut speakers[*at];
            let path = &paths[round % paths.len()];
            let started = Instant::now();
            speaker.get(path).map_err(BenchError::Answer)?;
            let took = started.elapsed();
            if round >= warming {
                found[*at].push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            }
        }
    }
    Ok((found.into_iter().map(Latencies::of).collect(), speakers))
}

/// The medians of the windows' differences.
fn judge(
    case: &str,
    contenders: &[Contender<'_>; 3],
    windows: &[Vec<Sample>; 3],
    say: &dyn Fn(&str),
) -> Vec<Row> {
    let [without, signed, with] = windows;
    for (contender, windows) in contenders.iter().zip(windows) {
        let middle =
            |figure: fn(&Sample) -> f64| median(&windows.iter().map(figure).collect::<Vec<_>>());
        say(&format!(
            "{case:<34} {:<28} p50 {:>7.1} p99 {:>7.1} µs",
            contender.name,
            middle(|sample| sample.p50_us),
            middle(|sample| sample.p99_us)
        ));
    }
    let added = |to: &[Sample], figure: fn(&Sample) -> f64| {
        let pairs = to.iter().zip(without);
        let differences: Vec<f64> = pairs.map(|(to, of)| figure(to) - figure(of)).collect();
        median(&differences)
    };
    let row = |name: &str, of: &[Sample], figure: fn(&Sample) -> f64, is_required: bool| {
        let bound = [("a bound of 50 µs".to_owned(), BOUND_US)];
        let row = Row::best_of(
            case,
            name,
            "µs",
            added(of, figure),
            &bound,
            (Better::Less, 1.0),
        )?;
        Some(if is_required { row } else { row.required(None) })
    };
    [
        row("added, p50", with, |sample| sample.p50_us, true),
        row("added, p99", with, |sample| sample.p99_us, true),
        row(
            "added by the signature alone, p50",
            signed,
            |sample| sample.p50_us,
            false,
        ),
        row(
            "added by the signature alone, p99",
            signed,
            |sample| sample.p99_us,
            false,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
