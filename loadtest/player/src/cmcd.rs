//! Common Media Client Data (CTA-5004): what a player tells the PoP with each request.

use std::fmt::Write as _;

/// How it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CmcdMode {
    /// In the four header fields (section 3.1).
    #[default]
    Headers,
    /// In the query argument `CMCD` (section 3.2).
    Query,
}

/// What is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectType {
    /// A manifest or playlist.
    Manifest,
    /// An initialisation segment.
    Init,
    /// Sound alone.
    Audio,
    /// Pictures alone.
    Video,
}

impl ObjectType {
    fn token(self) -> &'static str {
        match self {
            Self::Manifest => "m",
            Self::Init => "i",
            Self::Audio => "a",
            Self::Video => "v",
        }
    }
}

/// What there is to tell; what is absent is left out.
#[derive(Debug, Clone, Copy)]
pub struct Cmcd<'a> {
    /// `br`: the object's bitrate, kbit/s.
    pub bitrate_kbit_s: Option<u64>,
    /// `bl`: media in the buffer, ms; told rounded to 100.
    pub buffer_ms: Option<u64>,
    /// `bs`: the buffer ran dry since the last request.
    pub is_starved: bool,
    /// `cid`: the item.
    pub content_id: &'a str,
    /// `d`: the object's duration, ms.
    pub duration_ms: Option<u64>,
    /// `mtp`: measured throughput, kbit/s; told rounded to 100.
    pub throughput_kbit_s: Option<u64>,
    /// `nor`: what will be asked for next, relative to this.
    pub next: Option<&'a str>,
    /// `ot`.
    pub object: ObjectType,
    /// `rtp`: the throughput that would do, kbit/s; told rounded to 100.
    pub requested_kbit_s: Option<u64>,
    /// `sf`: DASH, else HLS.
    pub is_dash: bool,
    /// `sid`: the session.
    pub session_id: &'a str,
    /// `su`: it is wanted urgently: at the start, after a seek, in a stall.
    pub is_urgent: bool,
    /// `tb`: the highest bitrate that there is, kbit/s.
    pub top_kbit_s: Option<u64>,
}

/// The nearest multiple of 100.
fn hundreds(value: u64) -> u64 {
    value.saturating_add(50) / 100 * 100
}

/// A list of `key=value`, keys in order.
struct Group(String);

impl Group {
    fn new() -> Self {
        Self(String::new())
    }

    fn put(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            let comma = if self.0.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(self.0, "{comma}{key}={value}");
        }
    }

    fn flag(&mut self, key: &str, is_set: bool) {
        if is_set {
            let comma = if self.0.is_empty() { "" } else { "," };
            self.0.push_str(comma);
            self.0.push_str(key);
        }
    }
}

/// A string (RFC 8941 section 3.3.3); what cannot stand in one is left out.
fn quoted(text: &str) -> String {
    let plain: String = text
        .chars()
        .filter(|character| matches!(character, ' '..='~') && !matches!(character, '"' | '\\'))
        .take(64)
        .collect();
    format!("\"{plain}\"")
}

/// A relative URL in a string, percent-encoded beyond what URLs leave plain.
fn quoted_url(text: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    format!("\"{encoded}\"")
}

impl Cmcd<'_> {
    /// The header fields, those that say something.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut object = Group::new();
        object.put("br", self.bitrate_kbit_s);
        object.put("d", self.duration_ms);
        object.put("ot", Some(self.object.token()));
        object.put("tb", self.top_kbit_s);
        let mut request = Group::new();
        request.put("bl", self.buffer_ms.map(hundreds));
        request.put("mtp", self.throughput_kbit_s.map(hundreds));
        request.put("nor", self.next.map(quoted_url));
        request.flag("su", self.is_urgent);
        let mut session = Group::new();
        session.put("cid", Some(quoted(self.content_id)));
        session.put("sf", Some(self.format()));
        session.put("sid", Some(quoted(self.session_id)));
        session.put("st", Some("v"));
        let mut status = Group::new();
        status.flag("bs", self.is_starved);
        status.put("rtp", self.requested_kbit_s.map(hundreds));
        [
            ("cmcd-object", object),
            ("cmcd-request", request),
            ("cmcd-session", session),
            ("cmcd-status", status),
        ]
        .into_iter()
        .filter(|(_, group)| !group.0.is_empty())
        .map(|(name, group)| (name, group.0))
        .collect()
    }

    /// The query argument's value, before it is percent-encoded; keys in alphabetical order.
    #[must_use]
    pub fn query(&self) -> String {
        let mut all = Group::new();
        all.put("bl", self.buffer_ms.map(hundreds));
        all.put("br", self.bitrate_kbit_s);
        all.flag("bs", self.is_starved);
        all.put("cid", Some(quoted(self.content_id)));
        all.put("d", self.duration_ms);
        all.put("mtp", self.throughput_kbit_s.map(hundreds));
        all.put("nor", self.next.map(quoted_url));
        all.put("ot", Some(self.object.token()));
        all.put("rtp", self.requested_kbit_s.map(hundreds));
        all.put("sf", Some(self.format()));
        all.put("sid", Some(quoted(self.session_id)));
        all.put("st", Some("v"));
        all.flag("su", self.is_urgent);
        all.put("tb", self.top_kbit_s);
        all.0
    }

    fn format(&self) -> &'static str {
        if self.is_dash { "d" } else { "h" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_their_fields_in_order() {
        let cmcd = Cmcd {
            bitrate_kbit_s: Some(3_200),
            buffer_ms: Some(21_340),
            is_starved: true,
            content_id: "it\"em",
            duration_ms: Some(4_004),
            throughput_kbit_s: Some(25_449),
            next: Some("../v360/4.m4s"),
            object: ObjectType::Video,
            requested_kbit_s: None,
            is_dash: true,
            session_id: "6e2f",
            is_urgent: true,
            top_kbit_s: Some(6_000),
        };
        let expected = [
            ("cmcd-object", "br=3200,d=4004,ot=v,tb=6000"),
            (
                "cmcd-request",
                r#"bl=21300,mtp=25400,nor="..%2Fv360%2F4.m4s",su"#,
            ),
            ("cmcd-session", r#"cid="item",sf=d,sid="6e2f",st=v"#),
            ("cmcd-status", "bs"),
        ];
        let headers = cmcd.headers();
        assert!(
            headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .eq(expected)
        );
        let query = cmcd.query();
        let keys: Vec<&str> = query
            .split(',')
            .filter_map(|pair| pair.split('=').next())
            .collect();
        assert!(keys.is_sorted());
        assert_eq!(keys.len(), 13);
    }
}
