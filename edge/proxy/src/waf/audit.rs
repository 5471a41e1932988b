//! Where events of inspected requests go: JSON, one a line, without secrets.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mcsp_edge_waf::AuditEvent;
use mcsp_telemetry::redact_text;
use serde::Serialize;

use super::FirewallError;
use crate::access_log::AccessLog;

/// Parts of requests that are secrets whatever is in them: sign-ins, and the fields, arguments and cookies in which tokens
/// of every form come (`CTA-Common-Access-Token`, `URISigningPackage`, `refresh_token`, `X-Amz-Signature`).
const SECRETS: [&str; 7] = [
    "cookie",
    "authorization",
    "password",
    "secret",
    "sign",
    "token",
    "credential",
];

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
    if let Some(let_through) = &mut event.let_through {
        // A panic's words may quote what it was about.
        let_through.detail = redact_text(&let_through.detail);
    }
    for found in &mut event.matches {
        let variable = found.variable.to_ascii_lowercase();
        if SECRETS.iter().any(|secret| variable.contains(secret)) {
            found.data = "[redacted]".to_owned();
        }
        found.data = redact_text(&found.data);
        found.message = redact_text(&found.message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(variable: &str, data: &str) -> AuditEvent {
        let event = serde_json::json!({
            "id": "1", "time_ms": 0, "client": "192.0.2.1", "method": "GET", "host": "example.net", "status": null,
            "target": format!("/media/{data}/global/c_ng_1/master.m3u8"),
            "matches": [{
                "id": 1, "phase": 2, "message": "", "data": format!("found {data}"), "tags": [], "severity": null,
                "variable": variable, "version": null, "location": "a.conf:1:1"
            }],
            "matches_left_out": 0, "scores": { "inbound": 5, "outbound": 0 }, "block": null, "enforced": false,
            "body_cut": false, "overrun": false, "body_error": null
        });
        serde_json::from_value(event).expect("an event")
    }

    #[test]
    fn no_secret_is_written() {
        for variable in [
            "ARGS:URISigningPackage",
            "REQUEST_COOKIES:session",
            "REQUEST_HEADERS:CTA-Common-Access-Token",
            "REQUEST_HEADERS:Authorization",
            "ARGS:json.refresh_token",
            "ARGS:json.password",
            "ARGS:X-Amz-Signature",
        ] {
            let mut event = event(variable, "s3cr3t");
            redact(&mut event);
            let line = serde_json::to_string(&event).expect("JSON");
            assert!(!line.contains("s3cr3t"), "{line}");
        }
        let mut plain = event("ARGS:q", "s3cr3t");
        redact(&mut plain);
        assert_eq!(plain.matches[0].data, "found s3cr3t");
    }
}
