//! What stands for the model: the same prompt always gives the same tokens.

/// The answer to a prompt, piece by piece: words with the space before them, as models give them.
pub(crate) fn tokens(prompt: &str) -> impl Iterator<Item = &'static str> + use<> {
    // FNV-1a, 64 bits; then the multiplier of Knuth's MMIX for the words.
    let mut state = prompt.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3_u64)
    });
    let length = LEAST + (state >> 32) as usize % (MOST - LEAST);
    (0..length).map(move |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        WORDS[(state >> 33) as usize % WORDS.len()]
    })
}

const LEAST: usize = 40;
const MOST: usize = 80;
const WORDS: [&str; 24] = [
    " the",
    " a",
    " state",
    " machine",
    " stream",
    " of",
    " events",
    " that",
    " waits",
    " for",
    " no",
    " clock",
    " and",
    " tells",
    " every",
    " reader",
    " what",
    " it",
    " missed",
    ",",
    ".",
    ":",
    " so",
    "\u{a0}—",
];
