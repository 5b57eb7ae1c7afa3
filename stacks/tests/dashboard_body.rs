//! CloudWatch's description of a dashboard's body is enforced member by member: each body breaks
//! one statement of "Dashboard Body Structure and Syntax", CloudWatch API Reference.

#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use stacks::cfn::dashboard_problems;

/// The findings in a body, one per line.
fn found(body: &Value) -> String {
    let problems = dashboard_problems(&body.to_string());
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// The findings in a widget.
fn in_widget(widget: &Value) -> String {
    found(&json!({ "widgets": [widget] }))
}

/// A metric widget with these changes to its properties.
fn with(changes: &Value) -> Value {
    let mut properties = json!({
        "region": "eu-west-1",
        "metrics": [["AWS/SQS", "NumberOfMessagesSent"]],
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        properties[name] = value.clone();
    }
    json!({ "type": "metric", "properties": properties })
}

/// The findings in one metric widget with these changes to its properties.
fn in_metrics(changes: &Value) -> String {
    in_widget(&with(changes))
}

/// The findings in these rows of metrics.
fn in_rows(rows: &Value) -> String {
    in_metrics(&json!({ "metrics": rows }))
}

#[test]
fn what_the_page_shows_is_right() {
    let rows = json!([
        ["AWS/EC2", "DiskReadBytes", "InstanceId", "i-123", { "id": "m1", "period": 3600 }],
        [".", ".", ".", "i-abc", { "id": "m2", "stat": "p99.9", "yAxis": "right" }],
        ["...", "i-xyz"],
        [{ "expression": "SUM(METRICS()) + m1 / m2", "label": "all", "id": "e3" }],
        [{ "expression": "SEARCH('{AWS/EC2,InstanceId} MetricName=\"x\"', 'Average', 300)", "id": "e1" }],
        [{ "expression": "SELECT MAX(CPUUtilization) FROM \"AWS/EC2\" GROUP BY InstanceId", "id": "q1" }],
    ]);
    let body = json!({
        "start": "-PT9H",
        "periodOverride": "inherit",
        "variables": [{
            "type": "property", "property": "region", "inputType": "select", "id": "region",
            "defaultValue": "us-east-1", "values": [{ "label": "IAD", "value": "us-east-1" }],
        }],
        "widgets": [
            {
                "type": "metric", "x": 0, "y": 0, "width": 24, "height": 6,
                "properties": {
                    "metrics": rows, "region": "us-east-1", "period": 300, "stat": "Average",
                    "view": "timeSeries", "stacked": true, "timezone": "+0300", "liveData": false,
                    "legend": { "position": "right" },
                    "yAxis": { "left": { "min": 0, "max": 100 }, "right": { "min": 50.5 } },
                    "annotations": { "horizontal": [
                        { "value": 20, "fill": "above", "color": "#9467bd", "yAxis": "right" },
                        [{ "value": 200, "label": "top" }, { "value": 95.5 }],
                    ] },
                },
            },
            { "type": "metric", "properties": {
                "region": "us-east-1",
                "annotations": { "alarms": ["arn:aws:cloudwatch:us-east-1:1:alarm:a"] },
            } },
            { "type": "text", "properties": { "markdown": "Hello", "background": "transparent" } },
            { "type": "log", "properties": {
                "region": "us-east-1", "query": "SOURCE 'a' | fields @message", "view": "table",
            } },
            { "type": "alarm", "properties": {
                "alarms": ["arn:${AWS::Partition}:cloudwatch:${AWS::Region}:1:alarm:a"],
                "states": ["ALARM"],
            } },
            { "type": "explorer", "properties": {
                "labels": [{ "key": "State", "value": "running" }],
                "metrics": [{ "metricName": "CPUUtilization", "resourceType": "AWS::EC2::Instance" }],
                "aggregateBy": { "key": "InstanceType", "func": "MAX" },
            } },
        ],
    });
    assert_eq!(found(&body), "");
    assert_eq!(found(&json!({ "widgets": [] })), "");
}

#[test]
fn the_whole_is_held() {
    assert_eq!(found(&json!({})), "`widgets` is missing");
    assert_eq!(
        found(&json!({ "widgets": [], "end": "2018-12-17T06:00:00Z" })),
        "`end` is given without `start`"
    );
    assert!(found(&json!({ "widgets": [], "periodOverride": "never" })).contains("`auto`"));
    let many = vec![json!({ "type": "text", "properties": { "markdown": "x" } }); 501];
    assert!(found(&json!({ "widgets": many })).starts_with("`widgets`: "));
    let variable = json!({ "type": "property", "inputType": "slide", "id": "a b" });
    let said = found(&json!({ "widgets": [], "variables": [variable] }));
    assert!(said.contains("`variables.0.inputType`: `slide`"), "{said}");
    assert!(said.contains("`variables.0.id`: `a b`"), "{said}");
}

#[test]
fn the_place_of_a_widget_is_held() {
    let placed = |place: Value| {
        let mut widget = with(&json!({}));
        for (name, value) in place.as_object().into_iter().flatten() {
            widget[name] = value.clone();
        }
        in_widget(&widget)
    };
    assert_eq!(placed(json!({ "x": 18, "y": 0 })), "");
    assert!(placed(json!({ "x": 3 })).contains("`x` and `y`"));
    assert!(placed(json!({ "x": 20, "y": 0 })).contains("6 columns from column 20"));
    assert!(placed(json!({ "x": 24, "y": 0 })).contains("a whole number from 0 to 23"));
    assert!(placed(json!({ "width": 0 })).contains("a whole number from 1 to 24"));
    assert!(placed(json!({ "height": 1001 })).contains("a whole number from 1 to 1000"));
    assert!(placed(json!({ "y": -1, "x": 0 })).contains("a whole number from 0"));
    assert!(placed(json!({ "colour": "red" })).contains("`colour` is unknown"));
}

#[test]
fn what_a_metric_widget_must_have_is_held() {
    let bare = json!({ "type": "metric", "properties": { "metrics": [["AWS/SQS", "x"]] } });
    assert!(in_widget(&bare).contains("`region` is missing"));
    let empty = json!({ "type": "metric", "properties": { "region": "eu-west-1" } });
    assert!(in_widget(&empty).contains("neither `metrics` nor an alarm"));
    let alarm = json!({ "alarms": ["arn:aws:cloudwatch:us-east-1:1:alarm:a"] });
    assert!(in_metrics(&json!({ "annotations": alarm })).contains("only one is allowed"));
    let gauge = in_metrics(&json!({ "view": "gauge", "yAxis": { "left": { "min": 0 } } }));
    assert!(gauge.contains("a gauge needs `yAxis.left.max`"), "{gauge}");
    assert!(!gauge.contains("yAxis.left.min"), "{gauge}");
    let many = vec![json!(["AWS/SQS", "x"]); 501];
    assert!(in_rows(&json!(many)).contains("a list of 0 to 500"));
}

#[test]
fn what_a_metric_widget_may_have_is_held() {
    for (changes, said) in [
        (json!({ "view": "donut" }), "one of `timeSeries`"),
        (
            json!({ "period": 45 }),
            "`45` is given, expected a multiple of 60",
        ),
        (
            json!({ "period": 0 }),
            "`0` is given, expected a multiple of 60",
        ),
        (json!({ "period": "300" }), "a multiple of 60"),
        (json!({ "stat": "Median" }), "a statistic of CloudWatch's"),
        (json!({ "stat": "p101" }), "a statistic of CloudWatch's"),
        (
            json!({ "timezone": "Asia/Kolkata" }),
            "an offset such as `+0130`",
        ),
        (json!({ "stacked": "yes" }), "true or false"),
        (json!({ "legend": { "position": "top" } }), "one of `right`"),
        (json!({ "legend": {} }), "`position` is missing"),
        (json!({ "yAxis": { "left": { "min": "0" } } }), "a number"),
        (json!({ "yAxis": { "middle": {} } }), "`middle` is unknown"),
        (
            json!({ "table": { "summaryColumns": ["MEDIAN"] } }),
            "one of `MIN`",
        ),
        (
            json!({ "annotations": { "horizontal": [{ "label": "x" }] } }),
            "`value` is missing",
        ),
        (
            json!({ "annotations": { "horizontal": [[{ "value": 1 }]] } }),
            "a list of two",
        ),
        (
            json!({ "annotations": { "vertical": [{ "value": 3 }] } }),
            "a time in ISO 8601",
        ),
        (
            json!({ "annotations": { "alarms": ["orders"] } }),
            "an alarm's ARN",
        ),
        (json!({ "perdiod": 300 }), "`perdiod` is unknown"),
    ] {
        let found = in_metrics(&changes);
        assert!(found.contains(said), "{changes}: {found}");
    }
}

#[test]
fn the_forms_of_a_metric_are_held() {
    for (rows, said) in [
        (json!(["AWS/SQS", "x"]), "a metric is a list"),
        (json!([["AWS/SQS"]]), "1 texts"),
        (json!([["AWS/SQS", "x", "QueueName"]]), "3 texts"),
        (json!([["AWS/SQS", "x", "QueueName", ""]]), "not empty"),
        (json!([["AWS/SQS", 5]]), "are texts"),
        (json!([[".", "x"]]), "none before it to repeat"),
        (
            json!([["AWS/SQS", "x", { "id": "M1" }]]),
            "begins with a lower-case letter",
        ),
        (
            json!([["AWS/SQS", "x", { "color": "red" }]]),
            "a colour such as",
        ),
        (
            json!([["AWS/SQS", "x", { "yAxis": "top" }]]),
            "one of `left`",
        ),
        (
            json!([["AWS/SQS", "x", { "expression": "m1" }]]),
            "`expression` is unknown",
        ),
        (json!([[{ "label": "x" }]]), "`expression` is missing"),
        (
            json!([[{ "expression": "1 + m1", "id": "e1" }]]),
            "refers to `m1`",
        ),
        (
            json!([[{ "expression": "e1 + 1", "id": "e1" }]]),
            "refers to `e1`",
        ),
        (
            json!([["AWS/SQS", "x", { "id": "m1" }], ["AWS/SQS", "y", { "id": "m1" }]]),
            "id `m1` is given twice",
        ),
        (
            json!([[{ "expression": "SELECT 1" }], [{ "expression": "select 2" }]]),
            "2 Metrics Insights queries",
        ),
    ] {
        let found = in_rows(&rows);
        assert!(found.contains(said), "{rows}: {found}");
    }
}

#[test]
fn an_id_in_two_widgets_is_there_twice() {
    let widget = with(&json!({ "metrics": [["AWS/SQS", "x", { "id": "m1" }]] }));
    let said = found(&json!({ "widgets": [widget, widget] }));
    assert_eq!(
        said,
        "`widgets.1.properties.metrics.0`: id `m1` is given twice"
    );
}

#[test]
fn no_more_than_2500_metrics_are_in_all() {
    let rows = vec![json!(["AWS/SQS", "x"]); 500];
    let widget = with(&json!({ "metrics": rows }));
    let full = vec![widget.clone(); 5];
    assert_eq!(found(&json!({ "widgets": full })), "");
    let over = [full, vec![with(&json!({}))]].concat();
    assert_eq!(
        found(&json!({ "widgets": over })),
        "2501 metrics, at most 2500 are allowed"
    );
}

#[test]
fn the_other_widgets_are_held() {
    for (widget, said) in [
        (json!({ "properties": {} }), "`type` is missing"),
        (json!({ "type": "text" }), "`properties` is missing"),
        (
            json!({ "type": "text", "properties": { "markdown": 3 } }),
            "a text",
        ),
        (
            json!({ "type": "text", "properties": { "markdown": "x", "background": "red" } }),
            "one of `solid`",
        ),
        (
            json!({ "type": "log", "properties": { "query": "SOURCE 'a'" } }),
            "`region` is missing",
        ),
        (
            json!({ "type": "log", "properties": { "region": "r", "query": "fields @message" } }),
            "begins with `SOURCE`",
        ),
        (
            json!({ "type": "alarm", "properties": { "alarms": [] } }),
            "a list of 1 to 100",
        ),
        (
            json!({ "type": "alarm", "properties": { "alarms": ["orders"] } }),
            "an alarm's ARN",
        ),
        (
            json!({ "type": "explorer", "properties": { "labels": [{ "key": "a" }], "metrics": [] } }),
            "a list of 1 to 100",
        ),
        (
            json!({ "type": "explorer", "properties": { "metrics": [] } }),
            "`labels` is missing",
        ),
    ] {
        let found = in_widget(&widget);
        assert!(found.contains(said), "{widget}: {found}");
    }
}
