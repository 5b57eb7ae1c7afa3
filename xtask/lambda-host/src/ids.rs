//! Identifiers in AWS's forms.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use uuid::Uuid;

/// A request id: a random UUID.
pub(crate) fn request_id() -> String {
    Uuid::new_v4().to_string()
}

/// API Gateway's extended request id: 11 bytes in base64, as in `JKJaXmPLvHcESHA=`.
pub(crate) fn extended_request_id() -> String {
    let random = Uuid::new_v4();
    STANDARD.encode(random.as_bytes().get(..11).unwrap_or_default())
}

/// The root of an X-Ray trace: `1-{seconds, 8 hex}-{24 hex}`.
pub(crate) fn trace_root(unix_seconds: i64) -> String {
    let random = Uuid::new_v4().simple().to_string();
    let (random, _) = random.split_at(24);
    format!("1-{unix_seconds:08x}-{random}")
}

/// A function's log stream: `YYYY/MM/DD/[$LATEST]{32 hex}`.
pub(crate) fn log_stream() -> String {
    let day = jiff::Timestamp::now().strftime("%Y/%m/%d");
    format!("{day}/[$LATEST]{}", Uuid::new_v4().simple())
}

/// The access key id of a function's role. On AWS it is a new one for each instance; here it is the
/// function's name, by which a proxy before the local AWS knows who calls.
pub(crate) fn access_key_id(function: &str) -> String {
    function.to_owned()
}

/// The account in an ARN.
pub(crate) fn account_of(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}

/// The region in an ARN.
pub(crate) fn region_of(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

/// The part after the last `/` or `:` of an ARN.
pub(crate) fn resource_of(arn: &str) -> &str {
    arn.rsplit([':', '/']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_shapes_that_aws_documents() {
        assert_eq!(extended_request_id().len(), 16);
        assert!(extended_request_id().ends_with('='));
        let root = trace_root(0x6553_f100);
        assert!(root.starts_with("1-6553f100-"));
        assert_eq!(root.len(), 35);
        assert!(log_stream().contains("/[$LATEST]"));
    }

    #[test]
    fn parts_of_an_arn() {
        let arn = "arn:aws:kinesis:ap-south-1:000000000000:stream/usage";
        assert_eq!(
            (account_of(arn), region_of(arn), resource_of(arn)),
            ("000000000000", "ap-south-1", "usage")
        );
    }
}
