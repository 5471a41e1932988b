//! The file to upload.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use mcsp_api::events::MediaType;
use mcsp_runtime::hex_lower;
use url::Url;

use crate::error::CliError;

/// A file whose path, size and time of change were seen.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) file_name: String,
    pub(crate) size_bytes: u64,
    pub(crate) media_type: MediaType,
    modified: SystemTime,
}

impl Source {
    /// Looks at the file. Its kind is what is said, or what its name says.
    pub(crate) async fn open(path: &Path, media_type: Option<MediaType>) -> Result<Self, CliError> {
        let unreadable = |source| CliError::Read {
            path: path.to_owned(),
            source,
        };
        let path = tokio::fs::canonicalize(path).await.map_err(unreadable)?;
        // Opened, so that a file that may not be read is found out now.
        let file = tokio::fs::File::open(&path).await.map_err(unreadable)?;
        let metadata = file.metadata().await.map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(CliError::File(format!("{} is not a file", path.display())));
        }
        if metadata.len() == 0 {
            return Err(CliError::File(format!(
                "{} is empty: it has no media to upload",
                path.display()
            )));
        }
        let file_name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok(Self {
            media_type: media_type.unwrap_or_else(|| media_type_of(&file_name)),
            file_name,
            size_bytes: metadata.len(),
            modified: metadata.modified().map_err(unreadable)?,
            path,
        })
    }

    /// The file's name without its ending.
    pub(crate) fn title(&self) -> String {
        let stem = Path::new(&self.file_name).file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    }

    /// Names this very file at this server: another size or time of change is another file.
    pub(crate) fn key(&self, server: &Url) -> String {
        let since_epoch = self
            .modified
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let text = format!(
            "{server}\n{}\n{}\n{}",
            self.path.display(),
            self.size_bytes,
            since_epoch.as_nanos()
        );
        hex_lower(
            digest(&SHA256, text.as_bytes())
                .as_ref()
                .get(..16)
                .unwrap_or_default(),
        )
    }

    /// Parts of two versions of a file make a file that nobody has.
    pub(crate) async fn check_unchanged(&self) -> Result<(), CliError> {
        let now = Self::open(&self.path, Some(self.media_type)).await?;
        if now.size_bytes == self.size_bytes && now.modified == self.modified {
            Ok(())
        } else {
            let path = self.path.display();
            Err(CliError::File(format!(
                "{path} was changed while it was sent; start again"
            )))
        }
    }
}

fn media_type_of(file_name: &str) -> MediaType {
    const AUDIO: [&str; 9] = [
        "aac", "aif", "aiff", "flac", "m4a", "mp3", "oga", "opus", "wav",
    ];
    let extension = file_name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    match extension {
        Some(extension) if AUDIO.contains(&extension.as_str()) => MediaType::Audio,
        _ => MediaType::Video,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_sound_from_picture() {
        assert_eq!(media_type_of("a.M4A"), MediaType::Audio);
        assert_eq!(media_type_of("a.mp3.mp4"), MediaType::Video);
        assert_eq!(media_type_of("noname"), MediaType::Video);
    }

    #[tokio::test]
    async fn a_file_that_was_touched_is_another_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.mp4");
        std::fs::write(&path, "one").expect("written");
        let source = Source::open(&path, None).await.expect("a file");
        let server: Url = "https://a.example".parse().expect("a URL");
        source.check_unchanged().await.expect("as it was");
        std::fs::write(&path, "longer").expect("written");
        assert!(matches!(
            source.check_unchanged().await,
            Err(CliError::File(_))
        ));
        let later = Source::open(&path, None).await.expect("a file");
        assert_ne!(later.key(&server), source.key(&server));
        assert_eq!(later.title(), "a");
    }

    #[tokio::test]
    async fn nothing_and_folders_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let empty = folder.path().join("empty.mp4");
        std::fs::write(&empty, "").expect("written");
        assert!(
            matches!(Source::open(&empty, None).await, Err(CliError::File(why)) if why.contains("empty"))
        );
        assert!(matches!(
            Source::open(folder.path(), None).await,
            Err(CliError::File(_))
        ));
        assert!(matches!(
            Source::open(&folder.path().join("no"), None).await,
            Err(CliError::Read { .. })
        ));
    }
}
