//! A file on its way into the store: written aside, hashed, made durable, then renamed into its place.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mcsp_runtime::hex_lower;
use md5::{Digest, Md5};

use super::record::Record;

/// Removes its file when it is dropped unpublished.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    path: PathBuf,
    hash: Md5,
    size_bytes: u64,
    published: bool,
}

impl Writer {
    /// A new file at `path`, where there is none yet.
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        Ok(Self {
            file: File::create_new(&path)?,
            path,
            hash: Md5::new(),
            size_bytes: 0,
            published: false,
        })
    }

    pub(crate) fn write(&mut self, chunks: &[Bytes]) -> io::Result<()> {
        for chunk in chunks {
            self.file.write_all(chunk)?;
            self.hash.update(chunk);
            self.size_bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    /// Bytes written so far.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// MD5 of the bytes written so far.
    pub(crate) fn md5(&self) -> [u8; 16] {
        self.hash.clone().finalize().into()
    }

    /// [`Self::md5`] in hexadecimal.
    pub(crate) fn md5_hex(&self) -> String {
        hex_lower(&self.md5())
    }

    /// Ends the file with its record and makes it durable under its temporary name.
    pub(crate) fn seal(&mut self, record: &Record) -> io::Result<()> {
        self.file.write_all(&record.to_trailer()?)?;
        self.file.sync_all()
    }

    /// Gives the file its place, replacing what is there. The caller makes the folder durable.
    pub(crate) fn rename_to(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.published {
            // What stays behind is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}
