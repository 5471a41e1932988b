//! Comparisons of numbers and of text.

/// How numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    pub(crate) fn by_name(lower: &str) -> Option<Self> {
        Some(match lower {
            "eq" => Self::Equal,
            "ne" => Self::NotEqual,
            "lt" => Self::Less,
            "le" => Self::AtMost,
            "gt" => Self::Greater,
            "ge" => Self::AtLeast,
            _ => return None,
        })
    }

    pub(crate) fn holds(self, value: i64, argument: i64) -> bool {
        match self {
            Self::Equal => value == argument,
            Self::NotEqual => value != argument,
            Self::Less => value < argument,
            Self::AtMost => value <= argument,
            Self::Greater => value > argument,
            Self::AtLeast => value >= argument,
        }
    }
}

/// The number at the start of a text, as C's `atoi` has it: 0 if there is none.
pub(crate) fn leading_number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let magnitude = digits
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .fold(0i64, |sum, digit| {
            sum.saturating_mul(10)
                .saturating_add(i64::from(digit - b'0'))
        });
    if negative { -magnitude } else { magnitude }
}

/// How text compares; always with case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextTest {
    Equal,
    Contains,
    ContainsWord,
    BeginsWith,
    EndsWith,
    Within,
}

impl TextTest {
    pub(crate) fn by_name(lower: &str) -> Option<Self> {
        Some(match lower {
            "streq" => Self::Equal,
            "contains" | "strmatch" => Self::Contains,
            "containsword" => Self::ContainsWord,
            "beginswith" => Self::BeginsWith,
            "endswith" => Self::EndsWith,
            "within" => Self::Within,
            _ => return None,
        })
    }

    pub(crate) fn holds(self, value: &[u8], argument: &[u8]) -> bool {
        match self {
            Self::Equal => value == argument,
            Self::Contains => memchr::memmem::find(value, argument).is_some(),
            Self::ContainsWord => memchr::memmem::find_iter(value, argument).any(|at| {
                let is_word =
                    |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
                let before = at.checked_sub(1).and_then(|at| value.get(at));
                !is_word(before) && !is_word(value.get(at + argument.len()))
            }),
            Self::BeginsWith => value.starts_with(argument),
            Self::EndsWith => value.ends_with(argument),
            Self::Within => memchr::memmem::find(argument, value).is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, number) in [
            (&b"12ab"[..], 12),
            (b" -3", -3),
            (b"", 0),
            (b"x", 0),
            (b"+7", 7),
        ] {
            assert_eq!(leading_number(text), number);
        }
        assert_eq!(leading_number(b"99999999999999999999999"), i64::MAX);
    }

    #[test]
    fn comparisons_by_name() {
        let table = [
            ("eq", 1, 1, true),
            ("ne", 1, 1, false),
            ("lt", 0, 1, true),
            ("le", 1, 1, true),
            ("gt", 1, 1, false),
            ("ge", 1, 1, true),
        ];
        for (name, value, argument, expected) in table {
            assert_eq!(
                Comparison::by_name(name).unwrap().holds(value, argument),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn text_tests_by_name() {
        let table: [(&str, &[u8], &[u8], bool); 9] = [
            ("streq", b"a", b"A", false),
            ("contains", b"xay", b"a", true),
            ("strmatch", b"xay", b"b", false),
            ("containsWord", b"a foo b", b"foo", true),
            ("containsWord", b"a food", b"foo", false),
            ("beginsWith", b"foobar", b"foo", true),
            ("endsWith", b"foobar", b"bar", true),
            ("within", b"GET", b"GET HEAD", true),
            ("within", b"PUT", b"GET HEAD", false),
        ];
        for (name, value, argument, expected) in table {
            assert_eq!(
                TextTest::by_name(&name.to_ascii_lowercase())
                    .unwrap()
                    .holds(value, argument),
                expected,
                "{name}"
            );
        }
    }
}
