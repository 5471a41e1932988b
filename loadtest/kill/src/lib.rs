//! Kill tests of engines: a child process writes for ever and says what was acknowledged; it is killed with `SIGKILL`
//! once it has said enough; what it said must then be there.
//!
//! The child is a test of the same binary, marked `#[ignore]`: it returns at once when [`target`] is `None`, and calls
//! [`acknowledge`] after each write that the engine acknowledged.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

const TARGET: &str = "MCSP_KILL_TARGET";
const MARK: &str = "acknowledged ";
/// Bytes of what a child complained of that are told when it ended by itself: a panic's message comes before its backtrace.
const COMPLAINT_BYTES_MAX: u64 = 2048;

/// In the child: what it works on, as given to [`until_killed`].
#[must_use]
pub fn target() -> Option<OsString> {
    env::var_os(TARGET)
}

/// In the child: says that `what` (one line) was acknowledged, so that a kill from now on must not lose it.
///
/// # Errors
/// When the parent is gone.
pub fn acknowledge(what: impl Display) -> io::Result<()> {
    // One write, so that tasks side by side do not mix their lines.
    let line = format!("{MARK}{what}\n");
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

/// Runs the ignored test `child` of the calling test's binary on `target` as a process of its own, and kills it once it
/// has acknowledged `enough` writes. Returns everything it acknowledged, in order: what it said between the decision and
/// its death too.
///
/// # Errors
/// When the child cannot be run, or ends by itself before it has acknowledged `enough`: the error tells how its standard error
/// began.
pub fn until_killed(
    child: &str,
    target: impl AsRef<OsStr>,
    enough: usize,
) -> io::Result<Vec<String>> {
    let mut process = Command::new(env::current_exe()?)
        .args(["--exact", child, "--ignored", "--nocapture"])
        .env(TARGET, target)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Beside this, for a child that nobody listens to would wait for ever.
    let complaint = process
        .stderr
        .take()
        .map(|err| thread::spawn(move || beginning(err)));
    let mut acknowledged = Vec::new();
    if let Some(out) = process.stdout.take() {
        let mut out = BufReader::new(out);
        let mut line = Vec::new();
        while out.read_until(b'\n', &mut line)? > 0 {
            if let Some(what) = acknowledgement(&line) {
                acknowledged.push(what);
                if acknowledged.len() == enough {
                    process.kill()?;
                }
            }
            line.clear();
        }
    }
    let status = process.wait()?;
    if acknowledged.len() < enough {
        let said = acknowledged.len();
        let complaint = complaint.and_then(|complaint| complaint.join().ok());
        let complaint = complaint.transpose()?.unwrap_or_default();
        return Err(io::Error::other(format!(
            "{child} ended by itself ({status}) after {said} of {enough} acknowledgements: {complaint}"
        )));
    }
    Ok(acknowledged)
}

/// Reads to the end, and returns how it begins.
fn beginning(mut from: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.by_ref()
        .take(COMPLAINT_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    io::copy(&mut from, &mut io::sink())?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// What the line says was acknowledged. A line that the kill cut off says nothing.
fn acknowledgement(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    // The test runner may have begun the line.
    let (_, what) = line.split_once(MARK)?;
    Some(what.to_owned())
}
