//! No bytes make the engine panic.

use std::path::Path;

use mcsp_edge_waf::{Limits, Loader, Transaction};
use proptest::prelude::*;

use crate::support::{client, environment, rules};

const RULES: &str = r#"
    SecRule REQUEST_HEADERS|REQUEST_COOKIES|ARGS|ARGS_NAMES|FILES|MULTIPART_PART_HEADERS|XML:/*|XML://@*|REQUEST_BODY|REQUEST_URI_RAW \
        "@rx (?i)select\s+.*from|[\x80-\xff]{3}" "id:1,phase:2,pass,capture,multiMatch,t:none,t:utf8toUnicode,t:urlDecodeUni,t:htmlEntityDecode,t:jsDecode,t:cssDecode,t:normalizePathWin,t:cmdLine,t:base64Decode,setvar:'tx.%{MATCHED_VAR_NAME}=+1',logdata:'%{TX.0} %{MATCHED_VAR}'"
    SecRule ARGS|REQUEST_BODY "@detectSQLi" "id:2,phase:2,pass,t:urlDecodeUni"
    SecRule ARGS|REQUEST_BODY "@detectXSS" "id:3,phase:2,pass,t:htmlEntityDecode"
    SecRule ARGS "@validateUtf8Encoding" "id:4,phase:2,pass"
    SecRule ARGS "@rx (?<=a)b++(?!c)" "id:5,phase:2,pass,capture"
"#;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    const TOKENS: &[&[u8]] = &[
        b"select ",
        b"%u00",
        b"%2",
        b"&#x",
        b"\\u0",
        b"--X\r\n",
        b"--X--",
        b"Content-Disposition: form-data; name=",
        b"{\"a\":",
        b"[[[[",
        b"<a b='",
        b"<![CDATA[",
        b"'\"",
        b"../",
        b"ab",
        b"\xff\0",
        b"=&",
        b"\r\n\r\n",
    ];
    let token = prop::sample::select(TOKENS);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(token, 0..20).prop_map(|tokens| tokens.concat()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn transactions_take_any_bytes(
        target in bytes(), value in bytes(), body in bytes(),
        content_type in prop::sample::select(vec!["application/json", "text/xml", "multipart/form-data; boundary=X", "application/x-www-form-urlencoded", "x"]),
    ) {
        thread_local!(static SET: std::sync::Arc<mcsp_edge_waf::RuleSet> = rules(RULES));
        SET.with(|set| {
            let mut transaction = Transaction::new(set, &environment(Limits::default()), client());
            transaction.request_line(&target, &target, &target);
            transaction.request_header(&value, &value);
            transaction.request_header(b"Cookie", &value);
            transaction.request_header(b"Content-Type", content_type.as_bytes());
            transaction.request_head_done();
            transaction.request_body(&body);
            transaction.request_body_done();
            transaction.response_line(200, &value);
            transaction.response_header(&value, &value);
            transaction.response_head_done();
            transaction.response_body(&body);
            transaction.response_body_done();
            transaction.finish();
        });
    }

    #[test]
    fn the_loader_takes_any_text(text in "(Sec(Rule|Action|Marker|RuleUpdateTargetById) |ARGS|[!&]?TX:|/|\"|'|@rx |@pm |id:[0-9]|,|\\\\|\n|chain|setvar:|%\\{|\\}|[ -~]){0,30}") {
        let mut loader = Loader::new();
        if loader.text("f", text.as_bytes(), Path::new("/nonexistent")).is_ok() {
            let _ = loader.compile();
        }
    }

    #[test]
    fn the_loader_takes_any_bytes(text: Vec<u8>) {
        let _ = Loader::new().text("f", &text, Path::new("/nonexistent"));
    }
}
