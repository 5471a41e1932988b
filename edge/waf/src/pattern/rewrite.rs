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
    let mut out = Rewritten {
        text: String::with_capacity(source.len() + 8),
        possessive: false,
        backtracking: false,
    };
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
            '{' if !class => match quantifier(rest) {
                Some(length) => {
                    out.text.push_str(&rest[..length]);
                    used = length;
                    previous = '}';
                    rest = &rest[used..];
                    continue;
                }
                None => out.text.push_str("\\{"),
            },
            '(' if !class => {
                out.backtracking |= ["(?=", "(?!", "(?<=", "(?<!", "(?>"]
                    .iter()
                    .any(|start| rest.starts_with(start));
                out.text.push('(');
                if rest.starts_with("(?") {
                    out.text.push('?');
                    used = 2;
                }
            }
            letter => push_bytes(letter, &mut out.text),
        }
        // A quantifier's own '?' or '+' is not one that a further '+' could make possessive again.
        previous = match letter {
            '{' => 'e',
            '-' => letter,
            _ if class => 'c',
            letter => letter,
        };
        rest = &rest[used..];
    }
    out
}

/// A letter beyond ASCII is its bytes, in a class too: PCRE without its Unicode mode sees nothing else.
fn push_bytes(letter: char, out: &mut String) {
    if letter.is_ascii() {
        out.push(letter);
        return;
    }
    for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
        out.push_str(&format!("\\x{byte:02x}"));
    }
}

/// The length of a counted repetition; any other brace is itself.
fn quantifier(rest: &str) -> Option<usize> {
    let end = rest.find('}')?;
    let (least, most) = rest[1..end].split_once(',').unwrap_or((&rest[1..end], ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    (!least.is_empty() && digits(least) && digits(most)).then_some(end + 1)
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
        letter
            if letter.is_ascii_alphanumeric()
                || letter.is_ascii_punctuation() && !matches!(letter, '<' | '>') =>
        {
            out.text.push_str(&rest[..used]);
        }
        letter => push_bytes(letter, &mut out.text),
    }
    used
}
