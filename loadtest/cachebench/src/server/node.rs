//! Our node, with a plain route to the origin.

use std::time::Duration;

use serde::Deserialize;

use super::process::end_of;
use super::{NodeLimits, Plan, Purpose, Server, free_port, loopback, write};
use crate::error::BenchError;

/// Longest wait until a node with a region has its keys.
const READY_LIMIT: Duration = Duration::from_secs(90);

/// What `addresses.json` says.
#[derive(Debug, Deserialize)]
struct Addresses {
    listeners: Vec<Listener>,
}

#[derive(Debug, Deserialize)]
struct Listener {
    address: std::net::SocketAddr,
    tls: bool,
}

/// Limits are at work, and wide enough for one address and one token; what is too much for the node is to be seen.
const WIDE: &str = "[limits.rate.connection]\naddress = \"off\"\n\
    [limits.rate.segment]\naddress = \"10000000/s burst 10000000\"\n\
    token = \"10000000/s burst 10000000\"\n\
    [limits.rate.plain]\naddress = \"10000000/s burst 10000000\"\n\
    [limits.shed]\nenabled = false\n\
    [limits.concurrency]\nconnections_address_max = 1000000\nrequests_address_max = 1000000\n";
const OFF: &str = "[limits]\nenabled = false\n[limits.shed]\nenabled = false\n\
    [limits.concurrency]\nconnections_address_max = 1000000\nrequests_address_max = 1000000\n";

/// Starts it.
pub(super) async fn start(plan: &Plan<'_>) -> Result<Server, BenchError> {
    let admin = loopback(free_port()?);
    let state = plan.folder.join("state");
    let workers = if plan.core.is_some() { 1 } else { 2 };
    let (keys, tables) = plan
        .node_extra
        .split_at(plan.node_extra.find('[').unwrap_or(plan.node_extra.len()));
    let limits = match plan.node_limits {
        NodeLimits::Default => "",
        NodeLimits::Wide => WIDE,
        NodeLimits::Off => OFF,
    };
    let mut text = format!(
        "state_dir = \"{}\"\nworker_threads = {workers}\n{keys}\n[admin]\naddress = \"{admin}\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [h1]\nrequests_max = 1000000\n{limits}\
         [[route]]\nname = \"bench\"\nupstream = \"http://{}\"\n",
        state.display(),
        plan.origin
    );
    if let Some(certificate) = plan.certificate {
        text.push_str(&format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n\
             [tls]\n[[tls.certificates]]\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
            certificate.cert.display(),
            certificate.key.display()
        ));
    }
    text.push_str(&cache(plan));
    text.push_str(tables);
    let config = write(&plan.folder.join("edge.toml"), &text)?;
    let set_up = "one worker; limits, access log and metrics on";
    let mut server = Server::new(plan.kind, admin, set_up);
    let words = [
        plan.node_program.display().to_string(),
        "run".to_owned(),
        "--config".to_owned(),
        config.display().to_string(),
    ];
    server.launch(plan, "mcsp-edge", &words, admin).await?;
    let log = plan.folder.join("mcsp-edge.log");
    wait_ready(admin)
        .await
        .map_err(|reason| BenchError::tool("mcsp-edge", format!("{reason}: {}", end_of(&log))))?;
    let path = state.join("addresses.json");
    let json = std::fs::read(&path).map_err(|source| BenchError::file(&path, source))?;
    let addresses: Addresses = serde_json::from_slice(&json)
        .map_err(|error| BenchError::tool("mcsp-edge", error.to_string()))?;
    for listener in addresses.listeners {
        if listener.tls {
            server.tls = Some(listener.address);
        } else {
            server.plain = listener.address;
        }
    }
    Ok(server)
}

/// The cache's table.
fn cache(plan: &Plan<'_>) -> String {
    let disk = plan.folder.join("cache");
    match plan.purpose {
        Purpose::Conformance => String::new(),
        Purpose::Memory => "[cache]\nmemory_bytes = 536870912\n".to_owned(),
        // 16 MiB hold 8 of the large objects.
        Purpose::Disk => format!(
            "[cache]\nmemory_bytes = 16777216\nobject_bytes_max = 4194304\nfill_bytes_max = 8388608\n\
             pinned_bytes_max = 8388608\n[cache.disk]\ndir = \"{}\"\nbytes = 2147483648\n",
            disk.display()
        ),
        Purpose::Budget { bytes, .. } => format!(
            "[cache]\nmemory_bytes = {bytes}\nobject_bytes_max = 2097152\nfill_bytes_max = 8388608\n\
             pinned_bytes_max = 8388608\n"
        ),
    }
}

async fn wait_ready(admin: std::net::SocketAddr) -> Result<(), String> {
    let request = crate::client::Request::new("GET", "/readyz");
    let started = std::time::Instant::now();
    loop {
        let last = match crate::client::send(admin, &request).await {
            Ok(answer) if answer.status == 200 => return Ok(()),
            Ok(answer) => format!("not ready: {}", answer.text()),
            Err(error) => error,
        };
        if started.elapsed() > READY_LIMIT {
            return Err(last);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
