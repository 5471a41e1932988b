//! Inspection fails open, tells it, gives up for a while and comes back.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mcsp_edge_waf::{
    AuditEvent, BreakerConfig, BreakerState, Collections, Environment, Exclusions, FailedOpen,
    FailureKind, Guard, Guarded, Limits, Loaded, MediaHead, Mode, RequestLine, RoutePolicyConfig,
    RulesConfig, Site, SiteError, Ticks, TurnedAway, Unfinished, Verdict, WafConfig, Witness,
};
use parking_lot::Mutex;

use crate::support::client;

const RULES: &str = r#"
    SecRule ARGS:q "@contains bad" "id:10,phase:2,deny,status:403,log,msg:'Bad',tag:'words'"
    SecRule REQUEST_HEADERS:User-Agent "@contains scanner" "id:11,phase:1,deny"
    SecRule RESPONSE_BODY "@contains secret" "id:12,phase:4,deny"
"#;

/// Time that stands still unless told, and a fault that can be armed.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    now_us: AtomicU64,
    pub(crate) step_us: AtomicU64,
    /// Looks at the clock that are left before one panics; 0 is never.
    pub(crate) looks_left: AtomicU64,
}

impl Ticks for Faulty {
    fn now_us(&self) -> u64 {
        if self.looks_left.load(Ordering::SeqCst) > 0
            && self.looks_left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            panic!("a fault that was put in");
        }
        let step = self.step_us.load(Ordering::SeqCst);
        self.now_us.fetch_add(step, Ordering::SeqCst)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Told {
    failures: Mutex<Vec<(FailureKind, String)>>,
    pub(crate) bypassed: AtomicU64,
    pub(crate) unfinished: Mutex<Vec<u64>>,
    breaker: Mutex<Vec<BreakerState>>,
    loads: Mutex<Vec<Result<usize, String>>>,
}

impl Witness for Told {
    fn failed_open(&self, failure: &FailedOpen<'_>) {
        self.failures
            .lock()
            .push((failure.kind, failure.detail.clone()));
    }

    fn bypassed(&self, route: &str, id: &str) {
        assert_eq!((route, id), ("api", "id"));
        self.bypassed.fetch_add(1, Ordering::SeqCst);
    }

    fn unfinished(&self, unfinished: &Unfinished<'_>) {
        assert_eq!((unfinished.route, unfinished.id), ("api", "id"));
        self.unfinished.lock().push(unfinished.rule);
    }

    fn breaker(&self, state: BreakerState) {
        self.breaker.lock().push(state);
    }

    fn loaded(&self, outcome: Result<&Loaded, &SiteError>) {
        let told = outcome
            .map(|loaded| loaded.rules)
            .map_err(ToString::to_string);
        self.loads.lock().push(told);
    }
}

pub(crate) struct Bench {
    /// The engine's clock: faults are here.
    pub(crate) engine: Arc<Faulty>,
    /// The breaker's clock.
    breaker: Arc<Faulty>,
    pub(crate) told: Arc<Told>,
    pub(crate) guard: Arc<Guard>,
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new(routes: Vec<RoutePolicyConfig>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rules.conf"), RULES).unwrap();
        let config = WafConfig {
            rules: RulesConfig {
                files: vec![folder.path().to_path_buf()],
                ..RulesConfig::default()
            },
            route: routes,
            ..WafConfig::default()
        };
        config.validate().unwrap();
        let engine = Arc::new(Faulty::default());
        let breaker = Arc::new(Faulty::default());
        let told = Arc::new(Told::default());
        let environment = Arc::new(Environment {
            limits: Limits::default(),
            ticks: engine.clone(),
            effort: engine.clone(),
            collections: Collections::new(16),
        });
        let settings = BreakerConfig {
            failures_max: 3,
            client_failures_max: 3,
            failures_percent: 25,
            window_ms: 1000,
            open_ms: 500,
        };
        let guard = Guard::new(
            Site::new(config),
            environment,
            settings,
            breaker.clone(),
            told.clone(),
        );
        Self {
            engine,
            breaker,
            told,
            guard,
            folder,
        }
    }

    pub(crate) fn loaded() -> Self {
        let bench = Self::new(Vec::new());
        bench.guard.load().unwrap();
        bench
    }

    pub(crate) fn rules(&self) -> PathBuf {
        self.folder.path().join("rules.conf")
    }

    pub(crate) fn failures(&self) -> Vec<FailureKind> {
        self.told
            .failures
            .lock()
            .iter()
            .map(|(kind, _)| *kind)
            .collect()
    }

