//! The residency policy engine: organisation, else creator, else platform.

use mcsp_api::{OrganisationId, Residency};
use mcsp_geo::residency::{Decision, ENGINE_VERSION, Policy, PolicyEngine, RuleId};
use mcsp_runtime::ManualClock;
use proptest::prelude::*;

const NOW_MS: i64 = 1_795_000_000_000;

fn organisation(digit: char) -> OrganisationId {
    format!("o_ng_01k9x3m5y8q2v7r4t6w1z0a3b{digit}")
        .parse()
        .expect("an id")
}

fn engine(policy: Policy) -> PolicyEngine {
    PolicyEngine::new(policy, ManualClock::new(NOW_MS)).expect("a policy")
}

#[test]
fn the_order_of_the_rules() {
    let engine = engine(Policy {
        organisation: [
            (organisation('1'), Residency::Ng),
            (organisation('2'), Residency::Global),
        ]
        .into(),
        default: Residency::Global,
    });
    let (bound, free) = (organisation('1'), organisation('3'));
    for (organisation, choice, residency, rule) in [
        (
            Some(&bound),
            None,
            Residency::Ng,
            RuleId::OrganisationPolicy,
        ),
        (
            Some(&bound),
            Some(Residency::Global),
            Residency::Ng,
            RuleId::OrganisationPolicy,
        ),
        (
            Some(&free),
            Some(Residency::Ng),
            Residency::Ng,
            RuleId::CreatorChoice,
        ),
        (
            Some(&free),
            None,
            Residency::Global,
            RuleId::PlatformDefault,
        ),
        (
            None,
            Some(Residency::Ng),
            Residency::Ng,
            RuleId::CreatorChoice,
        ),
        (None, None, Residency::Global, RuleId::PlatformDefault),
    ] {
        let decision = engine.decide(organisation, choice);
        assert_eq!((decision.residency, decision.rule_id), (residency, rule));
        assert_eq!(decision.engine_version, ENGINE_VERSION);
        assert_eq!(decision.decided_ms, NOW_MS);
        assert_eq!(decision.organisation_id.as_ref(), organisation);
        assert_eq!(decision.creator_choice, choice);
    }
    assert!(
        engine
            .decide(Some(&bound), Some(Residency::Global))
            .overrules_creator()
    );
    assert!(
        !engine
            .decide(Some(&bound), Some(Residency::Ng))
            .overrules_creator()
    );
}

#[test]
fn a_decision_has_one_written_form() {
    let decision = engine(Policy::default()).decide(None, Some(Residency::Ng));
    let json = serde_json::to_string(&decision).expect("JSON");
    assert_eq!(
        json,
        r#"{"residency":"NG","rule_id":"creator-choice","engine_version":"1","decided_ms":1795000000000,"creator_choice":"NG"}"#
    );
    assert_eq!(
        serde_json::from_str::<Decision>(&json).expect("a decision"),
        decision
    );
    assert!(serde_json::from_str::<Decision>(&json.replacen('{', "{\"extra\":1,", 1)).is_err());
}

#[test]
fn a_policy_with_unknown_keys_or_values_is_refused() {
    assert!(serde_json::from_str::<Policy>("{}").is_ok());
    assert!(serde_json::from_str::<Policy>(r#"{"defualt":"NG"}"#).is_err());
    assert!(serde_json::from_str::<Policy>(r#"{"default":"ng"}"#).is_err());
    assert!(serde_json::from_str::<Policy>(r#"{"organisation":{"acme":"NG"}}"#).is_err());
}

fn residency() -> impl Strategy<Value = Residency> {
    prop_oneof![Just(Residency::Global), Just(Residency::Ng)]
}

proptest! {
    #[test]
    fn the_first_who_spoke_is_heard(
        policies in proptest::collection::btree_map(0_usize..6, residency(), 0..6),
        default in residency(),
        organisation_index in proptest::option::of(0_usize..6),
        choice in proptest::option::of(residency()),
    ) {
        let ids: Vec<_> = "abcdef".chars().map(organisation).collect();
        let engine = engine(Policy {
            organisation: policies.iter().map(|(i, residency)| (ids[*i].clone(), *residency)).collect(),
            default,
        });
        let decision = engine.decide(organisation_index.map(|i| &ids[i]), choice);
        let by_organisation = organisation_index.and_then(|i| policies.get(&i)).copied();
        prop_assert_eq!(decision.residency, by_organisation.or(choice).unwrap_or(default));
        let rule = match (by_organisation, choice) {
            (Some(_), _) => RuleId::OrganisationPolicy,
            (None, Some(_)) => RuleId::CreatorChoice,
            (None, None) => RuleId::PlatformDefault,
        };
        prop_assert_eq!(decision.rule_id, rule);
        prop_assert_eq!(engine.decide(organisation_index.map(|i| &ids[i]), choice), decision, "pure");
    }
}
