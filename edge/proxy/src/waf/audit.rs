//! Where events of inspected requests go: JSON, one a line, without secrets.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mcsp_edge_waf::AuditEvent;
use mcsp_telemetry::redact_text;
use serde::Serialize;

use super::FirewallError;
use crate::access_log::AccessLog;

/// Parts of requests that are secrets whatever is in them.
const SECRETS: [&str; 3] = ["cookie", "authorization", "password"];

#[derive(Debug)]
pub(super) struct Audit {
    file: Option<PathBuf>,
    /// The node's log, if there is no file.
    log: Option<AccessLog>,
    /// The file, once it is open.
    out: OnceLock<AccessLog>,
}

#[derive(Serialize)]
struct Named<'a> {
    log: &'static str,
    #[serde(flatten)]
    event: &'a AuditEvent,
}

impl Audit {
    /// Events go to `file` once it is open, or to the node's log.
    pub(super) fn new(file: Option<&Path>, log: Option<AccessLog>) -> Self {
        Self {
            log: log.filter(|_| file.is_none()),
            file: file.map(Path::to_path_buf),
            out: OnceLock::new(),
        }
    }

    pub(super) fn open(&self) -> Result<(), FirewallError> {
        let Some(path) = &self.file else {
            return Ok(());
        };
        let file = File::options().create(true).append(true).open(path);
        match file.and_then(|file| AccessLog::start_with("waf-audit", file)) {
            Ok(out) => {
                self.out.get_or_init(|| out);
                Ok(())
            }
            Err(source) => Err(FirewallError::Audit {
                path: path.display().to_string(),
                source,
            }),
        }
    }

    pub(super) fn write(&self, mut event: AuditEvent) {
        let Some(out) = self.out.get().or(self.log.as_ref()) else {
            return;
        };
        redact(&mut event);
        // Among other lines, an event says what it is.
        let line = match &self.log {
            Some(_) => serde_json::to_vec(&Named {
                log: "waf",
                event: &event,
            }),
            None => serde_json::to_vec(&event),
        };
        // An event is numbers and text, which is always JSON.
        if let Ok(mut line) = line {
            line.push(b'\n');
            out.add(&line);
        }
    }
}

/// Tokens, sessions and signatures are not for the log, wherever a rule found them.
fn redact(event: &mut AuditEvent) {
    event.target = redact_text(&event.target);
    for found in &mut event.matches {
        let variable = found.variable.to_ascii_lowercase();
        if SECRETS.iter().any(|secret| variable.contains(secret)) {
            found.data = "[redacted]".to_owned();
        }
        found.data = redact_text(&found.data);
        found.message = redact_text(&found.message);
    }
}
