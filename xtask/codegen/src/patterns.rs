//! Patterns that AWS publishes in a dialect that the checks' engine does not support: look-around,
//! Unicode classes, `\Z`. Each is either rewritten here without those, or left to AWS with a
//! reason; a test checks that the two lists are complete and contain nothing else.

use std::borrow::Cow;

/// Replacements for AWS's patterns. Each matches everything that AWS's matches; those for Unicode
/// classes also match characters in no class, such as unassigned ones.
const REWRITTEN: [(&str, &str); 20] = [
    // Not blank.
    (r"^(?!\s*$).+$", r"^.*\S.*$"),
    (r"^(?!\s*$).+", r"^(\S|.[\s\S]*\S)"),
    // Not only digits.
    (
        r"^(?!^[0-9]+$)([a-zA-Z0-9-_]+)$",
        r"^[0-9]*[a-zA-Z_-][a-zA-Z0-9_-]*$",
    ),
    (
        r"((?!^[0-9]+$)([a-zA-Z0-9-_]+))",
        r"[a-zA-Z_-]|[0-9][\s\S]|[\s\S][0-9]",
    ),
    // Does not end in a full stop.
    (
        r"^[0-9A-Za-z\.\-_]*(?<!\.)$",
        r"^([0-9A-Za-z._-]*[0-9A-Za-z_-])?$",
    ),
    // Begins with ASCII, but not with `:`, `*` or `$`.
    (r"^((?![:*$])[\x00-\x7F]){1,255}", r"^[\x00-#%-)+-9;-\x7F]"),
    // A qualifier begins with no digit.
    (
        r"^(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:((?!\d+)[0-9a-zA-Z-_]+))?$",
        r"^(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9_-]+)(:[a-zA-Z_-][0-9a-zA-Z_-]*)?$",
    ),
    // A source of events is not AWS's own, or is a path into the event.
    (
        r"^(?=[/\.\-_A-Za-z0-9]+)((?!aws\.).*)|(\$(\.[\w_-]+(\[(\d+|\*)\])*)*)$",
        r"^([/._A-Zb-z0-9-]|a$|a[^w]|aw$|aw[^s]|aws$|aws[^.])|(\$(\.[\w_-]+(\[(\d+|\*)\])*)*)$",
    ),
    // Parts of a host name neither begin nor end with a hyphen.
    (
        r"^jdbc:(redshift|postgresql)://((?!-)[A-Za-z0-9-]{1,63}(?<!-)\.)+(redshift(-serverless)?)\.([a-zA-Z0-9\.\-]+):\d{1,5}/[a-zA-Z0-9_$-]+$",
        r"^jdbc:(redshift|postgresql)://([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+(redshift(-serverless)?)\.([a-zA-Z0-9.-]+):\d{1,5}/[a-zA-Z0-9_$-]+$",
    ),
    // The end of the text, in Python's notation.
    (r"^[.\-_/#A-Za-z0-9]{1,512}\Z", r"^[._/#A-Za-z0-9-]{1,512}$"),
    (
        r"^arn:[a-z0-9-]+:kms:[a-z0-9-]+:\d{12}:(key|alias)/.+\Z",
        r"^arn:[a-z0-9-]+:kms:[a-z0-9-]+:\d{12}:(key|alias)/.+$",
    ),
    // Letters, marks, symbols, numbers, punctuation: visible characters. With `\s`, or separators,
    // also the white space that the class names.
    (r"^\p{Print}+$", r"^[^\x00-\x1F\x7F]+$"),
    (r"^[\p{L}\p{M}\p{S}\p{N}\p{P}]+$", r"^[^\x00-\x20\x7F]+$"),
    (
        r"^[\p{L}\p{M}\p{S}\p{N}\p{P}]+@[\p{L}\p{M}\p{S}\p{N}\p{P}]+$",
        r"^[^\x00-\x20\x7F]+@[^\x00-\x20\x7F]+$",
    ),
    (
        r"^[\p{L}\p{M}\p{S}\p{N}\p{P}\p{Z}]+$",
        r"^[^\x00-\x1F\x7F]+$",
    ),
    (
        r"^[\p{L}\p{M}\p{S}\p{N}\p{P}\s]+$",
        r"^[^\x00-\x08\x0E-\x1F\x7F]+$",
    ),
    (
        r"^[\p{L}\p{M}\p{S}\p{N}\p{P}\s*]*$",
        r"^[^\x00-\x08\x0E-\x1F\x7F]*$",
    ),
    (
        r"^[\p{L}\p{M}\p{S}\p{N}\p{P}\s*]*\{####\}[\p{L}\p{M}\p{S}\p{N}\p{P}\s*]*$",
        r"^[^\x00-\x08\x0E-\x1F\x7F]*\{####\}[^\x00-\x08\x0E-\x1F\x7F]*$",
    ),
    (
        r"^[\p{L}\p{M}\p{S}\p{N}\p{P}\s*]*\{##[\p{L}\p{M}\p{S}\p{N}\p{P}\s*]*##\}[\p{L}\p{M}\p{S}\p{N}\p{P}\s*]*$",
        r"^[^\x00-\x08\x0E-\x1F\x7F]*\{##[^\x00-\x08\x0E-\x1F\x7F]*##\}[^\x00-\x08\x0E-\x1F\x7F]*$",
    ),
    (
        r"^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$",
        r##"^[^\x00-\x1F\x7F!"#$%&'()*,;<>?\[\\\]^`{|}~]*$"##,
    ),
];

/// Patterns left to AWS, with the reason.
const LEFT: [(&str, &str); 1] = [(
    r"^(^(?!(system\x2e)))(^[_a-zA-Z0-9])([^$]*)$",
    "a collection of DocumentDB, which no stack here reads from",
)];

