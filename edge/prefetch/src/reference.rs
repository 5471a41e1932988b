//! References of the same origin, resolved (RFC 3986 section 5.2).

/// Longest path that comes out, bytes.
const PATH_BYTES_MAX: usize = 2_048;

/// Resolves a reference relative to `base`, a path that begins with `/`. Returns a path, with the reference's query if it
/// has one and without its fragment. `None` for a reference with a scheme or an authority (it is of another origin, or
/// may be), for one that leads above the root, and for one that says nothing or has characters that no path has.
///
/// Percent-encoded dots are not taken for dots: they are refused.
#[must_use]
pub fn resolve(base: &str, reference: &str) -> Option<String> {
    let reference = reference.split('#').next()?;
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let first_step = path.split('/').next()?;
    let is_sound = !path.is_empty()
        && !path.starts_with("//")
        && !first_step.contains(':')
        && reference.bytes().all(is_of_path)
        && !has_encoded_dots(path);
    if !is_sound || base.len() + reference.len() > PATH_BYTES_MAX {
        return None;
    }
    let base_path = base.split(['?', '#']).next()?;
    let folder = match path.strip_prefix('/') {
        Some(_) => "",
        None => base_path
            .rsplit_once('/')?
            .0
            .strip_prefix('/')
            .unwrap_or(""),
    };
    let mut steps: Vec<&str> = folder.split('/').filter(|_| !folder.is_empty()).collect();
    let mut parts = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        match part {
            // A folder at the end stays one: `a/.` is `a/`.
            "." if is_last => steps.push(""),
            "." => {}
            ".." => {
                steps.pop()?;
                if is_last {
                    steps.push("");
                }
            }
            _ => steps.push(part),
        }
    }
    let mut resolved = String::with_capacity(base.len() + reference.len());
    for step in steps {
        resolved.push('/');
        resolved.push_str(step);
    }
    if let Some(query) = query {
        resolved.push('?');
        resolved.push_str(query);
    }
    Some(resolved)
}

/// The characters of a path and a query (RFC 3986 sections 3.3 and 3.4).
fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte)
}

fn has_encoded_dots(path: &str) -> bool {
    path.as_bytes()
        .windows(3)
        .any(|window| window.eq_ignore_ascii_case(b"%2e") || window.eq_ignore_ascii_case(b"%2f"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_resolve_as_the_standard_has_it() {
        // The examples of RFC 3986 section 5.4 that have neither scheme nor authority nor fragment.
        let base = "/b/c/d;p?q";
        for (reference, resolved) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("g?y", "/b/c/g?y"),
            (";x", "/b/c/;x"),
            ("g;x", "/b/c/g;x"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../g", "/g"),
            ("g.", "/b/c/g."),
            (".g", "/b/c/.g"),
            ("..g", "/b/c/..g"),
            ("./../g", "/b/g"),
            ("g/./h", "/b/c/g/h"),
            ("g/../h", "/b/c/h"),
            ("g;x=1/../y", "/b/c/y"),
            ("g?y/../x", "/b/c/g?y/../x"),
            ("g#s", "/b/c/g"),
        ] {
            assert_eq!(
                resolve(base, reference).as_deref(),
                Some(resolved),
                "{reference}"
            );
        }
        assert_eq!(resolve("/a.m4s", "b.m4s").as_deref(), Some("/b.m4s"));
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for reference in [
            "",
            "?y",
            "#s",
            "g:h",
            "http:g",
            "https://other.test/a",
            "//other.test/a",
            "../../../g",
            "/../g",
            "%2e%2e/g",
            "%2E%2E/g",
            "a%2fb",
            "a b",
            "a\\b",
            "a\r\nb",
            "é",
        ] {
            assert_eq!(resolve("/b/c/d", reference), None, "{reference:?}");
        }
        assert_eq!(resolve("/a", &"x".repeat(3_000)), None);
    }

    proptest! {
        #[test]
        fn what_comes_out_is_a_path_without_steps_up(base in "(/[a-z.]{0,4}){1,4}", reference in "[a-z./?%:#]{0,16}") {
            if let Some(resolved) = resolve(&base, &reference) {
                let path = resolved.split('?').next().unwrap();
                prop_assert!(path.starts_with('/'));
                prop_assert!(!reference.starts_with("//"));
                // The base's own steps are the caller's.
                if !base.contains("..") {
                    prop_assert!(path.split('/').all(|step| step != ".."), "{base} {reference} {resolved}");
                }
            }
        }

        #[test]
        fn no_text_panics(base in ".{0,40}", reference in ".{0,40}") {
            let _ = resolve(&base, &reference);
        }
    }
}
