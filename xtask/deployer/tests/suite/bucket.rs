//! The bucket of an environment's assets.

use deployer::{Bucket, Caller, Error};

use crate::scripted::{Call, Messages, Scripted, ScriptedAnswer};

const OWNER: &str = "123456789012";
const NAME: &str = "complical-assets-test-123456789012-ap-south-1";

fn bucket(aws: &Scripted) -> Bucket {
    Bucket::new(&aws.session(), NAME, &Caller::embedded(OWNER))
}

/// Every call names the owner, except the one that cannot.
fn every_call_names_the_owner(aws: &Scripted) {
    for call in aws.calls() {
        let creates = call.name() == "PUT";
        let owner = (!creates).then(|| OWNER.to_owned());
        let is_object = call.path.trim_end_matches('/') != format!("/{NAME}");
        assert!(
            call.expected_owner == owner || (is_object && call.expected_owner.is_some()),
            "{call:?}"
        );
    }
}

#[tokio::test]
async fn a_bucket_that_is_there_is_protected_like_a_new_one() {
    let settings = [
        "PUT ?encryption",
        "PUT ?publicAccessBlock",
        "PUT ?versioning",
        "PUT ?lifecycle",
    ];
    for (there, first) in [(true, vec!["HEAD"]), (false, vec!["HEAD", "PUT"])] {
        let aws = Scripted::start(move |call| match call.name().as_str() {
            "HEAD" if !there => ScriptedAnswer::status(404),
            _ => ScriptedAnswer::done(),
        })
        .await;
        bucket(&aws).ensure(&Messages::default()).await.unwrap();
        assert_eq!(aws.names(), [&first[..], &settings[..]].concat());
        every_call_names_the_owner(&aws);
    }
}

#[tokio::test]
async fn everything_is_encrypted_closed_and_kept_until_it_is_deleted() {
    let aws = Scripted::start(|_| ScriptedAnswer::done()).await;
    bucket(&aws).ensure(&Messages::default()).await.unwrap();
    let calls = aws.calls();
    let body = |name: &str| {
        let call = calls.iter().find(|call| call.name() == name);
        call.unwrap().body.clone()
    };
    let lifecycle = body("PUT ?lifecycle");
    assert!(lifecycle.contains("<NoncurrentDays>30</NoncurrentDays>"));
    assert!(!lifecycle.contains("<Expiration>"), "{lifecycle}");
    assert!(body("PUT ?versioning").contains("<Status>Enabled</Status>"));
    assert!(body("PUT ?encryption").contains("AES256"));
    assert_eq!(body("PUT ?publicAccessBlock").matches("true").count(), 4);
}

/// CloudFormation sets the rest again, and refuses a bucket that has a policy already.
#[tokio::test]
async fn a_bucket_that_is_adopted_gets_its_retention_and_nothing_else() {
    let aws = Scripted::start(|_| ScriptedAnswer::done()).await;
    bucket(&aws).keep_for(60).await.unwrap();
    assert_eq!(aws.names(), ["PUT ?lifecycle"]);
    let body = aws.calls()[0].body.clone();
    let expiry = body.split_once("<Expiration>").unwrap().1;
    assert!(expiry.starts_with("<Days>60</Days>"), "{body}");
    assert!(
        body.contains("<NoncurrentDays>30</NoncurrentDays>"),
        "{body}"
    );
    every_call_names_the_owner(&aws);
}

#[tokio::test]
async fn a_bucket_of_another_account_is_refused() {
    let foreign = |error: Error| {
        assert!(error.is_refusal());
        let said = error.to_string();
        assert!(said.contains(NAME) && said.contains(OWNER), "{said}");
    };
    // The bucket exists and belongs to another account.
    let aws = Scripted::start(|_| ScriptedAnswer::status(403)).await;
    foreign(bucket(&aws).ensure(&Messages::default()).await.unwrap_err());
    foreign(bucket(&aws).remove().await.unwrap_err());
    assert_eq!(aws.names(), ["HEAD", "HEAD"]);

    // Another account takes the name in between.
    let aws = Scripted::start(|call| match call.name().as_str() {
        "HEAD" => ScriptedAnswer::status(404),
        _ => ScriptedAnswer::xml_error(409, "BucketAlreadyExists"),
    })
    .await;
    foreign(bucket(&aws).ensure(&Messages::default()).await.unwrap_err());
}

