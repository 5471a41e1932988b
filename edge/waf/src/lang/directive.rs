//! Lines of arguments to directives.

use std::sync::Arc;

use crate::error::{LoadError, LoadErrorKind};
use crate::lang::actions::{Action, engine_mode, id_ranges, parse_actions};
use crate::lang::ast::{Directive, OperatorAst, Placed, RuleAst, RuleSelector};
use crate::lang::lexer::{Line, Token, lines};
use crate::lang::variables::{Target, parse_targets};

/// Parses one rule file.
///
/// # Errors
/// The first mistake, with its place.
pub fn parse_file(file: &str, text: &[u8]) -> Result<Vec<Directive>, LoadError> {
    let file: Arc<str> = Arc::from(file);
    let mut out = Vec::new();
    for line in lines(&file, text)? {
        if let Some(directive) = parse_line(&line)? {
            out.push(directive);
        }
    }
    Ok(out)
}

/// Settings of ModSecurity's own logs, files and limits, which belong to the caller of this engine.
const INERT: &[&str] = &[
    "SecArgumentSeparator",
    "SecAuditEngine",
    "SecAuditLog",
    "SecAuditLog2",
    "SecAuditLogDirMode",
    "SecAuditLogFileMode",
    "SecAuditLogFormat",
    "SecAuditLogParts",
    "SecAuditLogRelevantStatus",
    "SecAuditLogStorageDir",
    "SecAuditLogType",
    "SecComponentSignature",
    "SecCookieFormat",
    "SecDataDir",
    "SecDebugLog",
    "SecDebugLogLevel",
    "SecGeoLookupDb",
    "SecPcreMatchLimit",
    "SecPcreMatchLimitRecursion",
    "SecRequestBodyInMemoryLimit",
    "SecRequestBodyLimitAction",
    "SecRequestBodyNoFilesLimit",
    "SecResponseBodyLimitAction",
    "SecServerSignature",
    "SecStatusEngine",
    "SecTmpDir",
    "SecTmpSaveUploadedFiles",
    "SecUnicodeMapFile",
    "SecUploadDir",
    "SecUploadFileLimit",
    "SecUploadFileMode",
    "SecUploadKeepFiles",
    "SecWebAppId",
    "SecXmlExternalEntity",
    "SecXmlParseIntoArgs",
];

fn parse_line(line: &Line) -> Result<Option<Directive>, LoadError> {
    let directive = match line.name.text.as_str() {
        "SecRule" => rule(line)?,
        "SecAction" => Directive::Rule(RuleAst {
            location: line.name.location(0),
            targets: Vec::new(),
            operator: None,
            actions: actions(only(line, "one argument: the actions")?)?,
        }),
        "SecMarker" => {
            Directive::Marker(only(line, "one argument: the marker's name")?.text.clone())
        }
        "SecDefaultAction" => {
            Directive::DefaultAction(actions(only(line, "one argument: the actions")?)?)
        }
        "SecRuleUpdateTargetById" => {
            let (rules, list) = two(line, "two arguments: ids and targets")?;
            Directive::UpdateTargets(ids(rules)?, targets(list)?)
        }
        "SecRuleUpdateTargetByTag" => {
            let (rules, list) = two(line, "two arguments: a tag and targets")?;
            Directive::UpdateTargets(RuleSelector::Tag(rules.text.clone()), targets(list)?)
        }
        "SecRuleUpdateTargetByMsg" => {
            let (rules, list) = two(line, "two arguments: a message and targets")?;
            Directive::UpdateTargets(RuleSelector::Message(rules.text.clone()), targets(list)?)
        }
        "SecRuleUpdateActionById" => {
            let (rules, list) = two(line, "two arguments: ids and actions")?;
            Directive::UpdateActions(ids(rules)?, actions(list)?)
        }
        "SecRuleRemoveById" => {
            let mut ranges = Vec::new();
            for token in &line.arguments {
                ranges.extend(id_ranges(&token.text).map_err(|kind| token.error(0, kind))?);
            }
            Directive::Remove(RuleSelector::Ids(ranges))
        }
        "SecRuleRemoveByTag" => Directive::Remove(RuleSelector::Tag(
            only(line, "one argument: a tag")?.text.clone(),
        )),
        "SecRuleRemoveByMsg" => Directive::Remove(RuleSelector::Message(
            only(line, "one argument: a message")?.text.clone(),
        )),
        "SecRuleEngine" => {
            let token = only(line, "On, Off or DetectionOnly")?;
            Directive::Engine(engine_mode(&token.text).map_err(|kind| token.error(0, kind))?)
        }
        "SecRequestBodyAccess" => Directive::RequestBodyAccess(switch(line)?),
        "SecResponseBodyAccess" => Directive::ResponseBodyAccess(switch(line)?),
        "SecRequestBodyLimit" => Directive::RequestBodyLimit(count(line)?),
        "SecResponseBodyLimit" => Directive::ResponseBodyLimit(count(line)?),
        "SecRequestBodyJsonDepthLimit" => Directive::JsonDepthLimit(count(line)?),
        "SecArgumentsLimit" => Directive::ArgumentsLimit(count(line)?),
        "SecCollectionTimeout" => {
            Directive::CollectionTimeout(u32::try_from(count(line)?).unwrap_or(u32::MAX))
        }
        "SecResponseBodyMimeType" => Directive::ResponseBodyTypes(
            line.arguments
                .iter()
                .map(|token| token.text.to_ascii_lowercase())
                .collect(),
        ),
        "Include" | "IncludeOptional" => {
            let kind = LoadErrorKind::UnsupportedDirective(
                line.name.text.clone(),
                "list the files in the order they load",
            );
            return Err(line.name.error(0, kind));
        }
        name if INERT.contains(&name) => return Ok(None),
        name => {
            return Err(line
                .name
                .error(0, LoadErrorKind::UnknownDirective(name.to_owned())));
        }
    };
    Ok(Some(directive))
}

