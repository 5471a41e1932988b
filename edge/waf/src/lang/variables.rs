//! The variables a rule can look at, and how a list of them is written.

use crate::error::LoadErrorKind;

macro_rules! variables {
    ($($variant:ident $name:literal,)*) => {
        /// A variable or collection of the language.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs)] // Each is documented by the language under its own name.
        pub enum Variable { $($variant,)* }

        impl Variable {
            /// How many there are.
            pub const COUNT: usize = [$(Self::$variant),*].len();

            /// The variable of a name, in any case.
            #[must_use]
            pub fn by_name(name: &str) -> Option<Self> {
                const NAMES: &[(&str, Variable)] = &[$(($name, Variable::$variant),)*];
                NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, variable)| *variable)
            }

            /// Its name in the language.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

variables! {
    Args "ARGS", ArgsCombinedSize "ARGS_COMBINED_SIZE", ArgsGet "ARGS_GET", ArgsGetNames "ARGS_GET_NAMES",
    ArgsNames "ARGS_NAMES", ArgsPost "ARGS_POST", ArgsPostNames "ARGS_POST_NAMES", AuthType "AUTH_TYPE",
    Duration "DURATION", Files "FILES", FilesCombinedSize "FILES_COMBINED_SIZE", FilesNames "FILES_NAMES",
    FilesSizes "FILES_SIZES", FullRequestLength "FULL_REQUEST_LENGTH", Geo "GEO", Global "GLOBAL",
    HighestSeverity "HIGHEST_SEVERITY", InboundDataError "INBOUND_DATA_ERROR", Ip "IP", MatchedVar "MATCHED_VAR",
    MatchedVarName "MATCHED_VAR_NAME", MatchedVars "MATCHED_VARS", MatchedVarsNames "MATCHED_VARS_NAMES",
    MultipartBoundaryQuoted "MULTIPART_BOUNDARY_QUOTED", MultipartBoundaryWhitespace "MULTIPART_BOUNDARY_WHITESPACE",
    MultipartCrlfLfLines "MULTIPART_CRLF_LF_LINES", MultipartDataAfter "MULTIPART_DATA_AFTER",
    MultipartDataBefore "MULTIPART_DATA_BEFORE", MultipartFileLimitExceeded "MULTIPART_FILE_LIMIT_EXCEEDED",
    MultipartFilename "MULTIPART_FILENAME", MultipartHeaderFolding "MULTIPART_HEADER_FOLDING",
    MultipartInvalidHeaderFolding "MULTIPART_INVALID_HEADER_FOLDING", MultipartInvalidPart "MULTIPART_INVALID_PART",
    MultipartInvalidQuoting "MULTIPART_INVALID_QUOTING", MultipartLfLine "MULTIPART_LF_LINE",
    MultipartMissingSemicolon "MULTIPART_MISSING_SEMICOLON", MultipartName "MULTIPART_NAME",
    MultipartPartHeaders "MULTIPART_PART_HEADERS", MultipartStrictError "MULTIPART_STRICT_ERROR",
    MultipartUnmatchedBoundary "MULTIPART_UNMATCHED_BOUNDARY", OutboundDataError "OUTBOUND_DATA_ERROR",
    PathInfo "PATH_INFO", QueryString "QUERY_STRING", RemoteAddr "REMOTE_ADDR", RemoteHost "REMOTE_HOST",
    RemotePort "REMOTE_PORT", RemoteUser "REMOTE_USER", ReqbodyError "REQBODY_ERROR",
    ReqbodyErrorMsg "REQBODY_ERROR_MSG", ReqbodyProcessor "REQBODY_PROCESSOR",
    ReqbodyProcessorError "REQBODY_PROCESSOR_ERROR", ReqbodyProcessorErrorMsg "REQBODY_PROCESSOR_ERROR_MSG",
    RequestBasename "REQUEST_BASENAME", RequestBody "REQUEST_BODY", RequestBodyLength "REQUEST_BODY_LENGTH",
    RequestCookies "REQUEST_COOKIES", RequestCookiesNames "REQUEST_COOKIES_NAMES", RequestFilename "REQUEST_FILENAME",
    RequestHeaders "REQUEST_HEADERS", RequestHeadersNames "REQUEST_HEADERS_NAMES", RequestLine "REQUEST_LINE",
    RequestMethod "REQUEST_METHOD", RequestProtocol "REQUEST_PROTOCOL", RequestUri "REQUEST_URI",
    RequestUriRaw "REQUEST_URI_RAW", Resource "RESOURCE", ResponseBody "RESPONSE_BODY",
    ResponseContentLength "RESPONSE_CONTENT_LENGTH", ResponseContentType "RESPONSE_CONTENT_TYPE",
    ResponseHeaders "RESPONSE_HEADERS", ResponseHeadersNames "RESPONSE_HEADERS_NAMES",
    ResponseProtocol "RESPONSE_PROTOCOL", ResponseStatus "RESPONSE_STATUS", Rule "RULE", ServerAddr "SERVER_ADDR",
    ServerName "SERVER_NAME", ServerPort "SERVER_PORT", Session "SESSION", SessionId "SESSIONID",
    StatusLine "STATUS_LINE", Time "TIME", TimeDay "TIME_DAY", TimeEpoch "TIME_EPOCH", TimeHour "TIME_HOUR",
    TimeMin "TIME_MIN", TimeMon "TIME_MON", TimeSec "TIME_SEC", TimeWday "TIME_WDAY", TimeYear "TIME_YEAR", Tx "TX",
    UniqueId "UNIQUE_ID", UrlencodedError "URLENCODED_ERROR", User "USER", UserId "USERID", WebAppId "WEBAPPID",
    Xml "XML", XmlAttributes "XML://@*",
}

impl Variable {
    /// Those that tell when a transaction runs, and how long it has: no two need have them in common.
    #[must_use]
    pub fn tells_time(self) -> bool {
        matches!(
            self,
            Self::Duration
                | Self::Time
                | Self::TimeDay
                | Self::TimeEpoch
                | Self::TimeHour
                | Self::TimeMin
                | Self::TimeMon
                | Self::TimeSec
                | Self::TimeWday
                | Self::TimeYear
        )
    }

    /// The persistent collections (`initcol`).
    #[must_use]
    pub fn is_persistent(self) -> bool {
        matches!(
            self,
            Self::Ip | Self::Global | Self::Session | Self::User | Self::Resource
        )
    }
}

/// Which members of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// All.
    All,
    /// Those of a name, compared without case.
    Key(String),
    /// Those whose name matches a pattern.
    Pattern(String),
}

