//! The third argument of a rule: its actions.

use crate::body::Processor;
use crate::error::LoadErrorKind;
use crate::lang::ast::{EngineMode, RuleSelector};
use crate::lang::macros::Template;
use crate::lang::variables::{Target, Variable, parse_targets};
use crate::transform::Transformation;

/// One action.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // Each is documented by the language under its own name.
pub enum Action {
    Id(u64),
    Phase(u8),
    Msg(Template),
    LogData(Template),
    Tag(String),
    Ver(String),
    Rev(String),
    Severity(u8),
    /// `t:none` is `None`.
    Transform(Option<Transformation>),
    Chain,
    Capture,
    MultiMatch,
    Log(bool),
    AuditLog(bool),
    Pass,
    Block,
    Deny,
    Drop,
    Allow(AllowScope),
    Redirect(Template),
    Status(u16),
    SetVar(SetVar),
    ExpireVar(Variable, Template, Template),
    InitCol(Variable, Template),
    Skip(u32),
    SkipAfter(String),
    Ctl(Ctl),
    /// What only describes a rule: `accuracy`, `maturity`.
    Inert(&'static str),
    /// Taken and not carried out: `sanitise…`, `setuid` and their like.
    NotDone(&'static str),
}

/// How far `allow` reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowScope {
    /// All phases but logging.
    All,
    /// The rest of this phase.
    Phase,
    /// The request's phases.
    Request,
}

/// A change of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetVar {
    /// `TX` or a persistent collection.
    pub collection: Variable,
    /// The name within it.
    pub name: Template,
    /// The change.
    pub change: Change,
}

/// What `setvar` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `name=value`
    Set(Template),
    /// `name=+value`
    Add(Template),
    /// `name=-value`
    Subtract(Template),
    /// `!name`
    Unset,
}

/// A setting for the rest of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // As for `Action`.
pub enum Ctl {
    AuditEngine(bool),
    AuditLogParts,
    ForceRequestBodyVariable(bool),
    RequestBodyAccess(bool),
    RequestBodyProcessor(Option<Processor>),
    ResponseBodyAccess(bool),
    RuleEngine(EngineMode),
    RuleRemove(RuleSelector),
    RuleRemoveTarget(RuleSelector, Vec<Target>),
}

/// Parses a comma-separated list.
///
/// # Errors
/// The offset and the mistake.
pub fn parse_actions(text: &str) -> Result<Vec<(usize, Action)>, (usize, LoadErrorKind)> {
    let mut out = Vec::new();
    for item in items(text)? {
        let action = parse_action(item.name, item.value).map_err(|kind| (item.offset, kind))?;
        out.push((item.offset, action));
    }
    Ok(out)
}

struct Item<'a> {
    offset: usize,
    name: &'a str,
    value: Option<&'a str>,
}

fn items(text: &str) -> Result<Vec<Item<'_>>, (usize, LoadErrorKind)> {
    const BLANK: [char; 5] = [' ', '\t', '\r', '\n', ','];
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start_matches(BLANK).len();
        if at >= text.len() {
            return Ok(out);
        }
        let rest = &text[at..];
        let name_end = rest.find([':', ',']).unwrap_or(rest.len());
        let name = rest[..name_end].trim_end();
        if !rest[name_end..].starts_with(':') {
            out.push(Item {
                offset: at,
                name,
                value: None,
            });
            at += name_end;
            continue;
        }
        let body = &rest[name_end + 1..];
        let (value, used) = match body.strip_prefix('\'') {
            Some(quoted) => {
                let end = quote_end(quoted)
                    .ok_or((at + name_end + 1, LoadErrorKind::UnterminatedQuote))?;
                (&quoted[..end], end + 2)
            }
            None => {
                let end = unquoted_end(body);
                (body[..end].trim_end(), end)
            }
        };
        out.push(Item {
            offset: at,
            name,
            value: Some(value),
        });
        at += name_end + 1 + used;
    }
}