    pub(crate) fn pass_ms(&self, ms: u64) {
        self.breaker.now_us.fetch_add(ms * 1000, Ordering::SeqCst);
    }
}

pub(crate) fn head(guarded: &mut Guarded, target: &str) -> Verdict {
    let line = RequestLine {
        method: b"GET",
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
    };
    guarded.request_head(line, [(&b"Host"[..], &b"example.org"[..])])
}

/// All phases of a request; whether it was let through.
pub(crate) fn passes(guard: &Arc<Guard>, route: &str, target: &str) -> bool {
    tells(guard, route, target).0
}

/// And its event.
pub(crate) fn tells(guard: &Arc<Guard>, route: &str, target: &str) -> (bool, Option<AuditEvent>) {
    let mut guarded = guard.begin(route, client());
    let mut verdicts = vec![head(&mut guarded, target)];
    verdicts.push(guarded.request_body(b"x"));
    verdicts.push(guarded.request_body_done());
    verdicts.push(guarded.response_head(
        200,
        b"HTTP/1.1",
        [(&b"Content-Type"[..], &b"text/plain"[..])],
    ));
    verdicts.push(guarded.response_body(b"nothing"));
    verdicts.push(guarded.response_body_done());
    let is_passed = verdicts.iter().all(|verdict| *verdict == Verdict::Pass);
    (is_passed, guarded.finish())
}

/// Why a request was let through, by its event.
pub(crate) fn reason(event: Option<AuditEvent>) -> Option<(String, u64)> {
    let let_through = event?.let_through?;
    Some((let_through.reason, let_through.untold))
}

#[test]
fn rules_block_and_are_told_as_events() {
    let bench = Bench::loaded();
    assert!(passes(&bench.guard, "api", "/?q=good"));
    let mut guarded = bench.guard.begin("api", client());
    assert_eq!(head(&mut guarded, "/?q=bad"), Verdict::Pass);
    assert!(
        matches!(guarded.request_body_done(), Verdict::Block(block) if (block.status, block.rule) == (403, 10))
    );
    let event = guarded.finish().expect("an event");
    assert_eq!((event.matches.len(), event.enforced), (1, true));
    assert_eq!(bench.failures(), Vec::new());
    // The node's own three, and those above.
    assert_eq!(*bench.told.loads.lock(), vec![Ok(6)]);
}

#[test]
fn a_panic_in_any_phase_lets_the_request_through() {
    // Each look at the clock is one place of the engine; the rules of a request look more often than this.
    for look in 1..=8 {
        let bench = Bench::loaded();
        bench.engine.looks_left.store(look, Ordering::SeqCst);
        assert!(passes(&bench.guard, "api", "/?q=good"), "look {look}");
        let failures = bench.told.failures.lock().clone();
        assert_eq!(
            failures,
            vec![(FailureKind::Panic, "a fault that was put in".to_owned())],
            "look {look}"
        );
        assert!(
            !passes(&bench.guard, "api", "/?q=bad"),
            "the next is inspected"
        );
    }
}

#[test]
fn an_overrun_lets_the_request_through() {
    let bench = Bench::loaded();
    bench.engine.step_us.store(30_000, Ordering::SeqCst);
    assert!(passes(&bench.guard, "api", "/?q=bad"));
    assert_eq!(bench.failures(), vec![FailureKind::Overrun]);
    bench.engine.step_us.store(0, Ordering::SeqCst);
    assert!(!passes(&bench.guard, "api", "/?q=bad"));
}

/// To give up what is still inspected would help nobody.
#[test]
fn what_finds_no_turn_passes_and_gives_nothing_up() {
    let bench = Bench::loaded();
    let mut events = Vec::new();
    for _ in 0..20 {
        let mut guarded = bench.guard.begin("api", client());
        assert_eq!(head(&mut guarded, "/?q=bad"), Verdict::Pass);
        guarded.let_through(TurnedAway::Late);
        assert_eq!(guarded.request_body_done(), Verdict::Pass);
        // Once: nothing is inspected any more.
        guarded.let_through(TurnedAway::Late);
        assert!(guarded.is_let_through());
        events.extend(reason(guarded.finish()));
    }
    // No flood of them.
    assert_eq!(events, vec![("overload".to_owned(), 0); 10]);
    let failures = bench.told.failures.lock().clone();
    assert_eq!(
        failures,
        vec![(FailureKind::Overload, "late".to_owned()); 20]
    );
    assert_eq!(bench.guard.breaker(), BreakerState::Closed);
}

/// A try that found no turn says nothing of the engine: the next tries.
#[test]
fn a_try_that_finds_no_turn_is_none() {
    let bench = Bench::loaded();
    bench.engine.step_us.store(30_000, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(passes(&bench.guard, "api", "/"));
    }
    bench.engine.step_us.store(0, Ordering::SeqCst);
    bench.pass_ms(500);
    let mut first = bench.guard.begin("api", client());
    assert!(first.is_inspected());
    first.let_through(TurnedAway::Full);
    assert_eq!(bench.guard.breaker(), BreakerState::Open);
    assert!(!passes(&bench.guard, "api", "/?q=bad"), "the next one");
    assert_eq!(bench.guard.breaker(), BreakerState::Closed);
}

#[test]
fn what_is_long_is_known_before_it_is_looked_at() {
    let bench = Bench::loaded();
    let fields = [
        (&b"Host"[..], &b"example.org"[..]),
        (b"Content-Type", b"application/json"),
    ];
    let asked = |target: &str, body: usize| {
        let mut guarded = bench.guard.begin("api", client());
        let line = RequestLine {
            method: b"POST",
            target: target.as_bytes(),
            protocol: b"HTTP/1.1",
        };
        guarded.request_head(line, fields);
        guarded.request_body(&vec![b' '; body]);
        guarded.is_request_long()
    };
    assert!(!asked("/", 2047) && asked("/", 2048));
    let long = format!("/?q={}", "a".repeat(8 << 10));
    assert!(asked(&long, 0));
    let mut guarded = bench.guard.begin("api", client());
    head(&mut guarded, "/");
    guarded.response_head(
        200,
        b"HTTP/1.1",
        [(&b"Content-Type"[..], &b"text/html"[..])],
    );
    guarded.response_body(&[b'a'; 16383]);
    assert!(!guarded.is_response_long());
    guarded.response_body(b"a");
    assert!(guarded.is_response_long());
    guarded.let_through(TurnedAway::Full);
    assert!(!guarded.is_response_long(), "nothing is inspected");
}

#[test]
fn without_rules_requests_pass_and_it_is_told() {
    let bench = Bench::new(Vec::new());
    assert!(passes(&bench.guard, "api", "/?q=bad"));
    assert_eq!(bench.failures(), vec![FailureKind::Unloaded]);
    assert!(!bench.guard.clears_media("media", &media("scanner")));
    bench.guard.load().unwrap();
    assert!(!passes(&bench.guard, "api", "/?q=bad"));
}

#[test]
fn the_breaker_opens_and_retries_by_itself() {
    let bench = Bench::loaded();
    bench.engine.step_us.store(30_000, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(passes(&bench.guard, "api", "/"));
    }
    assert_eq!(*bench.told.breaker.lock(), vec![BreakerState::Open]);
    for _ in 0..5 {
        assert!(passes(&bench.guard, "api", "/?q=bad"), "nobody tries");
    }
    assert_eq!(
        (
            bench.failures().len(),
            bench.told.bypassed.load(Ordering::SeqCst)
        ),
        (3, 5)
    );
    // The first try fails, and it stays open.
    bench.pass_ms(500);
    assert!(passes(&bench.guard, "api", "/?q=bad"));
    assert!(passes(&bench.guard, "api", "/?q=bad"));
    assert_eq!(
        (
            bench.failures().len(),
            bench.told.bypassed.load(Ordering::SeqCst)
        ),
        (4, 6)
    );
    // One request at a time tries.
    bench.engine.step_us.store(0, Ordering::SeqCst);
    bench.pass_ms(500);
    let mut first = bench.guard.begin("api", client());
    assert!(first.is_inspected() && !bench.guard.begin("api", client()).is_inspected());
    head(&mut first, "/");
    first.finish();
    assert_eq!(
        *bench.told.breaker.lock(),
        vec![BreakerState::Open, BreakerState::Closed]
    );
    assert!(!passes(&bench.guard, "api", "/?q=bad"));
}

#[test]
fn missing_rules_open_the_breaker_and_their_loading_closes_it() {
    let bench = Bench::new(Vec::new());
    for _ in 0..10 {
        assert!(passes(&bench.guard, "api", "/?q=bad"));
    }
    assert_eq!(bench.failures().len(), 3);
    bench.guard.load().unwrap();
    assert_eq!(bench.guard.breaker(), BreakerState::Closed);
    assert!(!passes(&bench.guard, "api", "/?q=bad"));
}

#[test]
fn a_bad_set_keeps_the_one_before_and_says_where() {
    let bench = Bench::loaded();
    std::fs::write(
        bench.rules(),
        "SecAction \"id:20,phase:1,pass,nolog\"\nSecRule ARGS \"@rx (\" \"id:21\"",
    )
    .unwrap();
    let error = bench
        .guard
        .load_in_background()
        .unwrap()
        .join()
        .unwrap()
        .unwrap_err();
    let place = format!("{}:2:15: ", bench.rules().display());
    assert!(error.to_string().starts_with(&place), "{error}");
    assert_eq!(bench.told.loads.lock()[1], Err(error.to_string()));
    assert!(
        !passes(&bench.guard, "api", "/?q=bad"),
        "the old set is in force"
    );
    std::fs::write(bench.rules(), "SecAction \"id:20,phase:1,pass,nolog\"").unwrap();
    bench.guard.load().unwrap();
    assert!(
        passes(&bench.guard, "api", "/?q=bad"),
        "the new set is in force"
    );
}

#[test]
fn a_request_ends_under_the_rules_it_began_under() {
    let bench = Bench::loaded();
    let mut guarded = bench.guard.begin("api", client());
    head(&mut guarded, "/?q=bad");
    std::fs::write(bench.rules(), "SecAction \"id:20,phase:1,pass,nolog\"").unwrap();
    bench.guard.load().unwrap();
    assert!(matches!(guarded.request_body_done(), Verdict::Block(_)));
}

fn media(user_agent: &str) -> MediaHead<'_> {
    MediaHead {
        method: b"GET",
        protocol: b"HTTP/1.1",
        client: client().address,
        signals: [b""; 3],
        user_agent: Some(user_agent.as_bytes()),
        referer: None,
        range: None,
    }
}

