//! What the fuzzers have found is replayed, without a fuzzer.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use sse_state_proptests::fuzz::TARGETS;

#[test]
fn every_file_of_a_corpus_is_right() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut bytes = 0;
    for (name, target) in TARGETS {
        let folder = fs::read_dir(corpora.join(name)).expect("each target has a corpus");
        let files = folder.map(|file| file.expect("readable").path());
        let files: Vec<_> = files.collect();
        assert!(files.len() >= 20, "{name}: a corpus of {}", files.len());
        println!("{name}: {} files", files.len());
        for file in files {
            let input = fs::read(&file).expect("readable");
            bytes += input.len();
            let right = catch_unwind(|| target(&input)).is_ok();
            assert!(right, "{}", file.display());
        }
    }
    assert!(
        bytes < 2 << 20,
        "the corpora have {bytes} bytes; minimise them"
    );
}
