//! Stacks that do not compile.

#[test]
fn wrong_stacks_do_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
