//! Writes events and their frames into a folder, for parsers that others wrote (see `.ci/parsers`):
//! `frames.txt` is a stream, `events.json` what must come out of it.
//!
//! ```text
//! cargo run -p sse-state-proptests --example frames -- FOLDER SEED COUNT
//! ```

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sse_state_proptests::wire_rules::events_and_frames;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, seed, count] = args.as_slice() else {
        return Err("usage: frames FOLDER SEED COUNT".into());
    };
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for (event, frame) in events_and_frames(seed.parse()?, count.parse()?) {
        stream.extend_from_slice(&frame);
        let data = event.data.replace("\r\n", "\n").replace('\r', "\n");
        let retry = event.retry.map(|retry| retry.as_millis().to_string());
        expected.push(format!(
            "{{\"name\":{},\"data\":{},\"id\":{},\"retry\":{}}}",
            json(&event.name),
            json(&data),
            event.id.as_deref().map_or("null".into(), json),
            retry.as_deref().unwrap_or("null"),
        ));
    }
    let folder = Path::new(folder);
    fs::write(folder.join("frames.txt"), stream)?;
    let events = format!("[{}]\n", expected.join(",\n"));
    fs::write(folder.join("events.json"), events)?;
    Ok(())
}

/// A JSON string.
fn json(text: &str) -> String {
    let mut out = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\0'..='\x1f' => {
                // Writing to a `String` cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}