/// One item of a rule's list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The variable.
    pub variable: Variable,
    /// Its members.
    pub selector: Selector,
    /// `&`: their number, not their values.
    pub count: bool,
    /// `!`: not these.
    pub excluded: bool,
}

/// A part of a list, with its offset in the text.
pub type ParsedTargets = Vec<(usize, Target)>;

/// Parses `A|&B:key|!C:/pattern/`.
///
/// # Errors
/// The offset and the mistake.
pub fn parse_targets(text: &str) -> Result<ParsedTargets, (usize, LoadErrorKind)> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let blank = text[at..].len()
            - text[at..]
                .trim_start_matches([' ', '\t', '|', ',', '\n', '\r'])
                .len();
        at += blank;
        if at >= text.len() {
            break;
        }
        let (target, length) = parse_target(&text[at..]).map_err(|kind| (at, kind))?;
        out.push((at, target));
        at += length;
    }
    Ok(out)
}

fn parse_target(text: &str) -> Result<(Target, usize), LoadErrorKind> {
    let mut head = text;
    let mut excluded = false;
    let mut count = false;
    loop {
        if let Some(rest) = head.strip_prefix('!') {
            excluded = true;
            head = rest;
        } else if let Some(rest) = head.strip_prefix('&') {
            count = true;
            head = rest;
        } else {
            break;
        }
    }
    let name_end = head.find([':', '|', ',', ' ', '\t']).unwrap_or(head.len());
    let name = &head[..name_end];
    let mut variable =
        Variable::by_name(name).ok_or_else(|| LoadErrorKind::UnknownVariable(name.to_owned()))?;
    let mut used = text.len() - head.len() + name_end;
    let mut selector = Selector::All;
    if head[name_end..].starts_with(':') {
        let key = &head[name_end + 1..];
        let (parsed, length) = parse_selector(variable, key)?;
        used += 1 + length;
        selector = parsed;
    }
    if variable == Variable::Xml {
        match &selector {
            Selector::Key(path) if path == "//@*" => variable = Variable::XmlAttributes,
            Selector::Key(path) if path == "/*" => {}
            Selector::All => {}
            other => {
                return Err(LoadErrorKind::BadValue {
                    what: "XML path",
                    value: format!("{other:?}"),
                    expected: "/* or //@*",
                });
            }
        }
        selector = Selector::All;
    }
    Ok((
        Target {
            variable,
            selector,
            count,
            excluded,
        },
        used,
    ))
}

