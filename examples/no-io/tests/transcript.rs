//! The README shows what the program prints.

use std::process::Command;

#[test]
fn the_readme_shows_what_is_printed() {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once("```text\n").expect("a transcript");
    let (transcript, _) = rest.split_once("```").expect("its end");
    let output = Command::new(env!("CARGO_BIN_EXE_no-io")).output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), transcript);
}
