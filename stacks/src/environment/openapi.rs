//! The routes of an `OpenAPI` document, 3.0 or 3.1, JSON or YAML.
//!
//! Only `paths` are read, and of an operation only its parameters. The crates that read whole
//! documents each support one of the two versions, refuse documents over members on which no route
//! depends, and bring a type for everything that a document may contain.

use std::path::{Path, PathBuf};

use domain::gateway::PREFLIGHT;
use domain::route::{BadRoute, METHODS, Route};
use serde_json::{Map, Value};

/// Largest document in bytes.
const LARGEST: u64 = 32 * 1024 * 1024;

/// The parts of a document that are read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Document {
    /// Every path with every method that the gateway supports.
    pub(super) routes: Vec<Route>,
    /// Paths of `GET` operations, with variables replaced by the document's examples.
    pub(super) examples: Vec<String>,
}

/// A document without readable routes.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenApiError {
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("`{}` has more than 32 MB", path.display())]
    TooLarge { path: PathBuf },
    #[error("`{}`: {message}", path.display())]
    Syntax { path: PathBuf, message: String },
    #[error("`{}` is not an OpenAPI document of version 3.0 or 3.1: `openapi` is {found}", path.display())]
    Version { path: PathBuf, found: String },
    #[error("`{}` has no path with a method that the gateway accepts", path.display())]
    NoPaths { path: PathBuf },
    #[error("`{}`, path `{template}`: `$ref` is `{reference}`; only references within the document are followed: bundle it first", path.display())]
    Elsewhere {
        path: PathBuf,
        template: String,
        reference: String,
    },
    #[error("`{}`: {problem}", path.display())]
    Route { path: PathBuf, problem: BadRoute },
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Document, OpenApiError> {
    let failed = |source| OpenApiError::Read {
        path: path.to_owned(),
        source,
    };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > LARGEST {
        return Err(OpenApiError::TooLarge {
            path: path.to_owned(),
        });
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    parse(path, &text)
}

/// Parses the text of a file. JSON is parsed as JSON, because a tab is white space there but not in
/// YAML.
fn parse(path: &Path, text: &str) -> Result<Document, OpenApiError> {
    let is_json = text.trim_start().starts_with('{');
    let root: Value = if is_json {
        serde_json::from_str(text).map_err(|error| error.to_string())
    } else {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }
    .map_err(|message| OpenApiError::Syntax {
        path: path.to_owned(),
        message,
    })?;
    check_version(path, &root)?;
    let mut document = Document::default();
    let paths = root.get("paths").and_then(Value::as_object);
    for (template, item) in paths.into_iter().flatten() {
        // Extensions are siblings of paths.
        if !template.starts_with('/') {
            continue;
        }
        let item = followed(path, template, &root, item)?;
        document
            .add(template, item, &root)
            .map_err(|problem| OpenApiError::Route {
                path: path.to_owned(),
                problem,
            })?;
    }
    if document.routes.is_empty() {
        return Err(OpenApiError::NoPaths {
            path: path.to_owned(),
        });
    }
    Ok(document)
}

fn check_version(path: &Path, root: &Value) -> Result<(), OpenApiError> {
    let version = root.get("openapi");
    let is_read = version
        .and_then(Value::as_str)
        .is_some_and(|version| version.starts_with("3.0") || version.starts_with("3.1"));
    if is_read {
        return Ok(());
    }
    Err(OpenApiError::Version {
        path: path.to_owned(),
        found: version.map_or_else(|| "not there".to_owned(), |found| format!("`{found}`")),
    })
}

/// The path item that a reference names, or the item itself.
fn followed<'a>(
    path: &Path,
    template: &str,
    root: &'a Value,
    item: &'a Value,
) -> Result<&'a Value, OpenApiError> {
    let Some(reference) = item.get("$ref").and_then(Value::as_str) else {
        return Ok(item);
    };
    within(root, reference).ok_or_else(|| OpenApiError::Elsewhere {
        path: path.to_owned(),
        template: template.to_owned(),
        reference: reference.to_owned(),
    })
}

fn within<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(reference.strip_prefix('#')?)
}

impl Document {
    fn add(&mut self, template: &str, item: &Value, root: &Value) -> Result<(), BadRoute> {
        let operations = item.as_object().into_iter().flatten();
        for (method, operation) in operations {
            // A preflight is not metered; the gateway does not support `trace`.
            let mut metered = METHODS.into_iter().filter(|method| *method != PREFLIGHT);
            if !metered.any(|known| known.eq_ignore_ascii_case(method)) {
                continue;
            }
            self.routes
                .push(Route::new(&method.to_ascii_uppercase(), template)?);
            if method.eq_ignore_ascii_case("get") {
                let parameters = [operation, item].map(|of| of.get("parameters"));
                let parameters = parameters.into_iter().flatten().filter_map(Value::as_array);
                let parameters: Vec<&Value> = parameters
                    .flatten()
                    .map(|parameter| resolved(root, parameter))
                    .collect();
                self.examples.extend(example(template, &parameters));
            }
        }
        Ok(())
    }
}

