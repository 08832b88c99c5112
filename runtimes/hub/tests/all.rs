//! Every test of this folder in one binary that ends at the first failure: for mutation testing (`.ci/mutants`), which
//! builds and runs it once for each mutant. Not among the tests of `cargo test`, which has each file as a binary of its
//! own.
//!
//! Tests run in the order of their names, so the letter in front says what comes first: what is quick.

#![allow(clippy::duplicate_mod)] // what the files share is here once for each of them

mod a {
    /// Of all tests the first one.
    #[test]
    fn the_first_failure_ends_all() {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |failure| {
            report(failure);
            std::process::exit(101);
        }));
    }
}

#[path = "driver.rs"]
mod b_driver;
#[path = "five.rs"]
mod b_five;
#[path = "go.rs"]
mod b_go;
#[path = "go_polling.rs"]
mod b_go_polling;
#[path = "json.rs"]
mod b_json;
#[path = "routes.rs"]
mod b_routes;
#[path = "sockets.rs"]
mod b_sockets;
#[path = "w2.rs"]
mod b_w2;
#[path = "w3.rs"]
mod b_w3;
#[path = "w6.rs"]
mod b_w6;
#[path = "w7.rs"]
mod b_w7;
#[path = "w9.rs"]
mod b_w9;
#[path = "hazards.rs"]
mod c_hazards;