#[test]
fn routes_differ_by_mode_and_by_what_they_go_without() {
    let route = |name: &str, mode, exclude: &str| RoutePolicyConfig {
        name: name.to_owned(),
        mode,
        exclude: toml_like(exclude),
    };
    let bench = Bench::new(vec![
        route("detects", Some(Mode::Detect), ""),
        route("off", Some(Mode::Off), ""),
        route("by-id", None, "id 10"),
        route("by-tag", None, "tag words"),
        route("by-target", None, "target ARGS:q"),
        route("by-other-target", None, "target ARGS:other"),
    ]);
    bench.guard.load().unwrap();
    for (name, let_through) in [
        ("any", false),
        ("detects", true),
        ("off", true),
        ("by-id", true),
        ("by-tag", true),
        ("by-target", true),
        ("by-other-target", false),
    ] {
        assert_eq!(passes(&bench.guard, name, "/?q=bad"), let_through, "{name}");
    }
    assert!(bench.guard.clears_media("any", &media("player")));
    assert!(!bench.guard.clears_media("any", &media("scanner")));
    assert!(bench.guard.clears_media("off", &media("scanner")));
    let mut guarded = bench.guard.begin("detects", client());
    head(&mut guarded, "/?q=bad");
    guarded.request_body_done();
    let event = guarded.finish().expect("an event");
    assert!(!event.enforced && event.block.is_some());
}

fn toml_like(text: &str) -> Exclusions {
    let (kind, what) = text.split_once(' ').unwrap_or(("", ""));
    let what = what.to_owned();
    match kind {
        "id" => Exclusions {
            ids: vec![what],
            ..Exclusions::default()
        },
        "tag" => Exclusions {
            tags: vec![what],
            ..Exclusions::default()
        },
        "target" => Exclusions {
            targets: vec![mcsp_edge_waf::TargetExclusion {
                ids: vec!["1-99".to_owned()],
                targets: vec![what],
                ..Default::default()
            }],
            ..Exclusions::default()
        },
        _ => Exclusions::default(),
    }
}

#[test]
fn an_exclusion_that_is_no_exclusion_is_named() {
    for (exclude, says) in [
        ("id x", "rule id"),
        ("target NOPE:x", "NOPE"),
        ("tag ", "tag"),
    ] {
        let bench = Bench::new(vec![RoutePolicyConfig {
            name: "api".to_owned(),
            mode: None,
            exclude: toml_like(exclude),
        }]);
        let error = bench.guard.load().unwrap_err().to_string();
        assert!(error.contains("\"api\"") && error.contains(says), "{error}");
    }
}