/// The pattern in the engine's dialect; `None` if it is left to AWS.
pub(crate) fn runnable(pattern: &str) -> Option<Cow<'_, str>> {
    let rewritten = REWRITTEN
        .iter()
        .find(|(published, _)| *published == pattern);
    if let Some((_, rewritten)) = rewritten {
        return Some(Cow::Borrowed(*rewritten));
    }
    let runs = regex_lite::Regex::new(pattern).is_ok();
    let left = LEFT.iter().any(|(published, _)| *published == pattern);
    (runs && !left).then_some(Cow::Borrowed(pattern))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use regex_lite::Regex;

    use super::*;
    use crate::extract::{Extract, Kind, Property};

    /// The patterns of the extract that the engine does not support.
    fn foreign() -> BTreeSet<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let extract = Extract::read(&root.join(crate::EXTRACT)).unwrap();
        let mut found = BTreeSet::new();
        for resource in extract.resources.values() {
            let inner = resource
                .types
                .values()
                .flat_map(|kind| kind.properties.values());
            for property in resource.properties.values().chain(inner) {
                found.extend(pattern(property));
            }
        }
        found.retain(|pattern| Regex::new(pattern).is_err());
        found
    }

    fn pattern(property: &Property) -> Option<String> {
        let mut kind = &property.kind;
        loop {
            match kind {
                Kind::List { of, .. } | Kind::Map { of } => kind = of,
                Kind::String { pattern, .. } => return pattern.clone(),
                _ => return None,
            }
        }
    }

    #[test]
    fn every_foreign_pattern_is_rewritten_or_left_for_a_reason() {
        let listed = REWRITTEN.iter().chain(&LEFT);
        let listed: BTreeSet<String> = listed.map(|(published, _)| (*published).into()).collect();
        assert_eq!(listed, foreign());
        assert_eq!(listed.len(), REWRITTEN.len() + LEFT.len());
        for (published, rewritten) in REWRITTEN {
            assert!(Regex::new(rewritten).is_ok(), "{published}: {rewritten}");
        }
        assert_eq!(runnable(LEFT[0].0), None);
    }

    #[test]
    fn a_rewritten_pattern_takes_and_refuses_what_the_published_one_does() {
        let check = |published: &str, taken: &[&str], refused: &[&str]| {
            let regex = Regex::new(&runnable(published).unwrap()).unwrap();
            for text in taken {
                assert!(regex.is_match(text), "`{text}` is taken by {published}");
            }
            for text in refused {
                assert!(!regex.is_match(text), "`{text}` is refused by {published}");
            }
        };
        check(r"^(?!\s*$).+$", &["x", " x "], &["", "  "]);
        check(r"^(?!\s*$).+", &["x", " \nx"], &["", "  ", "\nx"]);
        let alias = r"^(?!^[0-9]+$)([a-zA-Z0-9-_]+)$";
        check(alias, &["live", "1a", "1-", "a1"], &["", "1", "42", "a b"]);
        let qualifier = r"((?!^[0-9]+$)([a-zA-Z0-9-_]+))";
        check(qualifier, &["live", "12", "5!"], &["", "5", "!"]);
        let bucket = r"^[0-9A-Za-z\.\-_]*(?<!\.)$";
        check(
            bucket,
            &["", "my.assets", "a-"],
            &["my.assets.", ".", "a b"],
        );
        let metric = r"^((?![:*$])[\x00-\x7F]){1,255}";
        check(metric, &["Errors", "(x)", "9"], &["", ":x", "*", "$x", "é"]);
        let function = r"^(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:((?!\d+)[0-9a-zA-Z-_]+))?$";
        check(
            function,
            &[
                "worker",
                "arn:aws:lambda:eu-west-1:123456789012:function:worker:live",
            ],
            &[
                "worker:1",
                "worker:1a",
                "arn:aws:sqs:eu-west-1:123456789012:worker",
                "",
            ],
        );
        let source = r"^(?=[/\.\-_A-Za-z0-9]+)((?!aws\.).*)|(\$(\.[\w_-]+(\[(\d+|\*)\])*)*)$";
        check(
            source,
            &["com.example", "a", "aws", "awsome", "a.b", "$.source"],
            &["aws.ec2", "", " x"],
        );
        let jdbc = r"^jdbc:(redshift|postgresql)://((?!-)[A-Za-z0-9-]{1,63}(?<!-)\.)+(redshift(-serverless)?)\.([a-zA-Z0-9\.\-]+):\d{1,5}/[a-zA-Z0-9_$-]+$";
        check(
            jdbc,
            &["jdbc:redshift://my-cluster.x.redshift.amazonaws.com:5439/dev"],
            &[
                "jdbc:redshift://-my.x.redshift.amazonaws.com:5439/dev",
                "jdbc:redshift://my-.redshift.a:1/d",
            ],
        );
        let group = r"^[.\-_/#A-Za-z0-9]{1,512}\Z";
        check(group, &["/aws/lambda/x"], &["", "a b"]);
        let email = r"^[\p{L}\p{M}\p{S}\p{N}\p{P}]+@[\p{L}\p{M}\p{S}\p{N}\p{P}]+$";
        check(email, &["ä@example.com"], &["a b@example.com", "a@", "@b"]);
        let tagged = r"^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$";
        check(tagged, &["tag:Größe", "", "a b"], &["a*", "a\nb", "{a}"]);
        let code = r"^[\p{L}\p{M}\p{S}\p{N}\p{P}\s*]*\{####\}[\p{L}\p{M}\p{S}\p{N}\p{P}\s*]*$";
        check(
            code,
            &["Your code\nis {####}."],
            &["Your code", "\u{0}{####}"],
        );
    }
}
