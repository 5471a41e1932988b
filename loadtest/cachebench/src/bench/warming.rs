//! What is done before anything is measured: everything is asked for until it is a hit.

use super::Tier;
use crate::client::{self, Request};
use crate::error::BenchError;
use crate::server::Server;

/// Connections that fill a server's cache.
const WARMING_CONNECTIONS: usize = 16;

/// Asks for each path some times without TLS.
///
/// # Errors
/// When one is not answered with 200 and in whole.
pub(super) async fn warm(server: &Server, tier: Tier, paths: &[String]) -> Result<(), BenchError> {
    let requests: Vec<Request> = paths.iter().map(|path| Request::new("GET", path)).collect();
    let rounds = match tier {
        Tier::Memory => 3,
        Tier::Disk => 2,
    };
    let share = requests.len().div_ceil(WARMING_CONNECTIONS).max(1);
    for _ in 0..rounds {
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
            .map_err(|reason| BenchError::Answer(format!("{}: {reason}", server.kind)))?;
    }
    Ok(())
}