fn resolved<'a>(root: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value.get("$ref").and_then(Value::as_str);
    reference
        .and_then(|reference| within(root, reference))
        .unwrap_or(value)
}

/// A path that can be called: variables and required query parameters take the document's examples.
/// `None` if one has no example.
fn example(template: &str, parameters: &[&Value]) -> Option<String> {
    let mut called = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        called.push_str(before);
        called.push_str(&encoded(&example_of(parameters, name, "path")?));
        rest = after;
    }
    called.push_str(rest);
    let required = parameters.iter().filter(|parameter| {
        is(parameter, "in", "query") && parameter.get("required") == Some(&Value::Bool(true))
    });
    let mut separator = '?';
    for parameter in required {
        let name = parameter.get("name").and_then(Value::as_str)?;
        let value = example_of(parameters, name, "query")?;
        called.push(separator);
        called.push_str(&encoded(name));
        called.push('=');
        called.push_str(&encoded(&value));
        separator = '&';
    }
    Some(called)
}

fn is(parameter: &Value, member: &str, text: &str) -> bool {
    parameter.get(member).and_then(Value::as_str) == Some(text)
}

fn example_of(parameters: &[&Value], name: &str, place: &str) -> Option<String> {
    let mut named = parameters.iter();
    let parameter = named.find(|of| is(of, "name", name) && is(of, "in", place))?;
    let empty = Map::new();
    let schema = parameter.get("schema").and_then(Value::as_object);
    let schema = schema.unwrap_or(&empty);
    let first = |list: Option<&Value>| match list {
        Some(Value::Array(values)) => values.first().cloned(),
        Some(Value::Object(named)) => named.values().next()?.get("value").cloned(),
        _ => None,
    };
    let found = parameter
        .get("example")
        .cloned()
        .or_else(|| first(parameter.get("examples")))
        .or_else(|| schema.get("example").cloned())
        .or_else(|| first(schema.get("examples")))
        .or_else(|| schema.get("default").cloned())
        .or_else(|| first(schema.get("enum")))?;
    match found {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Percent-encodes everything except the unreserved characters of RFC 3986.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const YAML: &str = "
openapi: 3.1.0
info: {title: Shop, version: '1'}
x-paths: nothing
paths:
  /items:
    summary: Items
    parameters:
      - {name: limit, in: query, required: false, schema: {type: integer}}
    get: {responses: {'200': {description: fine}}}
    post: {responses: {}}
    options: {responses: {}}
    trace: {responses: {}}
  /items/{id}:
    parameters:
      - {$ref: '#/components/parameters/Id'}
    get: {}
    delete: {}
  /search:
    get:
      parameters:
        - {name: q, in: query, required: true, example: 'a b'}
  /reports/{day}.csv:
    get: {}
  /status:
    $ref: '#/components/pathItems/Status'
  x-internal: {get: {}}
components:
  parameters:
    Id: {name: id, in: path, required: true, schema: {type: integer, examples: [7]}}
  pathItems:
    Status: {get: {}}
";

    fn texts(document: &Document) -> Vec<String> {
        let routes = document.routes.iter();
        routes.map(ToString::to_string).collect()
    }

    fn problem(text: &str) -> String {
        parse(Path::new("api.yaml"), text).unwrap_err().to_string()
    }

    #[test]
    fn every_path_and_method_that_the_gateway_meters_is_a_route() {
        let document = parse(Path::new("api.yaml"), YAML).unwrap();
        assert_eq!(
            texts(&document),
            [
                "GET /items",
                "POST /items",
                "DELETE /items/{id}",
                "GET /items/{id}",
                "GET /reports/{day}.csv",
                "GET /search",
                "GET /status",
            ]
        );
    }

    #[test]
    fn get_routes_whose_variables_have_examples_can_be_called() {
        let document = parse(Path::new("api.yaml"), YAML).unwrap();
        assert_eq!(
            document.examples,
            ["/items", "/items/7", "/search?q=a%20b", "/status"]
        );
    }

    #[test]
    fn json_is_read_as_yaml_is() {
        let yaml: Value = serde_yaml::from_str(YAML).unwrap();
        let json = format!("\t{yaml:#}")
            .replace("  ", "\t")
            .replace("3.1.0", "3.0.3");
        let path = Path::new("api.json");
        assert_eq!(parse(path, &json).unwrap(), parse(path, YAML).unwrap());
    }

    #[test]
    fn what_is_not_read_is_refused_with_what_to_do() {
        for (text, words) in [
            ("swagger: '2.0'\npaths: {}\n", "`openapi` is not there"),
            ("openapi: 2.0\n", "`openapi` is `2.0`"),
            ("openapi: 3.1.0\n", "no path with a method"),
            ("openapi: [\n", "`api.yaml`: "),
            (
                "openapi: 3.0.0\npaths: {/a: {$ref: 'other.yaml#/a'}}\n",
                "path `/a`: `$ref` is `other.yaml#/a`; only references within the document",
            ),
            (
                "openapi: 3.0.0\npaths: {'/a{': {get: {}}}\n",
                "`GET /a{` is not a route: a `{` is not closed",
            ),
        ] {
            let problem = problem(text);
            assert!(problem.contains(words), "{problem}");
        }
    }
}
