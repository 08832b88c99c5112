//! The rules are tested themselves: every faulty engine is caught, and every rule catches one. The
//! catalogue in `docs/rules.md` names it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sse_state_proptests::faulty::Fault;
use sse_state_proptests::matrix::{MOST_CALLS, Matrix, within_reach};
use sse_state_proptests::rules::{How, RULES, Rule};
use sse_state_proptests::suite::Real;

/// Scenarios for every fault; the few that need more get them.
const SCENARIOS: u64 = 20;
const MOST: u64 = 400;

/// What is printed is the matrix: every fault, what it took until it was caught, and every rule that it
/// broke. With `SSE_BLESS=1` the catalogue is written anew.
#[test]
fn every_fault_is_caught_and_every_rule_catches_the_one_that_the_catalogue_names() {
    let bless = std::env::var("SSE_BLESS").is_ok();
    let listed = catalogue();
    let mut matrix = Matrix::new();
    for fault in Fault::ALL {
        let scenarios = if bless { 3 * SCENARIOS } else { SCENARIOS };
        matrix.run(Real, fault, scenarios, |_| false);
        matrix.run(Real, fault, MOST, |row| !row.rules.is_empty());
    }
    let mut idle = Vec::new();
    let mut named = BTreeMap::new();
    for rule in within_reach() {
        let first = matrix.found_by(rule.id).first().copied();
        let listed = || listed.get(rule.id).and_then(|row| fault_of(&row.kills));
        let fault = first.filter(|_| bless).or_else(listed);
        if let Some(fault) = fault {
            matrix.run(Real, fault, MOST, |row| row.rules.contains(rule.id));
        }
        match fault.filter(|fault| matrix.found_by(rule.id).contains(fault)) {
            Some(fault) => drop(named.insert(rule.id, format!("`{fault:?}`"))),
            None => idle.push(rule.id),
        }
    }
    println!("{matrix}");
    let missed = matrix.missed();
    assert!(missed.is_empty(), "not caught: {missed:?}");
    let (slowest, cost) = matrix.slowest().unwrap();
    println!("the slowest to catch: {slowest:?}, {cost}");
    assert!(cost.calls <= MOST_CALLS, "{slowest:?} took {cost}");
    assert!(
        idle.is_empty(),
        "these catch nothing, or not what docs/rules.md says: {idle:?}"
    );
    if bless {
        for rule in RULES
            .iter()
            .filter(|rule| !named.contains_key(rule.id))
            .collect::<Vec<_>>()
        {
            let kept = listed
                .get(rule.id)
                .map_or(String::new(), |row| row.kills.clone());
            named.insert(rule.id, kept);
        }
        std::fs::write(page(), written(&named)).unwrap();
    }
    assert!(Fault::ALL.len() >= 30);
    assert!(
        Fault::ALL
            .iter()
            .filter(|fault| fault.takes_two_steps())
            .count()
            >= 10
    );
}

/// The page says of each rule what the code says, and what it catches.
#[test]
fn the_catalogue_on_paper_is_the_one_in_the_code() {
    let listed = catalogue();
    for rule in RULES {
        let row = listed
            .get(rule.id)
            .unwrap_or_else(|| panic!("{} is not listed", rule.id));
        assert_eq!(
            (row.says.as_str(), row.how.as_str()),
            (rule.says, how(rule)),
            "{}",
            rule.id
        );
    }
    assert_eq!(listed.len(), RULES.len());
}

/// What no wrapper can break is broken by a patch, whose test names the rule.
#[test]
fn rules_that_wrappers_cannot_reach_have_planted_bugs() {
    let listed = catalogue();
    let mut without = Vec::new();
    for rule in RULES
        .iter()
        .filter(|rule| !matches!(rule.how, How::Trace | How::Relation))
    {
        let kills = listed.get(rule.id).map_or("", |row| row.kills.as_str());
        let name = kills.trim_matches('`');
        let patch = root().join("proptests/broken").join(name);
        let text = std::fs::read_to_string(patch).unwrap_or_default();
        let word = rule.id.to_lowercase();
        let tests = text
            .lines()
            .filter_map(|line| line.strip_prefix("# test: "));
        let mut names = tests.flat_map(|test| test.split(['_', ':']));
        // `.ci/purity` plants its own violations.
        if !names.any(|name| name == word) && name != ".ci/purity --self-test" {
            without.push(rule.id);
        }
    }
    assert!(without.is_empty(), "no planted bug names {without:?}");
}

struct Row {
    says: String,
    how: String,
    kills: String,
}

fn catalogue() -> BTreeMap<String, Row> {
    let text = std::fs::read_to_string(page()).unwrap_or_default();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, says, how, kills] = cells[..] else {
            return None;
        };
        let id = id.strip_prefix("**")?.strip_suffix("**")?;
        let row = Row {
            says: says.into(),
            how: how.into(),
            kills: kills.into(),
        };
        Some((id.to_owned(), row))
    });
    rows.collect()
}

fn written(kills: &BTreeMap<&str, String>) -> String {
    let mut text = String::from(HEAD);
    let mut family = ' ';
    for rule in RULES {
        let first = rule.id.chars().next().unwrap();
        if first != family && !text.is_empty() {
            family = first;
            text.push_str("\n| rule | says | shown by | finds |\n|---|---|---|---|\n");
        }
        let (id, says, how) = (rule.id, rule.says, how(rule));
        let _ = writeln!(text, "| **{id}** | {says} | {how} | {} |", kills[rule.id]);
    }
    text
}

fn how(rule: &Rule) -> &'static str {
    match rule.how {
        How::Trace => "trace",
        How::Inside => "inside",
        How::Relation => "relation",
        How::Bytes => "bytes",
        How::Memory => "memory",
        How::Driver => "driver",
        How::Apart => "apart",
    }
}

fn fault_of(name: &str) -> Option<Fault> {
    let mut all = Fault::ALL.iter();
    all.find(|fault| format!("`{fault:?}`") == name).copied()
}

fn page() -> PathBuf {
    root().join("docs/rules.md")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

const HEAD: &str = "# Rules

Every rule that the machine is checked against, by id. `proptests/src/rules.rs` holds the same list; a test compares them, and `SSE_BLESS=1 cargo test -p sse-state-proptests --test rules` writes
this page anew.

- **trace**: from inputs, actions and views alone (`proptests/src/check/`), after every step of every scenario. Any engine can be put through them.
- **inside**: by the machine's own `check_invariants`, after every step.
- **relation**: by two runs that must agree (`proptests/src/relations/`).
- **memory**: by a counting allocator.
- **apart**: by a test or a check of its own, since it is no matter of one engine.

The last column names something wrong that the rule finds: an engine that is faulty on purpose (`proptests/src/faulty/`), or a bug in `proptests/broken/`. Most rules find more: the test
`every_fault_is_caught_and_every_rule_catches_the_one_that_the_catalogue_names` prints all.
";
