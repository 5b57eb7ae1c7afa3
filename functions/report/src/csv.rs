//! Comma-separated values (RFC 4180), of which no cell begins a formula.

/// A field. Spreadsheets execute a cell that begins like a formula, and the local part of an email
/// may begin with `=`: such a field is quoted and prefixed with an apostrophe, which turns it into
/// text (<https://owasp.org/www-community/attacks/CSV_Injection>).
pub fn field(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        return format!("\"'{}\"", text.replace('"', "\"\""));
    }
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_never_begins_like_a_formula() {
        for (text, cell) in [
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
            ("a=b", "a=b"),
        ] {
            assert_eq!(field(text), cell);
        }
    }
}
