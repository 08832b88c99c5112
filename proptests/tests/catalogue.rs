//! The catalogue holds what is coded, and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sse_state_proptests::rules::{How, RULES, rule};

#[test]
fn no_id_stands_twice() {
    let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), RULES.len());
    assert!(RULES.iter().all(|rule| rule.says.ends_with('.')));
}

/// What the checker can report = the rules of the trace in the catalogue.
#[test]
fn every_rule_of_the_trace_is_coded_and_every_coded_one_is_in_the_catalogue() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut coded = BTreeSet::new();
    for file in files(&src.join("check")) {
        coded.extend(literals(&read(&file)));
    }
    coded.extend(literals(&read(&src.join("check.rs"))));
    coded.extend(["X1a".to_owned()]);
    assert_same(&coded, How::Trace);
}

/// The same for those that compare two runs.
#[test]
fn every_relation_is_coded_and_every_coded_one_is_in_the_catalogue() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut coded = literals(&read(&src.join("relations.rs")));
    for file in files(&src.join("relations")) {
        coded.extend(literals(&read(&file)));
    }
    assert_same(&coded, How::Relation);
}

/// What `check_invariants` of the machine can say = the rules of the inside in the catalogue.
#[test]
fn every_rule_of_the_inside_is_coded_and_every_coded_one_is_in_the_catalogue() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src/state/check.rs");
    let text = read(&core);
    let mut coded = BTreeSet::new();
    for part in text.split('"').skip(1).step_by(2) {
        if let Some((id, _)) = part.split_once(':').filter(|(id, _)| is_id(id)) {
            coded.insert(id.to_owned());
        }
    }
    assert_same(&coded, How::Inside);
    let asserts = text.matches("assert").count();
    let said = text.matches('"').count() / 2;
    assert!(asserts <= said, "an assertion says no rule");
}

fn assert_same(coded: &BTreeSet<String>, how: How) {
    let listed: BTreeSet<String> = RULES
        .iter()
        .filter(|rule| rule.how == how)
        .map(|rule| rule.id.to_owned())
        .collect();
    let unlisted: Vec<_> = coded.difference(&listed).collect();
    let uncoded: Vec<_> = listed.difference(coded).collect();
    assert!(
        unlisted.is_empty() && uncoded.is_empty(),
        "not in the catalogue: {unlisted:?}; not coded: {uncoded:?}"
    );
    assert!(coded.iter().all(|id| rule(id).is_some()));
}

/// String literals of a source that are ids.
fn literals(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim().starts_with("//"));
    code.flat_map(|line| line.split('"').skip(1).step_by(2))
        .filter(|part| is_id(part))
        .map(str::to_owned)
        .collect()
}

fn is_id(text: &str) -> bool {
    let family = |c: char| c.is_ascii_uppercase();
    let digits = text.trim_start_matches(family).trim_start_matches('§');
    text.starts_with(family)
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && text.len() <= 6
        && digits
            .chars()
            .all(|c| c.is_ascii_digit() || c.is_ascii_lowercase() || c == '.')
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}
