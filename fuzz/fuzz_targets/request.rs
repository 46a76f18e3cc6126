//! Bodies of requests: read, admitted, and met by a second one. Whatever comes, the answer is a record or a refusal that
//! names its fields; a record is the same for the same request, and repeats change nothing.
#![no_main]

use kidp_broker::record::{self, Decision};
use kidp_broker::{admit::admit, extract::from_json};
use kidp_callback::UrlPolicy;
use kidp_core::wire::{DeprovisionRequest, ProvisionRequest, ResourceQuery};
use kidp_provisioners::{ClusterFeatures, Registry};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::standard);
static URLS: LazyLock<UrlPolicy> =
    LazyLock::new(|| UrlPolicy::new(&["http://operator:9090/v1/callback"]).unwrap_or_default());

fuzz_target!(|body: &[u8]| {
    let _ = from_json::<DeprovisionRequest>(body);
    let _ = from_json::<ResourceQuery>(body);
    let request = match from_json::<ProvisionRequest>(body) {
        Ok(request) => request,
        Err(problem) => return assert!(problem.code == 400 && !problem.message.is_empty()),
    };
    let again = serde_json::to_vec(&request).expect("what was read can be written");
    let reread: ProvisionRequest = from_json(&again).expect("what was written can be read");
    assert_eq!(request, reread);
    match admit("eu", &REGISTRY, ClusterFeatures::default(), &URLS, request) {
        Err(problem) => {
            assert!(problem.code == 422 && !problem.details.is_empty());
            assert!(problem.details.iter().all(|fault| !fault.field.is_empty()));
        }
        Ok((namespace, spec)) => {
            let held = record::new(&namespace, spec.clone());
            assert!(record::belongs_to("eu", &held));
            assert_eq!(record::decide(&REGISTRY, &held, &spec), Decision::Same);
        }
    }
});