fn quote_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'\'', bytes).find(|&at| at == 0 || bytes[at - 1] != b'\\')
}

/// `ctl:x=y;ARGS:/a,b/` and the like may quote a part of the value.
fn unquoted_end(text: &str) -> usize {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\'' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn parse_action(name: &str, value: Option<&str>) -> Result<Action, LoadErrorKind> {
    let lower = name.to_ascii_lowercase();
    let text = || {
        value
            .map(|v| v.replace("\\'", "'"))
            .ok_or_else(|| bad("action", name, "a value after it"))
    };
    let template = || text().map(|text| Template::parse(&text));
    Ok(match lower.as_str() {
        "id" => Action::Id(number(&text()?, "id", "a positive integer")?),
        "phase" => Action::Phase(phase(&text()?)?),
        "msg" => Action::Msg(template()?),
        "logdata" => Action::LogData(template()?),
        "tag" => Action::Tag(text()?),
        "ver" => Action::Ver(text()?),
        "rev" => Action::Rev(text()?),
        "severity" => Action::Severity(severity(&text()?)?),
        "t" => {
            let name = text()?;
            if name.eq_ignore_ascii_case("none") {
                Action::Transform(None)
            } else {
                let known = Transformation::by_name(&name);
                Action::Transform(Some(
                    known.ok_or(LoadErrorKind::UnknownTransformation(name))?,
                ))
            }
        }
        "chain" => Action::Chain,
        "capture" => Action::Capture,
        "multimatch" => Action::MultiMatch,
        "log" => Action::Log(true),
        "nolog" => Action::Log(false),
        "auditlog" => Action::AuditLog(true),
        "noauditlog" => Action::AuditLog(false),
        "pass" => Action::Pass,
        "block" => Action::Block,
        "deny" => Action::Deny,
        "drop" => Action::Drop,
        "allow" => Action::Allow(match value.map(str::to_ascii_lowercase).as_deref() {
            None => AllowScope::All,
            Some("phase") => AllowScope::Phase,
            Some("request") => AllowScope::Request,
            Some(other) => return Err(bad("allow", other, "phase, request or nothing")),
        }),
        "redirect" => Action::Redirect(template()?),
        "status" => Action::Status(number(
            &text()?,
            "status",
            "an HTTP status from 100 to 599",
        )?),
        "setvar" => Action::SetVar(set_var(&text()?)?),
        "expirevar" => {
            let text = text()?;
            let (name, seconds) = text
                .split_once('=')
                .ok_or_else(|| bad("expirevar", &text, "collection.name=seconds"))?;
            let (collection, name) = member(name)?;
            Action::ExpireVar(collection, Template::parse(name), Template::parse(seconds))
        }
        "initcol" => {
            let text = text()?;
            let (name, key) = text
                .split_once('=')
                .ok_or_else(|| bad("initcol", &text, "collection=key"))?;
            let collection = Variable::by_name(name).filter(|variable| variable.is_persistent());
            let collection = collection
                .ok_or_else(|| bad("initcol", name, "ip, global, session, user or resource"))?;
            Action::InitCol(collection, Template::parse(key))
        }
        "skip" => Action::Skip(number(&text()?, "skip", "a number of rules")?),
        "skipafter" => Action::SkipAfter(text()?),
        "ctl" => Action::Ctl(ctl(&text()?)?),
        "accuracy" => Action::Inert("accuracy"),
        "maturity" => Action::Inert("maturity"),
        "sanitisearg"
        | "sanitizearg"
        | "sanitisematched"
        | "sanitizematched"
        | "sanitiserequestheader"
        | "sanitizerequestheader"
        | "sanitiseresponseheader"
        | "sanitizeresponseheader"
        | "sanitisematchedbytes" => Action::NotDone("sanitise"),
        "setuid" | "setsid" | "setrsc" | "setenv" => Action::NotDone("set"),
        _ => return Err(LoadErrorKind::UnknownAction(name.to_owned())),
    })
}

fn bad(what: &'static str, value: &str, expected: &'static str) -> LoadErrorKind {
    LoadErrorKind::BadValue {
        what,
        value: value.to_owned(),
        expected,
    }
}

fn number<N: std::str::FromStr>(
    text: &str,
    what: &'static str,
    expected: &'static str,
) -> Result<N, LoadErrorKind> {
    text.trim().parse().map_err(|_| bad(what, text, expected))
}

fn phase(text: &str) -> Result<u8, LoadErrorKind> {
    match text.to_ascii_lowercase().as_str() {
        "1" => Ok(1),
        "2" | "request" => Ok(2),
        "3" => Ok(3),
        "4" | "response" => Ok(4),
        "5" | "logging" => Ok(5),
        _ => Err(bad("phase", text, "1 to 5, request, response or logging")),
    }
}

/// Syslog's scale: 0 is an emergency, 7 is debugging.
pub const SEVERITIES: [&str; 8] = [
    "EMERGENCY",
    "ALERT",
    "CRITICAL",
    "ERROR",
    "WARNING",
    "NOTICE",
    "INFO",
    "DEBUG",
];

fn severity(text: &str) -> Result<u8, LoadErrorKind> {
    let named = SEVERITIES
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text));
    let level = named.or_else(|| text.parse().ok().filter(|level| *level < SEVERITIES.len()));
    level
        .and_then(|level| u8::try_from(level).ok())
        .ok_or_else(|| bad("severity", text, "0 to 7 or a syslog name"))
}

