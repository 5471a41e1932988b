//! One run of the load generator against one server: h2load, on a core of its own.
//!
//! h2load logs when each request began and how long it took, so CPU time and requests are of the same window, and
//! connecting is outside it. Large objects take longer than a window where many ask at once, and end in waves: of these the
//! bytes are counted that went over the loopback interface in the window.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::loopback::delivered_bytes;
use crate::error::BenchError;
use crate::server::Server;
use crate::sized::SizedOrigin;

/// Connecting, before the window; more with many TLS connections.
const LEAD_IN: Duration = Duration::from_millis(700);
const LEAD_IN_MANY: Duration = Duration::from_millis(2500);
/// After the window.
const LEAD_OUT: Duration = Duration::from_millis(300);
/// From this size on the bytes in the window are counted, and so many of them as an object has are a request. Heads, records,
/// frames, packets and acknowledgements are among them, whoever sends: 1 to 2 %.
const COUNTED_BY_BYTES_FROM: usize = 1 << 20;
/// Longest that a server may take to have everything.
const WARMING_MAX: Duration = Duration::from_secs(120);
/// Longest over the planned time.
const OVERTIME: Duration = Duration::from_secs(30);

/// How clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/1.1 without TLS.
    Plain,
    /// HTTP/1.1 over TLS 1.3.
    Tls,
    /// HTTP/2 over TLS 1.3, one request at a time on each connection.
    H2,
}

impl Protocol {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "h1",
            Self::Tls => "h1 TLS 1.3",
            Self::H2 => "h2 TLS 1.3",
        }
    }

    /// Where the server speaks it.
    fn address(self, server: &Server) -> Option<SocketAddr> {
        match self {
            Self::Plain => Some(server.plain),
            Self::Tls | Self::H2 => server.tls,
        }
    }
}

/// What is to be run.
#[derive(Debug)]
pub(super) struct Load<'a> {
    /// How clients speak.
    pub(super) protocol: Protocol,
    /// How many connections.
    pub(super) connections: usize,
    /// What they ask for, in turn; paths.
    pub(super) paths: &'a [String],
    /// The bytes of each.
    pub(super) object_bytes: usize,
    /// How long is measured.
    pub(super) window: Duration,
    /// The load generator's core.
    pub(super) core: usize,
    /// Where h2load's files go.
    pub(super) folder: PathBuf,
}

/// What one run measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sample {
    /// Requests a second.
    pub(super) requests_s: f64,
    /// The server's CPU time for a request, µs.
    pub(super) cpu_us: f64,
    /// The server's CPU time for 10⁹ bytes of body, s.
    pub(super) cpu_s_gb: f64,
    /// Latencies, µs.
    pub(super) p50_us: f64,
    /// Latencies, µs.
    pub(super) p99_us: f64,
    /// Latencies, µs.
    pub(super) p999_us: f64,
    /// The server's resident memory at the window's end, MiB.
    pub(super) resident_mib: f64,
    /// What the origin was asked while it ran. Samples of before do not say.
    #[serde(default)]
    pub(super) origin_requests: u64,
}

