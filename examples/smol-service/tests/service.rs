//! The service as a person starts it.

#[test]
fn a_small_service_does_what_it_should() {
    example_blackbox::service::check(env!("CARGO_BIN_EXE_smol-service"));
}
