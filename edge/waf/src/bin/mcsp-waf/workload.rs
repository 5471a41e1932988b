//! The requests that are measured, by us and by peers.

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

/// The client's address.
pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// One request and the head of its answer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    pub(crate) target: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    pub(crate) answered_type: &'static str,
}

/// What a peer needs to do the same.
#[derive(Debug, Serialize)]
pub(crate) struct Workload {
    /// What the rules are told before they are read.
    pub(crate) setup: String,
    pub(crate) client: IpAddr,
    pub(crate) samples: [Sample; 2],
}

const HEADERS: [(&str, &str); 7] = [
    ("Host", "media.example.org"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    ),
    ("Accept", "*/*"),
    ("Accept-Language", "en-GB,en;q=0.9,yo;q=0.8"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Referer", "https://media.example.org/watch/01J9ZQ6W5T3K8"),
    ("Origin", "https://media.example.org"),
];

fn headers() -> Vec<(&'static str, String)> {
    HEADERS
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

/// A segment of video, and 500 bytes of JSON.
pub(crate) fn samples() -> [Sample; 2] {
    let body = json_body();
    let mut posted = headers();
    posted.push(("Content-Type", "application/json".to_owned()));
    posted.push(("Content-Length", body.len().to_string()));
    [
        Sample {
            name: "segment GET",
            method: "GET",
            target: "/media/v1/9f2c7d1e5b/global/01J9ZQ6W5T3K8/video/720p/seg-000123.m4s",
            headers: headers(),
            body: String::new(),
            answered_type: "video/iso.segment",
        },
        Sample {
            name: "500-byte JSON POST",
            method: "POST",
            target: "/api/v1/content/01J9ZQ6W5T3K8/comments",
            headers: posted,
            body,
            answered_type: "application/json",
        },
    ]
}

fn json_body() -> String {
    let fields: [(&str, &str); 14] = [
        ("title", "Market day in Ibadan"),
        ("summary", "A walk through the stalls, with music and talk"),
        ("language", "yo"),
        ("category", "documentary"),
        ("visibility", "public"),
        ("license", "standard"),
        ("series", "Cities of the West"),
        ("episode", "12"),
        ("artist", "Ade Bello"),
        ("location", "Ibadan, Oyo"),
        ("published", "2026-03-04T10:00:00Z"),
        ("thumbnail", "thumb-720.jpg"),
        ("contact", "studio@example.org"),
        (
            "note",
            "Subtitles come with the second upload, please keep the first one until that one is there as well.",
        ),
    ];
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("\"{name}\":\"{value}\""))
        .collect();
    format!(
        "{{{},\"tags\":[\"market\",\"music\",\"food\"]}}",
        pairs.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_as_long_as_it_says() {
        let [_, post] = samples();
        assert!(
            post.name.starts_with(&post.body.len().to_string()),
            "{}",
            post.body.len()
        );
    }
}
