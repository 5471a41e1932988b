//! What an event of the firewall tells beside the rule: the score, and no more of a request than is safe to write.

use reqwest::Method;

use crate::waf::Site;

/// Two matches of five each, and one that refuses ten.
fn rules(score: &str) -> String {
    let counting = |id: u32, name: &str| {
        format!(
            "SecRule ARGS:{name} \"@contains attack\" \"id:{id},phase:2,pass,log,msg:'Attack',\
             logdata:'%{{MATCHED_VAR}}',setvar:'tx.{score}=+5'\"\n"
        )
    };
    let refusing = format!(
        "SecRule TX:{score} \"@ge 10\" \"id:1003,phase:2,deny,status:403,log,msg:'Too much'\"\n"
    );
    [counting(1001, "odd"), counting(1002, "long"), refusing].concat()
}

#[tokio::test]
async fn an_event_tells_the_score_and_a_safe_excerpt() {
    // As the Core Rule Set 4 counts, and as 3 does.
    for score in ["blocking_inbound_anomaly_score", "anomaly_score"] {
        let site = Site::with_rules(&rules(score), "").await;
        // A line's end, a character that is not ASCII, and more than an event has room for.
        let long = "+and+more".repeat(500);
        let query = format!("/?odd=attack%0A%C3%A9&long=attack{long}");
        let answer = site.node.request(Method::GET, &query).send().await;
        assert_eq!(answer.unwrap().status(), 403, "{score}");
        let event = site.event(0).await;
        assert_eq!(event["scores"]["inbound"], 10, "{event}");
        assert_eq!(event["scores"]["outbound"], 0, "{event}");
        assert_eq!(event["block"]["rule"], 1003, "{event}");
        let matches = event["matches"].as_array().unwrap();
        let ids: Vec<_> = matches.iter().map(|found| &found["id"]).collect();
        assert_eq!(ids, [1001, 1002, 1003], "{event}");
        assert_eq!(matches[0]["data"], "attack\\x0a\\xc3\\xa9", "{event}");
        let cut = matches[1]["data"].as_str().unwrap();
        assert!(
            cut.starts_with("attack and more and") && cut.len() < 300,
            "{event}"
        );
    }
}
