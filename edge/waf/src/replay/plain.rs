//! A request of a test in parts, for tests that people write: what every client sends is added, and lengths are counted.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What is sent unless a request says otherwise.
const USUAL: [(&str, &str); 3] = [
    ("Host", "localhost"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"),
    ("Accept", "*/*"),
];

/// A request in parts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlainRequest {
    #[serde(default = "get")]
    method: String,
    target: String,
    /// In place of the usual ones, or beside them.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// With its length, unless the headers have one.
    body: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

impl PlainRequest {
    /// Its bytes in HTTP/1.1.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let is_said = |name: &str| {
            let mut names = self.headers.keys();
            names.any(|known| known.eq_ignore_ascii_case(name))
        };
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let usual = USUAL.into_iter().filter(|(name, _)| !is_said(name));
        let own = self.headers.iter();
        let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in usual.chain(own) {
            text += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = &self.body
            && !is_said("Content-Length")
        {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        text += "\r\n";
        text += self.body.as_deref().unwrap_or_default();
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_client_sends_is_added_and_what_is_said_stands() {
        let bytes = |text: &str| -> String {
            let request: PlainRequest = serde_json::from_str(text).expect("a request");
            String::from_utf8(request.bytes()).expect("text")
        };
        assert_eq!(
            bytes(r#"{"target": "/?a=1"}"#),
            "GET /?a=1 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\n\r\n"
        );
        let posted = r#"{"method": "POST", "target": "/", "headers": {"accept": "a/b", "host": "h", "user-agent": ""}, "body": "é=1"}"#;
        assert_eq!(
            bytes(posted),
            "POST / HTTP/1.1\r\naccept: a/b\r\nhost: h\r\nuser-agent: \r\nContent-Length: 4\r\n\r\né=1"
        );
        assert!(serde_json::from_str::<PlainRequest>(r#"{"target": "/", "heads": {}}"#).is_err());
    }
}