fn member(name: &str) -> Result<(Variable, &str), LoadErrorKind> {
    const EXPECTED: &str = "tx.name or a persistent collection's name";
    let (collection, rest) = name
        .split_once(['.', ':'])
        .ok_or_else(|| bad("variable", name, EXPECTED))?;
    let variable =
        Variable::by_name(collection.trim()).filter(|v| *v == Variable::Tx || v.is_persistent());
    Ok((
        variable.ok_or_else(|| bad("variable", name, EXPECTED))?,
        rest,
    ))
}

fn set_var(text: &str) -> Result<SetVar, LoadErrorKind> {
    if let Some(name) = text.strip_prefix('!') {
        let (collection, name) = member(name)?;
        return Ok(SetVar {
            collection,
            name: Template::parse(name),
            change: Change::Unset,
        });
    }
    let (name, value) = text.split_once('=').unwrap_or((text, "1"));
    let (collection, name) = member(name)?;
    let change = match value.as_bytes().first() {
        Some(b'+') => Change::Add(Template::parse(&value[1..])),
        Some(b'-') => Change::Subtract(Template::parse(&value[1..])),
        _ => Change::Set(Template::parse(value)),
    };
    Ok(SetVar {
        collection,
        name: Template::parse(name),
        change,
    })
}

fn ctl(text: &str) -> Result<Ctl, LoadErrorKind> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| bad("ctl", text, "name=value"))?;
    let value = value.trim();
    let on = || match value.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" | "relevantonly" => Ok(false),
        _ => Err(bad("ctl", text, "On or Off")),
    };
    Ok(match name.trim().to_ascii_lowercase().as_str() {
        "auditengine" => Ctl::AuditEngine(on()?),
        "auditlogparts" => Ctl::AuditLogParts,
        "forcerequestbodyvariable" => Ctl::ForceRequestBodyVariable(on()?),
        "requestbodyaccess" => Ctl::RequestBodyAccess(on()?),
        "responsebodyaccess" => Ctl::ResponseBodyAccess(on()?),
        "requestbodyprocessor" => Ctl::RequestBodyProcessor(Processor::by_name(value)),
        "ruleengine" => Ctl::RuleEngine(engine_mode(value)?),
        "ruleremovebyid" => Ctl::RuleRemove(RuleSelector::Ids(id_ranges(value)?)),
        "ruleremovebytag" => Ctl::RuleRemove(RuleSelector::Tag(value.to_owned())),
        "ruleremovebymsg" => Ctl::RuleRemove(RuleSelector::Message(value.to_owned())),
        "ruleremovetargetbyid" => {
            let (rules, targets) = removal(value)?;
            Ctl::RuleRemoveTarget(RuleSelector::Ids(id_ranges(rules)?), targets)
        }
        "ruleremovetargetbytag" => {
            let (rules, targets) = removal(value)?;
            Ctl::RuleRemoveTarget(RuleSelector::Tag(rules.to_owned()), targets)
        }
        "ruleremovetargetbymsg" => {
            let (rules, targets) = removal(value)?;
            Ctl::RuleRemoveTarget(RuleSelector::Message(rules.to_owned()), targets)
        }
        _ => return Err(LoadErrorKind::UnknownAction(format!("ctl:{name}"))),
    })
}

