//! Lists keys in the order of their bytes, straight from the folder tree.
//!
//! A folder sorts as its name with a slash: all its keys begin so, and no record beside it does. That gives the order of
//! whole keys without reading more than one folder at a time, and of that no more names than a page needs.

use std::collections::BinaryHeap;
use std::fs;
use std::io;
use std::path::Path;

use crate::name::{Entry, folder_path, parse_entry, record_path};

/// What to list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    /// Keys begin so.
    pub(crate) prefix: &'a str,
    /// Keys come after this one.
    pub(crate) after: Option<&'a str>,
    /// At most so many keys.
    pub(crate) limit: usize,
}

impl Query<'_> {
    fn wants_key(&self, key: &str) -> bool {
        key.starts_with(self.prefix) && self.after.is_none_or(|after| key > after)
    }

    /// May a folder whose keys all begin with `folder` hold a wanted key?
    fn wants_folder(&self, folder: &str) -> bool {
        let prefix_agrees = folder.starts_with(self.prefix) || self.prefix.starts_with(folder);
        let has_later = self
            .after
            .is_none_or(|after| folder > after || after.starts_with(folder));
        prefix_agrees && has_later
    }
}

/// Keys under `root` that the query wants, in order.
pub(crate) fn keys(root: &Path, query: Query<'_>) -> io::Result<Vec<String>> {
    // Straight to the deepest folder that holds every wanted key: its siblings may be a million.
    let folder = query
        .prefix
        .rfind('/')
        .map_or("", |slash| query.prefix.get(..=slash).unwrap_or_default());
    let mut found = Vec::new();
    // A prefix that no key can have (an over-long step, say) has no folder either.
    if folder.is_empty() || record_path(&format!("{folder}x")).is_ok() {
        walk(&root.join(folder_path(folder)), folder, query, &mut found)?;
    }
    Ok(found)
}

fn walk(dir: &Path, base: &str, query: Query<'_>, found: &mut Vec<String>) -> io::Result<()> {
    let mut last: Option<String> = None;
    while found.len() < query.limit {
        let batch_max = query.limit - found.len();
        let batch = next_names(dir, base, query, last.as_deref(), batch_max)?;
        let is_last = batch.len() < batch_max;
        for name in &batch {
            if found.len() == query.limit {
                return Ok(());
            }
            let full = format!("{base}{name}");
            match name.strip_suffix('/') {
                Some(_) => walk(&root_of(dir, name), &full, query, found)?,
                None => found.push(full),
            }
        }
        last = batch.into_iter().next_back();
        if is_last {
            return Ok(());
        }
    }
    Ok(())
}

fn root_of(dir: &Path, folder: &str) -> std::path::PathBuf {
    dir.join(folder_path(folder))
}

/// The first `count` wanted names of a folder that come after `last`, in order; folders end with a slash.
fn next_names(
    dir: &Path,
    base: &str,
    query: Query<'_>,
    last: Option<&str>,
    count: usize,
) -> io::Result<Vec<String>> {
    let mut smallest = BinaryHeap::with_capacity(count.min(1024) + 1);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        // Removed since it was listed, or never there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let file_name = entry?.file_name();
        let Some(entry) = file_name.to_str().and_then(parse_entry) else {
            continue;
        };
        let (name, wanted) = match entry {
            Entry::Record(step) => {
                let wanted = query.wants_key(&format!("{base}{step}"));
                (step, wanted)
            }
            Entry::Folder(step) => {
                let name = format!("{step}/");
                let wanted = query.wants_folder(&format!("{base}{name}"));
                (name, wanted)
            }
        };
        if wanted && last.is_none_or(|last| name.as_str() > last) {
            smallest.push(name);
            if smallest.len() > count {
                smallest.pop();
            }
        }
    }
    Ok(smallest.into_sorted_vec())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn tree(keys: &BTreeSet<String>) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for key in keys {
            let path = root.path().join(record_path(key).expect("a key"));
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, b"").expect("a record");
        }
        root
    }

    fn all_pages(root: &Path, prefix: &str, limit: usize) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        loop {
            let after = all.last().cloned();
            let query = Query {
                prefix,
                after: after.as_deref(),
                limit,
            };
            let page = keys(root, query).expect("a page");
            let is_last = page.len() < limit;
            all.extend(page);
            if is_last {
                return all;
            }
        }
    }

    #[test]
    fn a_record_and_a_folder_of_one_name_both_list() {
        let expected: BTreeSet<String> = ["a", "a-b", "a.b", "a/", "a//b", "a/b", "a0", "é/x"]
            .map(str::to_owned)
            .into();
        let root = tree(&expected);
        assert_eq!(
            all_pages(root.path(), "", 100),
            Vec::from_iter(expected.clone())
        );
        assert_eq!(all_pages(root.path(), "a/", 100), ["a/", "a//b", "a/b"]);
        assert_eq!(
            all_pages(root.path(), "nothing/here/", 100),
            Vec::<String>::new()
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(48))]
        #[test]
        fn pages_give_what_a_sorted_set_gives(
            set in proptest::collection::btree_set("[ab\\-0/]{1,6}", 1..24),
            prefix in "[ab/]{0,3}",
            limit in 1_usize..6,
        ) {
            let root = tree(&set);
            let expected: Vec<String> = set.iter().filter(|key| key.starts_with(&prefix)).cloned().collect();
            proptest::prop_assert_eq!(all_pages(root.path(), &prefix, limit), expected);
        }
    }
}
