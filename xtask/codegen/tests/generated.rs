//! The generated types in the tree match the extract.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use codegen::Outcome;

#[test]
fn the_generated_types_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    assert_eq!(codegen::run(true, &root).unwrap(), Outcome::UpToDate);
}

#[test]
fn a_changed_file_and_a_left_over_one_are_found_and_mended() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let copy = tempfile::tempdir().unwrap();
    let spec = copy.path().join("stacks/spec");
    std::fs::create_dir_all(&spec).unwrap();
    let extract = "stacks/spec/cloudformation.json";
    std::fs::copy(root.join(extract), copy.path().join(extract)).unwrap();
    assert!(matches!(
        codegen::run(false, copy.path()).unwrap(),
        Outcome::Written(_)
    ));
    assert_eq!(codegen::run(true, copy.path()).unwrap(), Outcome::UpToDate);

    let generated = Path::new("stacks/src/cfn/generated");
    let (changed, left) = (generated.join("sqs.rs"), generated.join("old.rs"));
    std::fs::write(copy.path().join(&changed), "").unwrap();
    std::fs::write(copy.path().join(&left), "").unwrap();
    let both = vec![changed, left];
    assert_eq!(
        codegen::run(true, copy.path()).unwrap(),
        Outcome::OutOfDate(both.clone())
    );
    assert_eq!(
        codegen::run(false, copy.path()).unwrap(),
        Outcome::Written(both)
    );
    assert_eq!(codegen::run(true, copy.path()).unwrap(), Outcome::UpToDate);
}
