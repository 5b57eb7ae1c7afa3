//! `reports`: which are made, for how long they are kept, and who waits for them.

use std::path::Path;

use domain::calendar::Unit;
use stacks::Environment;

use super::{accepted, folder, refused_with};

const REGION: &str = "region: ap-south-1\n";

#[test]
fn reports_are_made_only_if_the_file_asks_for_them() {
    assert_eq!(accepted("", "").reports, None);
    for (given, units, days) in [
        ("{weekly: true}", vec![Unit::Week], 400),
        ("{monthly: true, retentionDays: 30}", vec![Unit::Month], 30),
        (
            "{weekly: true, monthly: true, retentionDays: 3650}",
            vec![Unit::Week, Unit::Month],
            3650,
        ),
    ] {
        let reports = accepted(REGION, &format!("{REGION}reports: {given}\n")).reports;
        let reports = reports.unwrap();
        assert_eq!(reports.units.0, units, "{given}");
        assert_eq!(reports.retention_days.get(), days, "{given}");
    }
}

#[test]
fn a_wrong_setting_of_reports_is_refused_where_it_stands() {
    for (given, expected) in [
        ("{}", "5:10: reports: there are none: expected"),
        (
            "{weekly: false, retentionDays: 30}",
            "5:10: reports: there are none: expected",
        ),
        (
            "{weekly: true, retentionDays: 0}",
            "5:40: reports.retentionDays: `0` is out of range: expected 1 to 3650",
        ),
        (
            "\n  weekly: true\n  retentionDays: 0",
            "7:18: reports.retentionDays: `0` is out of range",
        ),
        (
            "{weekly: true, retentionDays: 3651}",
            "5:40: reports.retentionDays: `3651`",
        ),
        ("{daily: true}", "5:1"),
        ("{weekly: often}", "5:1"),
    ] {
        refused_with(REGION, &format!("{REGION}reports: {given}\n"), expected);
    }
}

#[test]
fn an_endpoint_that_waits_for_reports_that_nobody_makes_is_refused() {
    let webhooks =
        "webhooks: [{name: finance, url: 'https://example.com/hook', events: [reportReady]}]\n";
    refused_with(
        REGION,
        &format!("{REGION}{webhooks}"),
        "5:11: webhooks: webhook `finance` receives `reportReady`, but there are no `reports`",
    );
    accepted(
        REGION,
        &format!("{REGION}{webhooks}reports: {{weekly: true}}\n"),
    );
}

#[test]
fn a_bucket_whose_name_gets_too_long_is_refused() {
    let prefix = "a".repeat(20);
    let with = |reports: &str| {
        let text = std::fs::read_to_string(folder().join("test.yaml")).unwrap();
        let text = text.replacen(
            REGION,
            &format!("{REGION}resourcePrefix: {prefix}\n{reports}"),
            1,
        );
        Environment::parse("eleven-char", Path::new("long.yaml"), &text)
            .map_err(|error| error.to_string())
    };
    assert_eq!(with("").map(drop), Ok(()));
    let error = with("reports: {weekly: true}\n").unwrap_err();
    assert!(
        error.contains(
            "the bucket for reports would be called `aaaaaaaaaaaaaaaaaaaa-reports-eleven-char-"
        ) && error.contains("64 characters, S3 accepts 63"),
        "{error}"
    );
}
