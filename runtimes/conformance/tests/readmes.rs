//! The READMEs of the runtimes show one service three times.

/// The lines of the service, without those that name the runtime, enter it or wait for a signal.
fn service(readme: &str) -> Vec<&str> {
    let (_, rest) = readme.split_once("```rust,no_run\n").expect("an example");
    let (code, _) = rest.split_once("```").expect("its end");
    let of_the_runtime = |line: &&str| {
        [
            "tokio",
            "smol",
            "async_std",
            "async-signal",
            "async fn run",
            "async fn main",
            "fn main",
            "pending()",
        ]
        .iter()
        .any(|word| line.contains(word))
    };
    let lines = code.lines().filter(|line| !of_the_runtime(line));
    // What closes the functions that enter a runtime.
    lines
        .filter(|line| !line.is_empty() && *line != "}")
        .collect()
}

#[test]
fn only_the_lines_of_the_runtime_differ() {
    let tokio = service(include_str!("../../tokio/README.md"));
    assert!(tokio.len() > 10, "{tokio:?}");
    assert_eq!(tokio, service(include_str!("../../smol/README.md")));
    assert_eq!(tokio, service(include_str!("../../async-std/README.md")));
}
