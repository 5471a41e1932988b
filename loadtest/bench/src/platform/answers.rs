//! What is answered to which path.

use std::sync::atomic::Ordering;

use super::{Plant, Shared};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// Whole lines.
    pub(crate) fields: &'static str,
    pub(crate) body: Vec<u8>,
    /// What comes after it.
    pub(crate) rest: &'a [u8],
    /// Whether it breaks off in the middle.
    pub(crate) is_cut: bool,
}

impl Answer<'_> {
    fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            fields: "cache-status: pop; hit\r\n",
            body: body.into(),
            rest: &[],
            is_cut: false,
        }
    }

    fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::ok("")
        }
    }
}

impl Shared {
    /// The answer to request `number`.
    pub(crate) fn answer(&self, path: &str, number: u64) -> Answer<'_> {
        let path = path.split('?').next().unwrap_or_default();
        match path {
            "/api/v1/users/me" | "/api/v1/content/item" => Answer::ok("{}"),
            "/api/v1/auth/register" => Answer::status(409),
            "/api/v1/auth/login" | "/api/v1/auth/refresh" => Answer {
                fields: "set-cookie: mcsp_refresh=r; Path=/api/v1/auth; HttpOnly\r\n",
                ..Answer::ok(
                    r#"{"access_token":"t","token_type":"Bearer","expires_in":3600,"user":{}}"#,
                )
            },
            "/api/v1/play/item" => self.play(),
            "/metrics" => Answer::ok(format!(
                "process_cpu_seconds_total 1\nmcsp_edge_network_sent_bytes_total{{peers=\"clients\"}} {}\n",
                self.sent.load(Ordering::Relaxed)
            )),
            _ => self
                .media(path, number)
                .unwrap_or_else(|| Answer::status(404)),
        }
    }

    fn play(&self) -> Answer<'_> {
        let media = format!("http://{}/media/TOKEN/ng/item", self.address);
        let hls = if self.options.plant == Plant::LedAstray {
            // TEST-NET-1 (RFC 5737).
            "http://192.0.2.1/media/TOKEN/ng/item/master.m3u8".to_owned()
        } else {
            format!("{media}/master.m3u8")
        };
        Answer::ok(format!(
            r#"{{"media_session_id":"s","hls_url":"{hls}","dash_url":"{media}/manifest.mpd"}}"#
        ))
    }

    fn media(&self, path: &str, number: u64) -> Option<Answer<'_>> {
        let (item, plant) = (&self.options.item, self.options.plant);
        let (_token, rest) = path.strip_prefix("/media/")?.split_once('/')?;
        let name = rest.strip_prefix("ng/item/")?;
        let manifest = |text: String| Answer {
            fields: if plant == Plant::StaleManifest {
                "cache-status: pop; hit\r\ncache-control: max-age=30\r\nage: 3600\r\n"
            } else {
                "cache-status: pop; hit\r\ncache-control: max-age=30\r\n"
            },
            ..Answer::ok(text)
        };
        match name {
            "master.m3u8" => return Some(manifest(item.master())),
            "manifest.mpd" => return Some(manifest(item.mpd())),
            _ => {}
        }
        let (folder, file) = name.split_once('/')?;
        let rung = item.rung(folder)?;
        match file {
            "media.m3u8" => return Some(manifest(item.playlist())),
            "init.mp4" => return Some(Answer::ok(item.rungs.get(rung)?.init())),
            _ => {}
        }
        let segment: u64 = file.strip_suffix(".m4s")?.parse().ok()?;
        if !(1..=item.segments).contains(&segment) {
            return None;
        }
        if plant == Plant::Errors && number % 100 == 99 {
            return Some(Answer::status(503));
        }
        let source = if plant == Plant::WrongQuality && rung == 1 {
            0
        } else {
            rung
        };
        let (head, tail) = item.rungs.get(source)?.segment(segment);
        let mut answer = Answer {
            rest: tail,
            ..Answer::ok(head)
        };
        match plant {
            Plant::TruncatedSegment if segment == 3 => {
                answer.is_cut = !self.has_cut.swap(true, Ordering::Relaxed);
            }
            Plant::WrongBytes if segment == 3 && number.is_multiple_of(2) => {
                if let Some(byte) = answer.body.last_mut() {
                    *byte ^= 1;
                }
            }
            _ => {}
        }
        Some(answer)
    }
}