fn removal(value: &str) -> Result<(&str, Vec<Target>), LoadErrorKind> {
    let (rules, targets) = value
        .split_once(';')
        .ok_or_else(|| bad("ctl", value, "rules;targets"))?;
    let targets = parse_targets(targets).map_err(|(_, kind)| kind)?;
    Ok((
        rules,
        targets.into_iter().map(|(_, target)| target).collect(),
    ))
}

/// `SecRuleEngine`'s values.
///
/// # Errors
/// Another word.
pub fn engine_mode(text: &str) -> Result<EngineMode, LoadErrorKind> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Ok(EngineMode::On),
        "off" => Ok(EngineMode::Off),
        "detectiononly" => Ok(EngineMode::DetectionOnly),
        _ => Err(bad("engine", text, "On, Off or DetectionOnly")),
    }
}

/// `1`, `1-5`, or several with commas or blanks between.
///
/// # Errors
/// What is no number or range.
pub fn id_ranges(text: &str) -> Result<Vec<(u64, u64)>, LoadErrorKind> {
    const EXPECTED: &str = "ids or ranges of ids";
    let mut out = Vec::new();
    for part in text.split([',', ' ']).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        out.push((
            number(first, "rule id", EXPECTED)?,
            number(last, "rule id", EXPECTED)?,
        ));
    }
    if out.is_empty() {
        return Err(bad("rule id", text, EXPECTED));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_with_quotes_and_line_ends_are_split() {
        let parsed =
            parse_actions("id:7,\n    phase:2,  msg:'a, b\\'s',setvar:'tx.x=+%{tx.y}',chain")
                .unwrap();
        let actions: Vec<_> = parsed.into_iter().map(|(_, action)| action).collect();
        assert_eq!(actions[0], Action::Id(7));
        assert_eq!(actions[2], Action::Msg(Template::parse("a, b's")));
        assert!(matches!(
            &actions[3],
            Action::SetVar(SetVar {
                change: Change::Add(_),
                ..
            })
        ));
        assert_eq!(actions[4], Action::Chain);
    }

    #[test]
    fn mistakes_have_their_offset() {
        assert_eq!(parse_actions("id:7,nope").unwrap_err().0, 5);
        assert_eq!(parse_actions("id:7,phase:9").unwrap_err().0, 5);
        assert_eq!(
            parse_actions("msg:'open").unwrap_err().1,
            LoadErrorKind::UnterminatedQuote
        );
    }

    #[test]
    fn ctl_removals_keep_their_targets() {
        let parsed = parse_actions("ctl:ruleRemoveTargetById=1-3;ARGS:a[0][b]").unwrap();
        let Action::Ctl(Ctl::RuleRemoveTarget(rules, targets)) = &parsed[0].1 else {
            panic!("{parsed:?}")
        };
        assert_eq!(*rules, RuleSelector::Ids(vec![(1, 3)]));
        assert_eq!(
            targets[0].selector,
            crate::lang::variables::Selector::Key("a[0][b]".into())
        );
    }
}