#[tokio::test]
async fn a_name_that_s3_still_holds_back_is_waited_for() {
    let mut refusals = 2;
    let aws = Scripted::start(move |call| match call.name().as_str() {
        "HEAD" => ScriptedAnswer::status(404),
        "PUT" if refusals > 0 => {
            refusals -= 1;
            ScriptedAnswer::xml_error(409, "OperationAborted")
        }
        _ => ScriptedAnswer::done(),
    })
    .await;
    let told = Messages::default();
    bucket(&aws).ensure(&told).await.unwrap();
    let created = aws.names().iter().filter(|name| *name == "PUT").count();
    assert_eq!(created, 3);
    let notes = told.notes();
    assert_eq!(notes.len(), 1, "told once: {notes:?}");
    assert!(notes[0].contains("deleted a short time ago"), "{notes:?}");
}

#[tokio::test]
async fn a_change_that_meets_another_is_made_again() {
    let mut refused = false;
    let aws = Scripted::start(move |call| {
        if call.name() == "PUT ?versioning" && !refused {
            refused = true;
            return ScriptedAnswer::xml_error(409, "OperationAborted");
        }
        ScriptedAnswer::done()
    })
    .await;
    bucket(&aws).ensure(&Messages::default()).await.unwrap();
    let changes = aws
        .names()
        .iter()
        .filter(|name| *name == "PUT ?versioning")
        .count();
    assert_eq!(changes, 2);
}

/// A bucket with two versions of one key and a delete marker.
fn emptied_at_last() -> impl FnMut(&Call) -> ScriptedAnswer {
    let mut deleted = false;
    move |call| match call.name().as_str() {
        "GET ?versions" if !deleted => ScriptedAnswer::text(
            "<ListVersionsResult>\
             <Version><Key>a.zip</Key><VersionId>1</VersionId></Version>\
             <Version><Key>a.zip</Key><VersionId>2</VersionId></Version>\
             <DeleteMarker><Key>b.zip</Key><VersionId>3</VersionId></DeleteMarker>\
             </ListVersionsResult>",
        ),
        "GET ?versions" => ScriptedAnswer::text("<ListVersionsResult></ListVersionsResult>"),
        "POST ?delete" => {
            deleted = true;
            for version in ["1", "2", "3"] {
                let named = format!("<VersionId>{version}</VersionId>");
                assert!(call.body.contains(&named), "{}", call.body);
            }
            ScriptedAnswer::text("<DeleteResult></DeleteResult>")
        }
        _ => ScriptedAnswer::done(),
    }
}

#[tokio::test]
async fn a_bucket_is_emptied_of_every_version_before_it_goes() {
    let aws = Scripted::start(emptied_at_last()).await;
    assert!(bucket(&aws).remove().await.unwrap());
    assert_eq!(aws.names().last().unwrap(), "DELETE");
    every_call_names_the_owner(&aws);

    let aws = Scripted::start(emptied_at_last()).await;
    assert!(bucket(&aws).empty().await.unwrap());
    assert!(!bucket(&aws).empty().await.unwrap());
    assert!(!aws.names().contains(&"DELETE".to_owned()));
}

#[tokio::test]
async fn what_is_published_is_published_to_the_owner() {
    let aws = Scripted::start(|call| match call.name().as_str() {
        "HEAD" => ScriptedAnswer::status(404),
        _ => ScriptedAnswer::done(),
    })
    .await;
    let published = bucket(&aws).publish_bytes("a.zip", b"zip".to_vec()).await;
    assert!(published.unwrap());
    let calls = aws.calls();
    assert_eq!(calls.len(), 2);
    for call in calls {
        assert_eq!(call.expected_owner.as_deref(), Some(OWNER), "{call:?}");
    }
}

#[tokio::test]
async fn what_the_bucket_holds_is_not_uploaded_again() {
    let aws = Scripted::start(|_| ScriptedAnswer::done()).await;
    let published = bucket(&aws).publish_bytes("a.zip", b"zip".to_vec()).await;
    assert!(!published.unwrap());
    assert_eq!(aws.names(), ["HEAD"]);
}

/// Another build may replace a zip while the user reads what it would change.
#[tokio::test]
async fn a_file_that_is_not_the_reviewed_one_is_not_uploaded() {
    let folder = tempfile::tempdir().unwrap();
    let zip = folder.path().join("bootstrap.zip");
    std::fs::write(&zip, b"zip").unwrap();
    let digest = "4a0d3cb5e8f4ff8d1bd8a1ab0b1cbd1b0a6c1c2f0000000000000000000000ff";
    let aws = Scripted::start(|_| ScriptedAnswer::done()).await;
    let error = bucket(&aws).publish("a.zip", &zip, digest).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("bootstrap.zip` was built again"), "{error}");
    assert!(aws.names().is_empty());
}
