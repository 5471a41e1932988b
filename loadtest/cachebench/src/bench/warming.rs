//! What is done before anything is measured: everything is asked for until it is a hit.

use super::Tier;
use super::load::Load;
use crate::client::{self, Request};
use crate::error::BenchError;
use crate::server::Server;
use crate::sized::SizedOrigin;

/// Connections that fill a server's cache.
const WARMING_CONNECTIONS: usize = 16;
/// Most times that everything is asked for: a disk that is written to more slowly than it is filled may take some.
const ROUNDS_MAX: usize = 12;

/// Asks for each path some times, and until the origin is asked for none of them: without TLS, and over it if `over_tls` says how,
/// since for some servers scheme and port are of the key. What is not there after that, is not: its samples will say so.
///
/// # Errors
/// When one is not answered with 200 and in whole.
pub(super) async fn warm(
    server: &Server,
    tier: Tier,
    paths: &[String],
    origin: &SizedOrigin,
    over_tls: Option<&Load<'_>>,
) -> Result<(), BenchError> {
    let rounds_min = match tier {
        Tier::Memory => 3,
        Tier::Disk => 2,
    };
    for round in 1..=ROUNDS_MAX {
        let (before, _) = origin.asked();
        ask(server, paths).await?;
        if round >= rounds_min && origin.asked().0 == before {
            break;
        }
    }
    let Some(load) = over_tls else { return Ok(()) };
    for _ in 1..=ROUNDS_MAX {
        let (before, _) = origin.asked();
        load.warm(server).await?;
        if origin.asked().0 == before {
            break;
        }
    }
    Ok(())
}

/// Asks for each path once.
async fn ask(server: &Server, paths: &[String]) -> Result<(), BenchError> {
    let requests: Vec<Request> = paths.iter().map(|path| Request::new("GET", path)).collect();
    let share = requests.len().div_ceil(WARMING_CONNECTIONS).max(1);
    let shares = requests.chunks(share).map(|share| {
        client::send_all(server.plain, share, |request, answer| {
            match answer.status == 200 && answer.is_complete {
                true => Ok(()),
                false => Err(format!("{} answered {}", request.target, answer.status)),
            }
        })
    });
    futures::future::try_join_all(shares)
        .await
        .map(drop)
        .map_err(|reason| BenchError::Answer(format!("{}: {reason}", server.kind)))
}
