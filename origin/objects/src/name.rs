//! Names: what a bucket and a key may be, and the path that a key has on disk.

use std::path::PathBuf;

use crate::ObjectError;

/// S3's own limit, bytes of UTF-8.
pub(crate) const KEY_BYTES_MAX: usize = 1024;
/// Steps between slashes; bounds the depth of the folder tree.
const STEPS_MAX: usize = 64;
/// Bytes of one escaped step; file systems end at 255 and a record's name is one longer.
const STEP_BYTES_MAX: usize = 240;
/// Ends the name of a record, and of no folder: an escaped step never holds it.
const RECORD_MARK: char = '=';

/// Begins what is said of a missing bucket.
const NO_BUCKET: &str = "bucket ";

/// Lower-case letters, digits and `-`, 3 to 63 of them, as S3 wants them; no dots, so that a name is one path step.
pub(crate) fn check_bucket(bucket: &str) -> Result<(), ObjectError> {
    let valid_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let valid = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(valid_byte)
        && !bucket.starts_with('-')
        && !bucket.ends_with('-');
    if valid {
        Ok(())
    } else {
        Err(ObjectError::Invalid(format!(
            "bucket name {:?}: expected 3 to 63 of a-z, 0-9 and -",
            clip(bucket)
        )))
    }
}

/// Refuses keys that cannot be stored: empty, too long or deep, with control characters or steps of dots.
pub(crate) fn check_key(key: &str) -> Result<(), ObjectError> {
    let refuse = |why: &str| Err(ObjectError::Invalid(format!("key {:?}: {why}", clip(key))));
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return refuse("expected 1 to 1024 bytes");
    }
    if key.chars().any(char::is_control) {
        return refuse("control characters are not allowed");
    }
    // URLs lose such steps on their way (RFC 3986 section 5.2.4), and another object would be meant.
    if key.split('/').any(|step| step == "." || step == "..") {
        return refuse("steps of . and .. are not allowed");
    }
    if key.split('/').count() > STEPS_MAX {
        return refuse("more than 64 steps between slashes");
    }
    if key
        .split('/')
        .any(|step| escape_step(step).len() > STEP_BYTES_MAX)
    {
        return refuse("a step between slashes is too long");
    }
    Ok(())
}

/// Where a key's record lies under its bucket's folder. The path has only steps that [`escape_step`] wrote, so it
/// cannot lead out of the folder.
pub(crate) fn record_path(key: &str) -> Result<PathBuf, ObjectError> {
    check_key(key)?;
    let mut path = PathBuf::new();
    let mut steps = key.split('/').peekable();
    while let Some(step) = steps.next() {
        let mut name = escape_step(step);
        if steps.peek().is_none() {
            name.push(RECORD_MARK);
        }
        path.push(name);
    }
    Ok(path)
}

/// Where the records of keys that begin with `folder` (which ends with a slash, or is empty) lie.
pub(crate) fn folder_path(folder: &str) -> PathBuf {
    folder.split_terminator('/').map(escape_step).collect()
}

/// What a name in the folder tree stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A record; the key's last step.
    Record(String),
    /// A folder; the step, without its slash.
    Folder(String),
}

/// Reads a name back; `None` for names that [`record_path`] never writes.
pub(crate) fn parse_entry(name: &str) -> Option<Entry> {
    match name.strip_suffix(RECORD_MARK) {
        Some(step) => unescape_step(step).map(Entry::Record),
        None => unescape_step(name).map(Entry::Folder),
    }
}

/// Percent-escapes all but letters, digits, `-`, `_` and dots that do not lead. An empty step is a lone `%`.
fn escape_step(step: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if step.is_empty() {
        return "%".to_owned();
    }
    let mut escaped = String::with_capacity(step.len());
    for (index, byte) in step.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric()
            || byte == b'-'
            || byte == b'_'
            || (byte == b'.' && index > 0);
        if plain {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push(char::from(DIGITS[usize::from(byte >> 4)]));
            escaped.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    escaped
}

fn unescape_step(name: &str) -> Option<String> {
    if name == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|step| !step.is_empty())
}

/// There is no such bucket.
pub(crate) fn no_bucket(bucket: &str) -> ObjectError {
    ObjectError::NotFound(format!("{NO_BUCKET}{bucket}"))
}

/// Is it the bucket that is missing, rather than something in it?
pub(crate) fn is_no_bucket(error: &ObjectError) -> bool {
    matches!(error, ObjectError::NotFound(what) if what.starts_with(NO_BUCKET))
}

fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use super::*;

    #[test]
    fn a_media_key_reads_as_itself_on_disk() {
        let path = record_path("ng/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc/v360/12.m4s").expect("a key");
        assert_eq!(
            path,
            PathBuf::from("ng/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc/v360/12.m4s=")
        );
    }

    #[test]
    fn a_key_and_a_folder_of_the_same_name_do_not_meet() {
        assert_ne!(record_path("a").expect("a key"), PathBuf::from("a"));
        assert_eq!(record_path("a/b").expect("a key"), PathBuf::from("a/b="));
        assert_eq!(
            record_path("a=/b").expect("a key"),
            PathBuf::from("a%3D/b=")
        );
    }

    #[test]
    fn keys_that_cannot_be_stored_are_refused() {
        let deep = "a/".repeat(65);
        let long = "x".repeat(1025);
        let wide = "é".repeat(100);
        for key in [
            "", "a\nb", "a\0b", "..", "a/../b", "./a", &deep, &long, &wide,
        ] {
            assert!(
                matches!(record_path(key), Err(ObjectError::Invalid(_))),
                "{key:?}"
            );
        }
    }

    #[test]
    fn bucket_names_are_one_plain_step() {
        assert!(check_bucket("mcsp-ng").is_ok());
        for bucket in [
            "", "ab", "..", "a/b", "Mcsp", "a.b.c", "-abc", "abc-", "a\0b",
        ] {
            assert!(check_bucket(bucket).is_err(), "{bucket:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_key_leads_out_of_its_folder(key in "[./%=a-c\\\\é]{1,60}") {
            if let Ok(path) = record_path(&key) {
                for step in path.components() {
                    proptest::prop_assert!(matches!(step, Component::Normal(_)), "{path:?}");
                }
                proptest::prop_assert_eq!(path.components().count(), key.split('/').count());
            }
        }

        #[test]
        fn a_step_reads_back(step in "[^/]{0,60}") {
            proptest::prop_assert_eq!(unescape_step(&escape_step(&step)), Some(step));
        }
    }
}
