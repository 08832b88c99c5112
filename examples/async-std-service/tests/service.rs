//! The service as a person starts it.

#[test]
fn a_small_service_does_what_it_should() {
    example_blackbox::service::check(env!("CARGO_BIN_EXE_async-std-service"));
}

/// On smol and on async-std it is the same service, but for the lines that name the runtime.
#[test]
fn only_the_lines_of_the_runtime_differ() {
    let (smol, ours) = (
        include_str!("../../smol-service/src/main.rs"),
        include_str!("../src/main.rs"),
    );
    let (of_smol, rest_of_smol) = split(smol, &["smol"]);
    let (of_ours, rest_of_ours) = split(ours, &["async_std", "async-std"]);
    assert_eq!(rest_of_smol, rest_of_ours);
    // What it is, how it is started, two imports, and how the runtime is entered.
    assert_eq!((of_smol, of_ours), (5, 5));
    for (smol, ours) in [
        (
            include_str!("../../smol-service/page/page.html"),
            include_str!("../page/page.html"),
        ),
        (
            include_str!("../../smol-service/page/page.js"),
            include_str!("../page/page.js"),
        ),
    ] {
        assert_eq!(smol, ours);
    }
}

/// How many lines have one of these words, and the others.
fn split<'a>(text: &'a str, words: &[&str]) -> (usize, Vec<&'a str>) {
    let has = |line: &&str| words.iter().any(|word| line.contains(word));
    let (with, without): (Vec<_>, Vec<_>) = text.lines().partition(has);
    (with.len(), without)
}
