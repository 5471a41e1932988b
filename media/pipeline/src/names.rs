//! The names of an item's objects: the same however often a stage runs.

use mcsp_api::media_path::private;
use mcsp_api::{ContentId, Residency};

/// Objects of one item, all under `{residency}/{content_id}/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ItemNames {
    prefix: String,
}

impl ItemNames {
    pub(crate) fn new(residency: Residency, content_id: &ContentId) -> Self {
        Self {
            prefix: format!("{}/{content_id}/", residency.prefix()),
        }
    }

    /// The creator's original.
    pub(crate) fn source(&self) -> String {
        self.published(private::SOURCE)
    }

    /// A rendition before it is packaged.
    pub(crate) fn mezzanine(&self, rendition_id: &str) -> String {
        format!("{}work/{rendition_id}.mp4", self.prefix)
    }

    /// The description of a mezzanine.
    pub(crate) fn description(&self, rendition_id: &str) -> String {
        format!("{}work/{rendition_id}.json", self.prefix)
    }

    /// A file inside a rendition's folder.
    pub(crate) fn rendition(&self, rendition_id: &str, file: &str) -> String {
        format!("{}{rendition_id}/{file}", self.prefix)
    }

    /// What viewers ask for by this name inside the item.
    pub(crate) fn published(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }
}

/// The media type of a file by the end of its name.
pub(crate) fn content_type(name: &str, is_video: bool) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match (extension, is_video) {
        ("m3u8", _) => "application/vnd.apple.mpegurl",
        ("mpd", _) => "application/dash+xml",
        ("mp4" | "m4s", true) => "video/mp4",
        ("mp4" | "m4s", false) => "audio/mp4",
        ("jpg", _) => "image/jpeg",
        ("json", _) => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use mcsp_api::media_path::MediaPath;

    use super::*;

    #[test]
    fn names_are_of_the_closed_grammar_and_intermediate_files_are_private() {
        let id: ContentId = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().unwrap();
        let names = ItemNames::new(Residency::Ng, &id);
        let rest_of = |name: &str| MediaPath::parse_object_name(name).unwrap().rest.to_owned();
        assert_eq!(rest_of(&names.rendition("v360", "1.m4s")), "v360/1.m4s");
        assert_eq!(rest_of(&names.published("manifest.mpd")), "manifest.mpd");
        for name in [
            names.source(),
            names.mezzanine("v360"),
            names.description("v360"),
        ] {
            let rest = rest_of(&name);
            assert!(
                private::PREFIXES
                    .iter()
                    .any(|prefix| rest.starts_with(prefix)),
                "{name}"
            );
        }
    }
}
