//! Operators as written to operators that run, with what a value must contain for them to match.

use std::path::Path;

use crate::bytemap::ByteSet;
use crate::error::LoadErrorKind;
use crate::lang::ast::OperatorAst;
use crate::lang::macros::Template;
use crate::operator::{
    Comparison, Operator, Phrases, TextTest, byte_ranges, networks, phrase_lines, phrase_words,
};
use crate::pattern::Pattern;
use crate::pattern::require::{Requirement, of_literals};

/// Largest data file, bytes.
const DATA_BYTES_MAX: u64 = 16 << 20;

/// An operator, its argument if that is text, and its requirement.
pub(super) struct Compiled {
    pub(super) operator: Operator,
    pub(super) argument: Template,
    pub(super) requirement: Requirement,
}

/// Whether an operator of this name is taken and never asked: it would wait for a network.
pub(super) fn is_never_asked(name: &str) -> bool {
    name.eq_ignore_ascii_case("rbl")
}

pub(super) fn compile(ast: &OperatorAst, folder: &Path) -> Result<Compiled, LoadErrorKind> {
    let lower = ast.name.to_ascii_lowercase();
    let mut argument = Template::default();
    let mut requirement = Requirement::default();
    let trimmed = ast.argument.trim_end();
    if let Some(comparison) = Comparison::by_name(&lower) {
        argument = Template::parse(trimmed);
        return Ok(Compiled {
            operator: Operator::Compare(comparison),
            argument,
            requirement,
        });
    }
    if let Some(test) = TextTest::by_name(&lower) {
        argument = Template::parse(trimmed);
        if let (Some(text), false) = (argument.fixed(), test == TextTest::Within) {
            requirement = of_literals(&[text.to_vec()]);
        }
        return Ok(Compiled {
            operator: Operator::Text(test),
            argument,
            requirement,
        });
    }
    let bad = |expected| LoadErrorKind::BadValue {
        what: "operator's argument",
        value: ast.argument.clone(),
        expected,
    };
    let operator = match lower.as_str() {
        "rx" => {
            let template = Template::parse(&ast.argument);
            if template.fixed().is_some() {
                requirement = Pattern::requirement(&ast.argument);
                Operator::Pattern(
                    Pattern::compile(&ast.argument).map_err(LoadErrorKind::BadPattern)?,
                )
            } else {
                argument = template;
                Operator::PatternOfArgument
            }
        }
        "pm" => phrases(&phrase_words(trimmed), &mut requirement)?,
        "pmfromfile" | "pmf" => {
            let mut all = Vec::new();
            for name in trimmed.split_ascii_whitespace() {
                all.extend(phrase_lines(&data(folder, name)?));
            }
            phrases(&all, &mut requirement)?
        }
        "validatebyterange" => {
            let allowed = byte_ranges(trimmed).ok_or_else(|| bad("ranges of byte values"))?;
            requirement.bytes = Some(allowed.complement());
            Operator::ByteRange(allowed)
        }
        "validateurlencoding" => {
            requirement.bytes = Some(ByteSet::literal(b"%"));
            Operator::UrlEncoding
        }
        "validateutf8encoding" => {
            requirement.bytes = Some(ByteSet::EMPTY.with_range(0x80, 0xff));
            Operator::Utf8Encoding
        }
        "ipmatch" => {
            Operator::Networks(networks(trimmed).ok_or_else(|| bad("addresses or networks"))?)
        }
        "ipmatchfromfile" | "ipmatchf" => {
            let text =
                String::from_utf8(data(folder, trimmed)?).map_err(|_| LoadErrorKind::NotUtf8)?;
            Operator::Networks(
                networks(&text).ok_or_else(|| bad("a file of addresses or networks"))?,
            )
        }
        "detectsqli" => {
            // A single word or number is no SQL.
            let mut odd = ByteSet::EMPTY;
            (0..=255u8)
                .filter(|b| !b.is_ascii_alphanumeric() && *b != b'_')
                .for_each(|b| odd.insert(b));
            requirement.bytes = Some(odd);
            Operator::SqlInjection
        }
        "detectxss" => {
            // Every context needs a tag or an attribute's value.
            requirement.bytes = Some(ByteSet::literal(b"<=`"));
            Operator::Scripting
        }
        "geolookup" => Operator::Country,
        #[cfg(all(feature = "fault-injection", debug_assertions))]
        "faultpanic" => {
            argument = Template::parse(trimmed);
            Operator::Fault
        }
        #[cfg(all(feature = "fault-injection", debug_assertions))]
        "faulthold" => {
            argument = Template::parse(trimmed);
            Operator::Hold
        }
        "unconditionalmatch" => Operator::Always,
        "nomatch" => Operator::Never,
        name if is_never_asked(name) => Operator::Never,
        _ => return Err(LoadErrorKind::UnknownOperator(ast.name.clone())),
    };
    Ok(Compiled {
        operator,
        argument,
        requirement,
    })
}

fn phrases(all: &[Vec<u8>], requirement: &mut Requirement) -> Result<Operator, LoadErrorKind> {
    *requirement = of_literals(all);
    Ok(Operator::Phrases(Box::new(
        Phrases::compile(all).map_err(LoadErrorKind::BadPattern)?,
    )))
}

fn data(folder: &Path, name: &str) -> Result<Vec<u8>, LoadErrorKind> {
    let path = folder.join(name);
    let unreadable = |error: &dyn std::fmt::Display| {
        LoadErrorKind::Unreadable(format!("{}: {error}", path.display()))
    };
    let size = std::fs::metadata(&path)
        .map_err(|error| unreadable(&error))?
        .len();
    if size > DATA_BYTES_MAX {
        return Err(unreadable(&"larger than 16 MiB"));
    }
    std::fs::read(&path).map_err(|error| unreadable(&error))
}