fn rule(line: &Line) -> Result<Directive, LoadError> {
    const EXPECTED: &str = "two or three arguments: variables, operator, actions";
    let (list, operator, rest) = match line.arguments.as_slice() {
        [list, operator] => (list, operator, None),
        [list, operator, rest] => (list, operator, Some(rest)),
        _ => return Err(arguments(line, EXPECTED)),
    };
    Ok(Directive::Rule(RuleAst {
        location: line.name.location(0),
        targets: targets(list)?,
        operator: Some(Placed {
            location: operator.location(0),
            item: parse_operator(&operator.text),
        }),
        actions: rest.map(actions).transpose()?.unwrap_or_default(),
    }))
}

/// `!@name argument`; without `@` it is `rx`.
fn parse_operator(text: &str) -> OperatorAst {
    let trimmed = text.trim_start();
    let (negated, body) = match trimmed.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, trimmed),
    };
    let (name, argument) = match body.strip_prefix('@') {
        Some(rest) => rest.split_once([' ', '\t', '\n']).unwrap_or((rest, "")),
        None => ("rx", body),
    };
    OperatorAst {
        negated,
        name: name.to_owned(),
        argument: argument.trim_start().to_owned(),
    }
}

fn targets(token: &Token) -> Result<Vec<Placed<Target>>, LoadError> {
    let parsed = parse_targets(&token.text).map_err(|(offset, kind)| token.error(offset, kind))?;
    Ok(parsed
        .into_iter()
        .map(|(offset, item)| Placed {
            location: token.location(offset),
            item,
        })
        .collect())
}

fn actions(token: &Token) -> Result<Vec<Placed<Action>>, LoadError> {
    let parsed = parse_actions(&token.text).map_err(|(offset, kind)| token.error(offset, kind))?;
    Ok(parsed
        .into_iter()
        .map(|(offset, item)| Placed {
            location: token.location(offset),
            item,
        })
        .collect())
}

fn ids(token: &Token) -> Result<RuleSelector, LoadError> {
    let ranges = id_ranges(&token.text).map_err(|kind| token.error(0, kind))?;
    Ok(RuleSelector::Ids(ranges))
}

fn switch(line: &Line) -> Result<bool, LoadError> {
    let token = only(line, "On or Off")?;
    match token.text.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(token.error(
            0,
            LoadErrorKind::BadValue {
                what: "switch",
                value: token.text.clone(),
                expected: "On or Off",
            },
        )),
    }
}

fn count(line: &Line) -> Result<usize, LoadError> {
    let token = only(line, "a number")?;
    token.text.parse().map_err(|_| {
        token.error(
            0,
            LoadErrorKind::BadValue {
                what: "limit",
                value: token.text.clone(),
                expected: "a number",
            },
        )
    })
}

fn only<'a>(line: &'a Line, expected: &'static str) -> Result<&'a Token, LoadError> {
    match line.arguments.as_slice() {
        [token] => Ok(token),
        _ => Err(arguments(line, expected)),
    }
}

fn two<'a>(line: &'a Line, expected: &'static str) -> Result<(&'a Token, &'a Token), LoadError> {
    match line.arguments.as_slice() {
        [first, second] => Ok((first, second)),
        _ => Err(arguments(line, expected)),
    }
}

fn arguments(line: &Line, expected: &'static str) -> LoadError {
    let directive = line.name.text.clone();
    line.name.error(
        0,
        LoadErrorKind::Arguments {
            directive,
            expected,
        },
    )
}
