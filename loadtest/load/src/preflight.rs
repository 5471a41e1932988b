//! Before anything is loaded: may the targets be touched, and is anybody there?

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use mcsp_loadtest_scenario::{AllowList, Scenario};
use tokio::net::TcpStream;
use url::Url;

use crate::error::LoadError;

/// How long a name or a connection is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 64;

/// Where an API is, and may be connected to.
#[derive(Debug)]
pub(crate) struct Door {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
}

/// Holds every target of the scenario against the allow list; where its APIs are.
///
/// # Errors
/// A target that may not be touched, by name; one that has no address.
pub(crate) async fn admit(scenario: &Scenario, allow: &AllowList) -> Result<Vec<Door>, LoadError> {
    let targets = &scenario.targets;
    let places = scenario.geography.iter();
    let apis: BTreeSet<&Url> = [&targets.api]
        .into_iter()
        .chain(places.filter_map(|place| place.api.as_ref()))
        .collect();
    let nodes = scenario.nodes.iter();
    let others = targets
        .origin
        .iter()
        .chain(nodes.filter_map(|node| node.metrics_url.as_ref()));
    for url in others {
        admitted(scenario, allow, url).await?;
    }
    let mut doors = Vec::new();
    for url in apis {
        doors.push(admitted(scenario, allow, url).await?);
    }
    Ok(doors)
}

/// Sees whether the APIs are there. Their fault proxies have to be open by then.
///
/// # Errors
/// An API that takes no connection.
pub(crate) async fn reach(doors: &[Door], kept_by: &str) -> Result<(), LoadError> {
    for door in doors {
        reach_one(door, kept_by).await?;
    }
    Ok(())
}

async fn admitted(scenario: &Scenario, allow: &AllowList, url: &Url) -> Result<Door, LoadError> {
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().unwrap_or(0);
    let bare = host.trim_matches(['[', ']']);
    let given = scenario.targets.resolve.get(&format!("{host}:{port}"));
    let (port, addresses) = match (given, bare.parse::<IpAddr>()) {
        (Some(address), _) => (address.port(), vec![address.ip()]),
        (None, Ok(address)) => (port, vec![address]),
        (None, Err(_)) => (port, look_up(bare, port).await?),
    };
    allow.admit(&host, port, &addresses)?;
    Ok(Door {
        host,
        port,
        addresses,
    })
}

async fn look_up(host: &str, port: u16) -> Result<Vec<IpAddr>, LoadError> {
    let unknown = |why: String| LoadError::Unavailable(format!("{host} has no address: {why}"));
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| unknown("no answer in time".to_owned()))?
        .map_err(|error| unknown(error.to_string()))?;
    Ok(found
        .map(|address| address.ip())
        .take(ADDRESSES_MAX)
        .collect())
}

async fn reach_one(door: &Door, kept_by: &str) -> Result<(), LoadError> {
    let Door {
        host,
        port,
        addresses,
    } = door;
    let mut why = "no address".to_owned();
    for address in addresses {
        match tokio::time::timeout(PATIENCE, TcpStream::connect((*address, *port))).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = "no connection in time".to_owned(),
        }
    }
    let hint = if kept_by.is_empty() {
        "is it running, and is the target right (--target)?".to_owned()
    } else {
        format!("is {kept_by} still running?")
    };
    Err(LoadError::Unavailable(format!(
        "nobody takes connections at {host}:{port} ({why}): {hint}"
    )))
}
