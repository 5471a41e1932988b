//! PCRE's spelling to that of the `regex` crate, where the two differ.

/// A rewritten pattern.
pub(super) struct Rewritten {
    pub(super) text: String,
    /// Uses a possessive quantifier, which the linear engine would read as a repetition of a repetition.
    pub(super) possessive: bool,
    /// May use what only a backtracking engine has.
    pub(super) backtracking: bool,
}

/// `\x{HH}` to `\xHH`; within classes, what would be a nested class or a set operation is escaped.
pub(super) fn rewrite(source: &str) -> Rewritten {
    let mut out = Rewritten { text: String::with_capacity(source.len() + 8), possessive: false, backtracking: false };
    let mut rest = source;
    let mut class = false;
    let mut class_start = false;
    let mut previous = '\0';
    while let Some(letter) = rest.chars().next() {
        let mut used = letter.len_utf8();
        let starts_class = class_start;
        class_start = false;
        match letter {
            '\\' => {
                used = escape(rest, class, &mut out);
                previous = 'e';
                rest = &rest[used..];
                continue;
            }
            '[' if class && rest.starts_with("[:") => match rest.find(":]") {
                Some(end) => {
                    out.text.push_str(&rest[..end + 2]);
                    used = end + 2;
                }
                None => out.text.push_str("\\["),
            },
            '[' if class => out.text.push_str("\\["),
            '[' => {
                class = true;
                class_start = true;
                out.text.push('[');
                if rest[1..].starts_with('^') {
                    out.text.push('^');
                    used = 2;
                }
            }
            ']' if class && starts_class => out.text.push_str("\\]"),
            ']' if class => {
                class = false;
                out.text.push(']');
            }
            '&' | '~' if class => {
                out.text.push('\\');
                out.text.push(letter);
            }
            '-' if class && previous == '-' => out.text.push_str("\\-"),
            '+' if !class && matches!(previous, '+' | '*' | '?' | '}') => {
                out.possessive = true;
                out.text.push('+');
            }
            '(' if !class => {
                out.backtracking |= ["(?=", "(?!", "(?<=", "(?<!", "(?>"].iter().any(|start| rest.starts_with(start));
                out.text.push('(');
                if rest.starts_with("(?") {
                    out.text.push('?');
                    used = 2;
                }
            }
            letter => out.text.push(letter),
        }
        // A quantifier's own '?' or '+' is not one that a further '+' could make possessive again.
        previous = if class && letter == '-' || !class { letter } else { 'c' };
        if letter == '(' {
            previous = '(';
        }
        rest = &rest[used..];
    }
    out
}

/// Writes the escape at the start of `rest`; the length of what was read.
fn escape(rest: &str, class: bool, out: &mut Rewritten) -> usize {
    let Some(next) = rest[1..].chars().next() else {
        out.text.push_str("\\\\");
        return 1;
    };
    let used = 1 + next.len_utf8();
    match next {
        'x' if rest[2..].starts_with('{') => {
            let end = rest.find('}').unwrap_or(rest.len() - 1);
            let digits = rest.get(3..end).unwrap_or_default();
            out.text.push_str(&format!("\\x{digits:0>2}"));
            return end + 1;
        }
        '1'..='9' if !class => {
            out.backtracking = true;
            out.text.push_str(&rest[..used]);
        }
        'h' => out.text.push_str(if class { "\\t " } else { "[\\t ]" }),
        'Z' | 'z' if !class => out.text.push_str("\\z"),
        letter if letter.is_ascii_alphanumeric() || letter.is_ascii_punctuation() && !matches!(letter, '<' | '>') => {
            out.text.push_str(&rest[..used]);
        }
        letter => out.text.push(letter),
    }
    used
}
