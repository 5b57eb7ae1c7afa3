//! The suites, in one program: each further program would have to link the whole AWS SDK again.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and a long one says how far it is"
)]

mod alarms;
mod attach;
mod billing;
mod browser;
mod busy;
mod cdk;
mod chaos;
mod cli;
mod contract;
mod demo;
mod dimensions;
mod faults;
mod first_deploy;
mod guarantees;
mod http_api;
mod iam;
mod keys;
mod killed;
mod limits;
mod lint;
mod local;
mod meters;
mod openapi;
mod own_api;
mod redrive;
mod scaling;
mod second_track;
mod snippets;
mod states;
mod switch;
mod synth;
mod tables;
mod watch;

#[test]
fn every_file_beside_this_one_is_a_suite() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|extension| extension == "rs") && name != "main" {
            let line = format!("\nmod {name};\n");
            assert!(include_str!("main.rs").contains(&line), "{name}");
        }
    }
}
