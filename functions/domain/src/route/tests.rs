#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const PROXY: &str = "/{proxy+}";

fn routes(texts: &[&str]) -> Routes {
    let routes = texts.iter().zip(2..);
    Routes::new(
        routes.map(|(text, units)| (Route::parse(text).unwrap(), units)),
        1,
    )
    .unwrap()
}

#[test]
fn the_most_specific_template_counts() {
    let routes = routes(&[
        "GET /{anything+}",
        "GET /users/{id}",
        "GET /users/me",
        "DELETE /users/{id}",
        "ANY /users/{id}/posts/{post}",
        "GET /users/{id}/posts/latest",
        "GET /files/{name}.json",
        "GET /files/{name}",
        "GET /files/report-{from}-{to}.json",
        "POST /users",
        "GET /",
    ]);
    for (method, path, endpoint) in [
        ("GET", "/users/me", "/users/me"),
        ("GET", "/users/7", "/users/{id}"),
        ("HEAD", "/users/7", "/users/{id}"),
        ("DELETE", "/users/me", "/users/{id}"),
        ("PATCH", "/users/7", OTHER),
        ("PUT", "/users/7/posts/1", "/users/{id}/posts/{post}"),
        ("GET", "/users/7/posts/latest", "/users/{id}/posts/latest"),
        ("PUT", "/users/7/posts/latest", "/users/{id}/posts/{post}"),
        ("GET", "/users/7/posts", "/{anything+}"),
        ("GET", "/files/a.json", "/files/{name}.json"),
        ("GET", "/files/.json", "/files/{name}"),
        (
            "GET",
            "/files/report-1-2.json",
            "/files/report-{from}-{to}.json",
        ),
        ("GET", "/files/report-12.json", "/files/{name}.json"),
        ("GET", "/files/a.xml", "/files/{name}"),
        ("POST", "/users", "/users"),
        ("POST", "/users/", "/users"),
        ("POST", "//users", "/users"),
        ("GET", "/", "/"),
        ("GET", "", "/"),
        ("POST", "/", OTHER),
    ] {
        let counted = routes.of(method, PROXY, path);
        assert_eq!(counted.endpoint, endpoint, "{method} {path}");
    }
}

