//! Templates with `$context` variables, as access-log formats and gateway responses use them.

/// Renders `template`; `value` returns a variable's value by its name without `$context.`.
///
/// If the template is a JSON document, values are escaped to stay within their quotes: callers
/// choose some of them (the user agent, the path).
pub(crate) fn render(
    template: &str,
    absent: &str,
    value: impl Fn(&str) -> Option<String>,
) -> String {
    const VARIABLE: &str = "$context.";
    let json = template.trim_start().starts_with('{');
    let mut rendered = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once(VARIABLE) {
        rendered.push_str(before);
        let (name, after) = split_name(after);
        match value(name) {
            // The only variable whose value includes its quotes.
            Some(value) if json && name != "error.messageString" => {
                push_escaped(&mut rendered, &value);
            }
            Some(value) => rendered.push_str(&value),
            None => rendered.push_str(absent),
        }
        rest = after;
    }
    rendered.push_str(rest);
    rendered
}

/// Splits `authorizer.email.` into the name `authorizer.email` and what follows it.
fn split_name(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-'))
        .unwrap_or(text.len());
    let name = text
        .get(..end)
        .unwrap_or_default()
        .trim_end_matches(['.', '-']);
    (name, text.get(name.len()..).unwrap_or_default())
}

fn push_escaped(rendered: &mut String, value: &str) {
    let quoted = serde_json::Value::from(value).to_string();
    rendered.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(name: &str) -> Option<String> {
        match name {
            "requestId" => Some("r-1".to_owned()),
            "authorizer.email" => Some("a@b.c".to_owned()),
            "identity.userAgent" => Some("curl \"8\"\n".to_owned()),
            "error.messageString" => Some("\"Forbidden\"".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_and_absent_ones_are_a_dash() {
        let line = render(
            "$context.requestId $context.authorizer.email. $context.none",
            "-",
            values,
        );
        assert_eq!(line, "r-1 a@b.c. -");
    }

    #[test]
    fn values_cannot_leave_their_quotes_in_a_json_format() {
        let format =
            r#"{"agent":"$context.identity.userAgent","message":$context.error.messageString}"#;
        let line = render(format, "-", values);
        assert_eq!(line, r#"{"agent":"curl \"8\"\n","message":"Forbidden"}"#);
    }
}
