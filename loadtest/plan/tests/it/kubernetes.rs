//! `ops/kubernetes/load-job.yaml` is what Kubernetes takes, to the last key, and its parts fit each other.

use std::path::Path;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const PARAMETER: &str = "${MCSP_LOAD_IMAGE}";
const IMAGE: &str = "registry.example.com/mcsp-load:1";

fn documents() -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops/kubernetes/load-job.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(PARAMETER));
    let text = text.replace(PARAMETER, IMAGE);
    assert!(!text.contains("${"), "a parameter that nobody gives");
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .collect()
}

/// As Kubernetes' own type. Its types skip keys that they do not know, so what was skipped is looked for: every key that went in has to
/// come out again.
fn strictly<T: DeserializeOwned + Serialize>(document: &Value) -> T {
    let typed: T = serde_json::from_value(document.clone()).unwrap();
    let again = serde_json::to_value(&typed).unwrap();
    if let Err(key) = is_within(document, &again) {
        panic!("{}: {key} is no key of it", document["kind"]);
    }
    typed
}

/// Names the first key that is in `part` and not in `whole`.
fn is_within(part: &Value, whole: &Value) -> Result<(), String> {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part.iter().try_for_each(|(key, value)| {
            let of_whole = whole.get(key).ok_or_else(|| key.clone())?;
            is_within(value, of_whole).map_err(|inner| format!("{key}.{inner}"))
        }),
        (Value::Array(part), Value::Array(whole)) if part.len() == whole.len() => part
            .iter()
            .zip(whole)
            .try_for_each(|(part, whole)| is_within(part, whole)),
        _ if part == whole => Ok(()),
        _ => Err(format!("{part} and not {whole}")),
    }
}

#[test]
fn an_unknown_key_would_be_seen() {
    let mut documents = documents();
    let job = documents.last_mut().unwrap();
    strictly::<Job>(job);
    job["spec"]["completionsMode"] = "Indexed".into();
    let typed: Job = serde_json::from_value(job.clone()).unwrap();
    let again = serde_json::to_value(typed).unwrap();
    assert_eq!(
        is_within(job, &again),
        Err("spec.completionsMode".to_owned())
    );
}

#[test]
fn the_parts_are_of_their_kinds_and_fit_each_other() {
    let documents = documents();
    let [service, policy, coordinator, workers] = documents.as_slice() else {
        panic!("{} documents", documents.len());
    };
    let service: Service = strictly(service);
    let policy: NetworkPolicy = strictly(policy);
    let coordinator: Job = strictly(coordinator);
    let workers: Job = strictly(workers);

    let job = workers.spec.as_ref().unwrap();
    assert_eq!(job.completion_mode.as_deref(), Some("Indexed"));
    assert_eq!(
        job.completions, job.parallelism,
        "a worker that waits for another's end would come too late"
    );
    let args = |job: &Job| {
        let pod = job.spec.as_ref().unwrap().template.spec.clone().unwrap();
        assert_eq!(pod.containers[0].image.as_deref(), Some(IMAGE));
        assert_eq!(pod.restart_policy.as_deref(), Some("Never"));
        pod.containers[0].args.clone().unwrap()
    };
    let waited_for = format!("--workers={}", job.completions.unwrap());
    assert!(
        args(&coordinator).contains(&waited_for),
        "as many are waited for as are started"
    );

    let port = &service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0];
    let name = service.metadata.name.as_deref().unwrap();
    assert!(args(&coordinator).contains(&format!("--listen=0.0.0.0:{}", port.port)));
    assert!(args(&workers).contains(&format!("--coordinator={name}:{}", port.port)));

    let labels = |job: &Job| {
        job.spec
            .as_ref()
            .unwrap()
            .template
            .metadata
            .clone()
            .unwrap()
            .labels
            .unwrap()
    };
    assert_eq!(
        service.spec.as_ref().unwrap().selector,
        Some(labels(&coordinator))
    );
    let rules = policy.spec.unwrap();
    assert_eq!(
        rules.pod_selector.unwrap().match_labels,
        Some(labels(&coordinator))
    );
    let from = rules.ingress.unwrap()[0].from.clone().unwrap();
    assert_eq!(from.len(), 1);
    assert_eq!(
        from[0].pod_selector.as_ref().unwrap().match_labels,
        Some(labels(&workers))
    );
}
