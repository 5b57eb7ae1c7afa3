//! Dimensions of calls.

use super::{folder, refused_at_the_end, with};

const UPSTREAM: &str = "upstream: {url: 'https://a.example', routes: ['GET /users/{id}']}\n";

#[test]
fn dimensions_have_a_name_and_a_source_each() {
    let environment = with(&format!(
        "{UPSTREAM}dimensions:\n  - {{name: account, path: id}}\n  - {{name: region, query: r, values: 5}}\n  \
         - name: tenant\n    header: x-tenant\n    values: 50"
    ));
    let dimensions = environment.unwrap().dimensions;
    let names: Vec<String> = dimensions.iter().map(|of| of.name.to_string()).collect();
    assert_eq!(names, ["account", "region", "tenant"]);
    // The templates of an attached API are its own.
    let attached = "attached: [{apiId: abc}]\ndimensions: [{name: account, path: id}]";
    assert!(with(attached).is_ok());
}

#[test]
fn a_dimension_that_no_call_could_have_or_that_would_store_a_secret_is_refused_where_it_stands() {
    for (dimensions, expected) in [
        (
            "{name: a, path: id, query: b}",
            "`a` needs exactly one of `path`, `query` and `header`",
        ),
        ("{name: a}", "`a` needs exactly one of"),
        ("{name: a, cookie: b}", "unknown key `cookie`"),
        ("{name: 1a, path: id}", "`1a` cannot name a dimension"),
        (
            "{name: status, path: id}",
            "`status` cannot name a dimension",
        ),
        ("{name: other, path: id}", "`other` cannot name a dimension"),
        ("{name: a b, path: id}", "`a b` cannot name a dimension"),
        (
            "{name: a, path: id}, {name: a, query: b}",
            "dimensions: `a` occurs twice",
        ),
        (
            "{name: a, query: c}, {name: b, query: c}",
            "`a` and `b` have the same source",
        ),
        (
            "{name: a, query: a}, {name: b, query: b}, {name: c, query: c}, {name: d, query: d}",
            "dimensions: 4 are declared, expected at most 3",
        ),
        (
            "{name: a, path: name}",
            "`a` is the variable `name` of a route, and no route has it",
        ),
        (
            "{name: a, path: '{id}'}",
            "`{id}` is not a variable of a route: give `id`",
        ),
        (
            "{name: a, header: authorization}",
            "`authorization` carries a credential",
        ),
        (
            "{name: a, header: x-api-key}",
            "`x-api-key` carries a credential",
        ),
        ("{name: a, header: cookie}", "`cookie` carries a credential"),
        ("{name: a, header: X-Tenant}", "1 to 64 lower-case letters"),
        (
            "{name: a, header: x-usage-user}",
            "`x-usage-user`, which the gateway sets",
        ),
        (
            "{name: a, query: Access_Token}",
            "`Access_Token` carries a credential",
        ),
        ("{name: a, query: 'a b'}", "`a b` is not a parameter's name"),
        (
            "{name: a, query: a, values: 0}",
            "is out of range: expected 1 to 50",
        ),
        (
            "{name: a, query: a, values: 51}",
            "is out of range: expected 1 to 50",
        ),
    ] {
        let more = format!("{UPSTREAM}dimensions: [{dimensions}]");
        refused_at_the_end(&more, expected);
        let error = with(&more).unwrap_err().to_string();
        let text = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
        let line = text.lines().count() + 2;
        assert!(error.contains(&format!("test.yaml:{line}:")), "{error}");
    }
    let sample = "dimensions: [{name: a, path: id}]";
    refused_at_the_end(sample, "no route has it");
}
