//! Converts CloudFormation's names to Rust names. Pure; decides nothing else.

/// `DynamoDB` → `dynamodb`.
pub(crate) fn module(service: &str) -> String {
    service.to_lowercase()
}

/// `RetentionPeriodHours` → `retention_period_hours`, `KMSMasterKeyId` → `kms_master_key_id`.
pub(crate) fn method(property: &str) -> String {
    let name = words(property).join("_");
    match name.as_str() {
        "type" | "ref" | "match" | "use" | "static" | "enum" | "in" | "where" | "as" | "self"
        | "else" | "if" | "loop" | "move" | "mod" | "pub" | "super" | "trait" | "true"
        | "false" => format!("r#{name}").replace("r#self", "self_"),
        _ => name,
    }
}

/// `NEW_AND_OLD_IMAGES` → `NewAndOldImages`, `python3.13` → `Python313`, `x86_64` → `X8664`.
pub(crate) fn variant(value: &str) -> String {
    let mut name = String::new();
    for part in value.split(|c: char| !c.is_ascii_alphanumeric()) {
        let shouted = part.chars().all(|c| !c.is_ascii_lowercase());
        for (at, c) in part.chars().enumerate() {
            match (at, shouted) {
                (0, _) => name.push(c.to_ascii_uppercase()),
                (_, true) => name.push(c.to_ascii_lowercase()),
                (_, false) => name.push(c),
            }
        }
    }
    if name.is_empty() {
        return "Empty".to_owned();
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) || name == "Self" {
        name.insert(0, 'V');
    }
    name
}

/// The lower-case words of a name in Pascal case; runs of capitals are one word.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().filter(|c| *c != '.').collect();
    let mut words: Vec<String> = Vec::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|i| letters.get(i));
        let after = letters.get(at + 1);
        let starts = letter.is_ascii_uppercase()
            && (before.is_none_or(|c| !c.is_ascii_uppercase())
                || after.is_some_and(|c| c.is_ascii_lowercase() && !plural(&letters, at + 1)));
        match words.last_mut() {
            Some(word) if !starts => word.push(letter.to_ascii_lowercase()),
            _ => words.push(letter.to_ascii_lowercase().to_string()),
        }
    }
    words
}

/// Whether the letter is the `s` of a plural such as `ARNs`: the last of the name.
fn plural(letters: &[char], at: usize) -> bool {
    letters.get(at) == Some(&'s') && at + 1 == letters.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_become_methods() {
        for (property, name) in [
            ("RetentionPeriodHours", "retention_period_hours"),
            ("KMSMasterKeyId", "kms_master_key_id"),
            ("ProviderARNs", "provider_arns"),
            ("Type", "r#type"),
            ("OKActions", "ok_actions"),
            ("MaxRecordSizeInKiB", "max_record_size_in_ki_b"),
            ("SSESpecification", "sse_specification"),
        ] {
            assert_eq!(method(property), name);
        }
    }

    #[test]
    fn values_become_variants() {
        for (value, name) in [
            ("NEW_AND_OLD_IMAGES", "NewAndOldImages"),
            ("python3.13", "Python313"),
            ("x86_64", "X8664"),
            ("GreaterThanThreshold", "GreaterThanThreshold"),
            ("notBreaching", "NotBreaching"),
            ("aws:kms", "AwsKms"),
            ("", "Empty"),
            ("1.0", "V10"),
        ] {
            assert_eq!(variant(value), name);
        }
    }
}