#[test]
fn encoding_a_path_does_not_change_what_it_counts_as() {
    let routes = routes(&["GET /search", "GET /a%20b/{x}", "GET /caf%C3%A9"]);
    for (path, endpoint) in [
        ("/%73earch", "/search"),
        ("/x/../search", "/search"),
        ("/x/%2e%2e/search", "/search"),
        ("/./search/", "/search"),
        ("/a%20b/1", "/a%20b/{x}"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/café", "/caf%C3%A9"),
        ("/x%2Fsearch", OTHER),
        ("/search%2F", "/search"),
        ("/search%", OTHER),
        ("/SEARCH", OTHER),
    ] {
        assert_eq!(routes.of("GET", PROXY, path).endpoint, endpoint, "{path}");
    }
}

#[test]
fn a_resource_other_than_the_proxy_is_the_template_itself() {
    let routes = routes(&["GET /v1/deadlines"]);
    let of = |method, resource| {
        let counted = routes.of(method, resource, "/v1/deadlines");
        (counted.endpoint, counted.units)
    };
    assert_eq!(of("GET", "/v1/deadlines"), ("/v1/deadlines", 2));
    assert_eq!(of("GET", "/v2/{id}"), ("/v2/{id}", 1));
    assert_eq!(Routes::default().of("GET", PROXY, "/x").endpoint, PROXY);
}

#[test]
fn what_is_not_a_route_is_refused_with_what_is_wrong() {
    for (given, problem) in [
        ("/users", "expected a method and a template"),
        ("TRACE /users", "the method is `DELETE`"),
        ("GET users", "begins with `/`"),
        ("GET /a?b=1", "printable ASCII"),
        ("GET /café", "printable ASCII"),
        ("GET /a b", "printable ASCII"),
        ("GET /{a", "is not closed"),
        ("GET /a}", "is not opened"),
        ("GET /{}", "a variable is a name"),
        ("GET /{a}{b}", "a character between them"),
        ("GET /{a+}/b", "stands last"),
        ("GET /x{a+}", "a segment of its own"),
    ] {
        let error = Route::parse(given).unwrap_err().to_string();
        assert!(error.contains(problem), "{given}: {error}");
    }
    let long = format!("GET /{}", "a".repeat(LONGEST_TEMPLATE));
    assert!(Route::parse(&long).is_err());
}

#[test]
fn routes_that_the_same_calls_fit_are_refused() {
    let both = ["GET /users/{id}", "GET /users/{name}/"].map(|text| Route::parse(text).unwrap());
    let error = Routes::new(both.map(|route| (route, 1)), 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the routes `GET /users/{id}` and `GET /users/{name}/` match the same calls"
    );
}

#[test]
fn hundreds_of_routes_fit_a_functions_variable() {
    let texts: Vec<String> = (0..300)
        .map(|number| format!("GET /v1/projects/{{project}}/resource-{number}/{{id}}"))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let routes = routes(&texts);
    let variable = routes.to_variable();
    assert!(variable.len() < 3_000, "{}", variable.len());
    assert_eq!(Routes::from_variable(&variable), Some(routes));
}

prop_compose! {
    fn a_route()(
        method in select(vec!["GET", "POST", "ANY", "HEAD"]),
        template in "(/([a-c]{1,2}|\\{x\\}|[a-b]\\{y\\}c|\\{x\\}-\\{y\\})){0,4}(/|/\\{z\\+\\})",
    ) -> Route {
        Route::new(method, &template).unwrap()
    }
}

proptest! {
    #[test]
    fn a_table_reads_back(given in proptest::collection::vec((a_route(), 0_u32..1_000), 0..60), other in 0_u32..9) {
        let Ok(routes) = Routes::new(given, other) else {
            return Ok(());
        };
        prop_assert_eq!(Routes::from_variable(&routes.to_variable()), Some(routes));
    }

    #[test]
    fn any_text_is_read_without_panic(text: String, path: String) {
        let _ = Routes::from_variable(&text);
        let _ = Routes::from_variable(&format!("z100:{text}"));
        let _ = Route::parse(&format!("GET /{text}"));
        let routes = routes(&["GET /{a}-{b}", "GET /{rest+}"]);
        let _ = routes.of("GET", PROXY, &path);
    }

    #[test]
    fn the_order_in_which_routes_are_given_changes_nothing(
        given in proptest::collection::vec(a_route(), 1..12), path in "(/[a-c]{1,3}){0,4}",
    ) {
        let table = |routes: Vec<Route>| Routes::new(routes.into_iter().map(|route| (route, 1)), 1);
        let mut reversed = given.clone();
        reversed.reverse();
        if let (Ok(one), Ok(other)) = (table(given), table(reversed)) {
            prop_assert_eq!(one.of("GET", PROXY, &path), other.of("GET", PROXY, &path));
        }
    }
}

#[test]
fn a_variable_is_read_from_the_path_as_the_upstream_sees_it() {
    let routes = [
        "GET /users/{id}",
        "GET /users/{id}/files/{name}.{kind}",
        "GET /tree/{rest+}",
        "GET /users/me",
    ];
    let routes = routes.map(|route| (Route::parse(route).unwrap(), 1));
    let names: Vec<Vec<&str>> = routes
        .iter()
        .map(|(route, _)| route.variables().collect())
        .collect();
    assert_eq!(
        names,
        [vec!["id"], vec!["id", "name", "kind"], vec!["rest"], vec![]]
    );
    let routes = Routes::new(routes, 1).unwrap();
    let of = |path: &str, name: &str| {
        let value = routes.variable("GET", path, name)?;
        Some(String::from_utf8(value).unwrap())
    };
    for (path, name, value) in [
        ("/users/7", "id", Some("7")),
        ("//users/%37/", "id", Some("7")),
        ("/users/a%2Fb", "id", None),
        ("/users/\u{fc}", "id", Some("\u{fc}")),
        ("/users/me", "id", None),
        ("/users/7", "name", None),
        ("/users/7/files/a.b.txt", "id", Some("7")),
        ("/users/7/files/a.b.txt", "name", Some("a")),
        ("/users/7/files/a.b.txt", "kind", Some("b.txt")),
        ("/tree/a/b", "rest", Some("a/b")),
        ("/elsewhere", "id", None),
    ] {
        assert_eq!(of(path, name).as_deref(), value, "{path}");
    }
    assert_eq!(routes.variable("POST", "/users/7", "id"), None);
}
