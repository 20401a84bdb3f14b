#![no_main]

#[path = "../inputs.rs"]
#[expect(dead_code, reason = "each binary feeds one of them")]
mod inputs;

libfuzzer_sys::fuzz_target!(|data: &[u8]| inputs::kustomizations(data));