fn parse_selector(variable: Variable, key: &str) -> Result<(Selector, usize), LoadErrorKind> {
    if variable != Variable::Xml {
        let quoted = key.starts_with("'/");
        if quoted || key.starts_with('/') {
            let close = if quoted { "/'" } else { "/" };
            let skip = if quoted { 2 } else { 1 };
            let body = &key[skip..];
            let end = pattern_end(body, close).ok_or(LoadErrorKind::UnterminatedQuote)?;
            return Ok((
                Selector::Pattern(body[..end].replace("\\/", "/")),
                skip + end + close.len(),
            ));
        }
        if let Some(body) = key.strip_prefix('\'') {
            let end = body.find('\'').ok_or(LoadErrorKind::UnterminatedQuote)?;
            return Ok((Selector::Key(body[..end].to_owned()), end + 2));
        }
    }
    let end = key.find(['|', ',']).unwrap_or(key.len());
    Ok((Selector::Key(key[..end].trim_end().to_owned()), end))
}

/// The offset of the closing delimiter: not escaped, and the end of the item.
fn pattern_end(body: &str, close: &str) -> Option<usize> {
    body.match_indices(close).map(|(at, _)| at).find(|&at| {
        let escaped = body[..at].bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1;
        let rest = &body[at + close.len()..];
        !escaped && (rest.is_empty() || rest.starts_with(['|', ',', ' ']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_and_selectors_read() {
        let parsed = parse_targets(
            "ARGS|!REQUEST_COOKIES:/^_ga(?:_\\w+)?$/|&TX:'/a|b/'|XML:/*|XML://@*|tx:Foo",
        )
        .unwrap();
        let shown: Vec<_> = parsed
            .into_iter()
            .map(|(_, t)| (t.variable, t.selector, t.count, t.excluded))
            .collect();
        assert_eq!(
            shown,
            vec![
                (Variable::Args, Selector::All, false, false),
                (
                    Variable::RequestCookies,
                    Selector::Pattern("^_ga(?:_\\w+)?$".into()),
                    false,
                    true
                ),
                (Variable::Tx, Selector::Pattern("a|b".into()), true, false),
                (Variable::Xml, Selector::All, false, false),
                (Variable::XmlAttributes, Selector::All, false, false),
                (Variable::Tx, Selector::Key("Foo".into()), false, false),
            ]
        );
    }

    #[test]
    fn mistakes_have_their_offset() {
        assert_eq!(parse_targets("ARGS|NOPE").unwrap_err().0, 5);
        assert_eq!(parse_targets("TX:/open").unwrap_err().0, 0);
    }
}
