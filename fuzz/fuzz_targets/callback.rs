//! Bodies of callbacks: read strictly and within bounds, and written as they were read.
#![no_main]

use kidp_callback::Callback;
use kidp_callback::payload::MAX_CALLBACK_BYTES;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(callback) = Callback::parse(body) else {
        return;
    };
    assert!(body.len() <= MAX_CALLBACK_BYTES);
    assert!(callback.resource_name.len() <= 253 && callback.namespace.len() <= 253);
    if let Ok(again) = callback.to_body() {
        let reread = Callback::parse(&again).expect("what was written can be read");
        // Numbers with a point may differ in their last digit; nothing is decided by them.
        assert_eq!(callback.deployment_id, reread.deployment_id);
        assert_eq!(
            (callback.phase, callback.resource_generation, callback.time),
            (reread.phase, reread.resource_generation, reread.time)
        );
    }
});