impl Load<'_> {
    /// Runs it.
    ///
    /// # Errors
    /// When the server does not speak the protocol, h2load fails, or a request does, and when the server's work is not seen.
    pub(super) async fn run(
        &self,
        server: &Server,
        origin: &SizedOrigin,
    ) -> Result<Sample, BenchError> {
        let fault =
            |reason: String| BenchError::tool("h2load", format!("{}: {reason}", server.kind));
        let list_file = self.list(server)?;
        let (asked_before, _) = origin.asked();
        let log_file = self.folder.join("h2load.log");
        let _ = std::fs::remove_file(&log_file);
        let lead_in = if self.connections > 100 {
            LEAD_IN_MANY
        } else {
            LEAD_IN
        };
        let whole = lead_in + self.window + LEAD_OUT;
        let mut command = Command::new("taskset");
        command
            .args(["-c", &self.core.to_string(), "h2load", "-t", "1", "-m", "1"])
            .args(["-c", &self.connections.to_string()])
            .args(["-D", &format!("{}ms", whole.as_millis())])
            .arg(format!("--log-file={}", log_file.display()))
            .arg("-i")
            .arg(&list_file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if self.protocol != Protocol::H2 {
            command.arg("--h1");
        }
        let started = Instant::now();
        let child = command.spawn().map_err(|error| fault(error.to_string()))?;
        let watch = async {
            sleep(lead_in.saturating_sub(started.elapsed())).await;
            let before = (now_us(), server.cpu_s(), delivered_bytes());
            sleep(self.window).await;
            let after = (now_us(), server.cpu_s(), delivered_bytes());
            (before, after, server.resident_bytes())
        };
        let (output, (before, after, resident)) =
            tokio::join!(timeout(whole + OVERTIME, child.wait_with_output()), watch);
        let output = output
            .map_err(|_| fault("not done in time".to_owned()))?
            .map_err(|error| fault(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(fault(format!("{}: {said}", output.status)));
        }
        failures(&text).map_or(Ok(()), |reason| Err(fault(reason)))?;
        let log = std::fs::read_to_string(&log_file)
            .map_err(|source| BenchError::file(&log_file, source))?;
        let mut latencies = Vec::new();
        for line in log.lines() {
            let (ended, latency, status) = log_line(line).unwrap_or_default();
            if status != 200 && ended > 0 {
                return Err(fault(format!("a request was answered {status}")));
            }
            if (before.0..after.0).contains(&ended) {
                latencies.push(latency);
            }
        }
        if latencies.is_empty() {
            return Err(fault(format!("no request ended in the window: {text}")));
        }
        latencies.sort_unstable();
        let seconds = (after.0 - before.0) as f64 / 1e6;
        let requests = if self.object_bytes >= COUNTED_BY_BYTES_FROM {
            after.2?.saturating_sub(before.2?) as f64 / self.object_bytes as f64
        } else {
            latencies.len() as f64
        };
        let cpu_s = after.1 - before.1;
        // Nobody answers for nothing, and nothing would be the best of all figures.
        if cpu_s <= 0.0 {
            return Err(fault("no processor time was seen".to_owned()));
        }
        Ok(Sample {
            requests_s: requests / seconds,
            cpu_us: cpu_s * 1e6 / requests,
            cpu_s_gb: cpu_s * 1e9 / (requests * self.object_bytes as f64),
            p50_us: percentile(&latencies, 0.5),
            p99_us: percentile(&latencies, 0.99),
            p999_us: percentile(&latencies, 0.999),
            resident_mib: resident as f64 / f64::from(1 << 20),
            origin_requests: origin.asked().0 - asked_before,
        })
    }

    /// Asks for each path once over HTTP/2.
    ///
    /// # Errors
    /// When the server does not speak it, h2load fails, or a request does.
    pub(super) async fn warm(&self, server: &Server) -> Result<(), BenchError> {
        let fault =
            |reason: String| BenchError::tool("h2load", format!("{}: {reason}", server.kind));
        let list_file = self.list(server)?;
        // Each connection goes through the whole list.
        let output = Command::new("h2load")
            .args(["-t", "1", "-c", "1", "-m", "16"])
            .args(["-n", &self.paths.len().to_string()])
            .arg("-i")
            .arg(&list_file)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(WARMING_MAX, output)
            .await
            .map_err(|_| fault("not warm in time".to_owned()))?
            .map_err(|error| fault(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Err(fault(format!("{}: {text}", output.status)));
        }
        failures(&text).map_or(Ok(()), |reason| Err(fault(reason)))
    }

    /// Writes down what is to be asked for.
    fn list(&self, server: &Server) -> Result<PathBuf, BenchError> {
        let Some(address) = self.protocol.address(server) else {
            let reason = format!("{}: no {} here", server.kind, self.protocol.name());
            return Err(BenchError::tool("h2load", reason));
        };
        let scheme = match self.protocol {
            Protocol::Plain => "http",
            Protocol::Tls | Protocol::H2 => "https",
        };
        let list: String = self
            .paths
            .iter()
            .map(|path| format!("{scheme}://{address}{path}\n"))
            .collect();
        let list_file = self.folder.join("h2load-paths.txt");
        std::fs::write(&list_file, list).map_err(|source| BenchError::file(&list_file, source))?;
        Ok(list_file)
    }
}

fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(0))
}

/// End (µs since 1970), latency (µs) and status of a line of h2load's log: start, status, latency.
fn log_line(line: &str) -> Option<(u64, u64, u16)> {
    let mut words = line.split('\t');
    let start: u64 = words.next()?.trim().parse().ok()?;
    let status: u16 = words.next()?.trim().parse().ok()?;
    let latency: u64 = words.next()?.trim().parse().ok()?;
    Some((start + latency, latency, status))
}

/// What h2load says went wrong: `requests: … 0 failed, 0 errored, 0 timeout`.
fn failures(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("requests: "))?;
    let count = |word: &str| {
        let (before, _) = line.split_once(word)?;
        before.trim().rsplit([' ', ',']).next()?.parse::<u64>().ok()
    };
    let bad = count(" failed")? + count(" timeout")?;
    (bad > 0).then(|| line.to_owned())
}

/// Of sorted latencies.
fn percentile(sorted: &[u64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(0) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_h2load_writes() {
        assert_eq!(
            log_line("1700000000000100\t200\t250"),
            Some((1_700_000_000_000_350, 250, 200))
        );
        let line =
            "requests: 9 total, 9 started, 9 done, 8 succeeded, 1 failed, 1 errored, 0 timeout";
        assert!(failures(line).is_some());
        assert!(failures(&line.replace("1 failed", "0 failed")).is_none());
    }

    #[test]
    fn percentiles_of_few() {
        assert_eq!(percentile(&[1, 2, 3], 0.5), 2.0);
        assert_eq!(percentile(&[1, 2, 3], 0.999), 3.0);
    }
}
