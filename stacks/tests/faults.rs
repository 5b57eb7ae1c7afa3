//! Faults that are only found when a stack is assembled: each is refused with its position, the
//! given value and the expected ones. Faults that do not compile are in `compile_fail/`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use stacks::FileAsset;
use stacks::cfn::policy::Statement;
use stacks::cfn::{
    Problem, Tag, Val, cloudwatch, dynamodb, existing, iam, kinesis, lambda, logs, policy, s3, sqs,
};
use stacks::constructs::{
    Alarm, AlarmSettings, Architecture, Comparison, Dashboard, Encryption, EventSource,
    EventSourceSettings, Expression, Function, FunctionLog, FunctionSettings, Grantee, Key, Metric,
    Missing, Period, Queue, QueueKind, QueueSettings, ScheduleRule, Stack, Start, Statistic, Table,
    TableSettings, Topic, Widget,
};

/// The errors while a stack is assembled, before any rule checks it, one per line.
fn construction(build: impl FnOnce(&mut Stack)) -> String {
    let mut stack = Stack::new("Faulty", "");
    build(&mut stack);
    lines(&stack.template().clone().finish().unwrap_err())
}

/// The errors that are found only when a stack without assembly errors is synthesised.
fn synthesis(build: impl FnOnce(&mut Stack)) -> String {
    let mut stack = Stack::new("Faulty", "");
    build(&mut stack);
    stack.template().clone().finish().unwrap();
    lines(&stack.synthesise().unwrap_err())
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn function(stack: &mut Stack, name: &str) -> Function {
    Function::new(stack, "Worker", settings(name))
}

fn settings(name: &str) -> FunctionSettings<'_> {
    FunctionSettings {
        name,
        description: "",
        code: FileAsset::new("worker.zip", "00", "assets"),
        architecture: Architecture::Arm64,
        memory: 128,
        timeout: 3,
        variables: BTreeMap::new(),
        log: FunctionLog::kept(30),
        reserved: None,
        tracing: false,
    }
}

fn queue(stack: &mut Stack, name: &str, kind: QueueKind) -> Queue {
    let settings = QueueSettings {
        name,
        kind,
        dead_letters: None,
        encryption: Encryption::Managed,
    };
    Queue::new(stack, "Queue", &settings)
}

fn table(stack: &mut Stack, name: &str) -> Table {
    let settings = TableSettings {
        name,
        key: Key {
            partition: "PK",
            sort: None,
        },
        indexes: &[],
        expires: None,
        stream: None,
        protected: false,
        encryption: Encryption::Managed,
    };
    Table::new(stack, "Table", &settings)
}

fn alarm(stack: &mut Stack, watched: impl Into<stacks::constructs::Watched>) {
    Alarm::new(
        stack,
        "Alarm",
        AlarmSettings {
            name: "alarm",
            description: "".into(),
            watched: watched.into(),
            breaches: Comparison::Above(0.0),
            periods: 1,
            breaching: 1,
            missing: Missing::Fine,
            topic: &Topic::named("oncall"),
        },
    );
}

#[test]
fn a_number_out_of_range() {
    let said = construction(|stack| {
        let stream = kinesis::Stream::new()
            .retention_period_hours(9000)
            .stream_encryption(encryption());
        stack.template().add("Stream", stream);
    });
    assert_eq!(
        said,
        "`Stream.RetentionPeriodHours`: `9000` is out of range: expected 1 to 8760"
    );
}

fn encryption() -> kinesis::StreamStreamEncryption {
    kinesis::StreamStreamEncryption::new(kinesis::StreamStreamEncryptionRequired {
        encryption_type: kinesis::StreamStreamEncryptionEncryptionType::Kms.into(),
        key_id: existing("alias/aws/kinesis").into(),
    })
}

#[test]
fn a_number_that_is_none_of_those_allowed() {
    let said = construction(|stack| {
        let group = logs::LogGroup::new().retention_in_days(15);
        stack.template().add("Logs", group);
    });
    assert!(
        said.starts_with("`Logs.RetentionInDays`: `15` is not allowed: expected one of 1, 3, 5,")
    );
}

#[test]
fn a_text_that_does_not_match() {
    let said = construction(|stack| {
        let mapping = lambda::EventSourceMapping::new(existing("worker"))
            .event_source_arn(existing("usage-stream"));
        stack.template().add("Mapping", mapping);
    });
    assert!(said.contains("`Mapping.EventSourceArn`: `usage-stream` does not match `arn:"));
}

#[test]
fn a_text_that_is_too_long() {
    let said = construction(|stack| {
        let function = lambda::Function::new(lambda::FunctionRequired {
            code: lambda::FunctionCode::new().zip_file(""),
            role: existing("arn:aws:iam::123456789012:role/worker").into(),
        });
        stack
            .template()
            .add("Worker", function.description("x".repeat(257)));
    });
    assert!(said.contains("`Worker.Description`: "), "{said}");
    assert!(
        said.contains("has 257 characters, at most 256 are allowed"),
        "{said}"
    );
}

#[test]
fn a_value_deep_inside() {
    let said = construction(|stack| {
        let filters =
            (0..6).map(|_| lambda::EventSourceMappingFilter::new().pattern("x".repeat(5000)));
        let mapping = lambda::EventSourceMapping::new(existing("worker")).filter_criteria(
            lambda::EventSourceMappingFilterCriteria::new().filters(filters.collect::<Vec<_>>()),
        );
        stack.template().add("Mapping", mapping);
    });
    let place = "`Mapping.FilterCriteria.Filters.5.Pattern`: ";
    assert!(said.contains(place), "{said}");
}

#[test]
fn a_tag_without_a_key() {
    let said = construction(|stack| {
        let tag = Tag {
            key: String::new(),
            value: "x".into(),
        };
        let queue = sqs::Queue::new().sqs_managed_sse_enabled(true).tags([tag]);
        stack.template().add("Queue", queue);
    });
    assert_eq!(
        said,
        "`Queue.Tags.0`: `` has 0 characters, 1 to 128 are allowed"
    );
}

#[test]
fn a_logical_id_twice() {
    let said = construction(|stack| {
        queue(stack, "one", QueueKind::Standard);
        queue(stack, "other", QueueKind::Standard);
    });
    assert_eq!(said, "`Queue`: is declared twice");
}

#[test]
fn a_logical_id_with_a_hyphen() {
    let said = construction(|stack| {
        stack.template().add("my-logs", logs::LogGroup::new());
    });
    assert!(said.starts_with("`my-logs`: a logical id is 1 to 255 ASCII letters and digits"));
}

#[test]
fn a_fifo_name_on_a_standard_queue() {
    let said = construction(|stack| {
        queue(stack, "orders.fifo", QueueKind::Standard);
    });
    assert_eq!(
        said,
        "`Queue`: `orders.fifo` holds a full stop; the kind of queue decides on `.fifo`"
    );
}

#[test]
fn a_table_without_a_stream_to_read() {
    let said = construction(|stack| {
        let worker = function(stack, "worker");
        let table = table(stack, "orders");
        let dead_letters = &queue(stack, "failed", QueueKind::Standard);
        EventSource::TableStream(&table).feed(
            stack,
            "Mapping",
            &worker,
            &EventSourceSettings {
                start: Start::Oldest,
                batch_size: 100,
                window_seconds: 0,
                parallelization: 1,
                dead_letters,
                filter: None,
            },
        );
    });
    assert_eq!(said, "`Mapping`: table `orders` has no stream to read");
}

#[test]
fn a_batch_larger_than_lambda_takes() {
    let said = construction(|stack| {
        let mapping = lambda::EventSourceMapping::new(existing("worker")).batch_size(10_001);
        stack.template().add("Mapping", mapping);
    });
    assert!(
        said.starts_with("`Mapping.BatchSize`: `10001` is out of range"),
        "{said}"
    );
}

#[test]
fn an_iam_action_that_is_none() {
    let said = synthesis(|stack| {
        let worker = function(stack, "worker");
        let arn: Val<stacks::cfn::Arn<sqs::Queue>> = existing("arn:aws:sqs:eu-west-1:1:q").into();
        worker
            .grants()
            .allow(Statement::allow(["sqs:SendMesage"], arn));
    });
    assert_eq!(said, "`WorkerRole`: `sqs:SendMesage` is not an IAM action");
}

#[test]
fn every_action_on_everything() {
    let said = synthesis(|stack| {
        let worker = function(stack, "worker");
        worker
            .grants()
            .allow(Statement::allow_on_all(["*"], "it is easier"));
    });
    assert_eq!(said, "`WorkerRole`: `*` is not an IAM action");
}

#[test]
fn a_star_where_a_resource_can_be_named() {
    let said = synthesis(|stack| {
        let worker = function(stack, "worker");
        worker.grants().allow(Statement::allow_on_all(
            ["dynamodb:PutItem"],
            "it is easier",
        ));
    });
    assert_eq!(
        said,
        "`WorkerRole`: `dynamodb:PutItem` is allowed on `*`, but can name a resource"
    );
}

#[test]
fn a_star_in_an_arn_without_a_reason() {
    let said = synthesis(|stack| {
        let statement = Statement::allow(
            ["dynamodb:PutItem"],
            Val::<stacks::cfn::Arn<dynamodb::Table>>::from(existing(
                "arn:aws:dynamodb:eu-west-1:123456789012:table/*",
            )),
        );
        let policy = iam::RolePolicy::new(iam::RolePolicyRequired {
            policy_name: "Wide".into(),
            policy_document: policy::document([statement]),
        });
        let role = iam::Role::new(policy::assumed_by("lambda.amazonaws.com")).policies([policy]);
        stack.template().add("Role", role);
    });
    assert!(
        said.starts_with("`Role`: a policy says `arn:aws:dynamodb:eu-west-1:123456789012:table/*`")
    );
}

#[test]
fn a_table_that_goes_with_its_stack() {
    let said = synthesis(|stack| {
        stack.template().add("Table", dynamodb::Table::new(keys()));
    });
    assert!(
        said.contains("`Table`: holds data and is not retained"),
        "{said}"
    );
    assert!(
        said.contains("`Table`: is not encrypted; set `SSESpecification`"),
        "{said}"
    );
}

fn keys() -> [dynamodb::TableKeySchema; 1] {
    [dynamodb::TableKeySchema::new(
        dynamodb::TableKeySchemaRequired {
            attribute_name: "PK".into(),
            key_type: dynamodb::TableKeySchemaKeyType::Hash.into(),
        },
    )]
}

#[test]
fn a_stream_and_a_bucket_that_are_not_encrypted() {
    let said = synthesis(|stack| {
        stack.template().add("Stream", kinesis::Stream::new());
        let bucket = stack.template().add("Bucket", s3::Bucket::new());
        stack.template().retain(&bucket);
    });
    assert!(
        said.contains("`Stream`: is not encrypted; set `StreamEncryption`"),
        "{said}"
    );
    assert!(
        said.contains("`Bucket`: is not encrypted; set `BucketEncryption`"),
        "{said}"
    );
}

#[test]
fn a_function_name_of_65_characters() {
    let said = construction(|stack| {
        function(stack, &"w".repeat(65));
    });
    assert!(said.starts_with("`Worker.FunctionName`: `wwww"), "{said}");
}

#[test]
fn a_name_longer_than_aws_takes() {
    let said = synthesis(|stack| {
        queue(stack, &"w".repeat(81), QueueKind::Standard);
    });
    assert!(said.contains("has 81 characters, AWS accepts 80"), "{said}");
}

#[test]
fn more_variables_than_lambda_takes() {
    let said = synthesis(|stack| {
        let text = "\"".repeat(2_048);
        Function::new(
            stack,
            "Worker",
            FunctionSettings {
                variables: BTreeMap::from([("ORDERS", text.into()), ("TABLE", "orders".into())]),
                ..settings("worker")
            },
        );
    });
    assert_eq!(
        said,
        "`Worker.Environment.Variables.ORDERS`: the function's variables take 4126 bytes as Lambda \
         measures them, 4096 are allowed; `ORDERS` takes 4098 of them"
    );
}

#[test]
fn an_expression_of_eleven_metrics() {
    let metric = |index: u32| {
        Metric::new(
            "AWS/SQS",
            "NumberOfMessagesSent",
            Statistic::Sum,
            Period::MINUTE,
        )
        .dimension("QueueName", format!("q{index}"))
    };
    let sum = (1..11).fold(Expression::from(metric(0)), |sum, index| {
        sum + metric(index)
    });
    let said = construction(|stack| alarm(stack, sum));
    assert_eq!(
        said,
        "`Alarm`: 11 metrics in an expression, 1 to 10 are allowed"
    );
}

#[test]
fn an_expression_of_no_metric() {
    let said = construction(|stack| alarm(stack, Expression::Number(1.0).abs()));
    assert!(
        said.starts_with("`Alarm`: 0 metrics in an expression"),
        "{said}"
    );
}

/// A dashboard of one raw body.
fn dashboard(stack: &mut Stack, body: &str) {
    let dashboard = cloudwatch::Dashboard::new(body).dashboard_name("orders");
    stack.template().add("Dashboard", dashboard);
}

#[test]
fn a_dashboard_whose_body_is_not_json() {
    let said = synthesis(|stack| dashboard(stack, r#"{"widgets": [}"#));
    assert!(
        said.starts_with("`Dashboard.DashboardBody`: the body is not JSON: "),
        "{said}"
    );
}

#[test]
fn a_widget_of_no_known_type() {
    let said = synthesis(|stack| {
        dashboard(
            stack,
            r#"{"widgets": [{"type": "graph", "properties": {}}]}"#,
        );
    });
    assert_eq!(
        said,
        "`Dashboard.DashboardBody.widgets.0.type`: `graph` is given, \
         expected one of `metric`, `text`, `log`, `alarm`, `explorer`"
    );
}

#[test]
fn a_dashboards_expression_of_an_undefined_id() {
    let body = r#"{"widgets": [{"type": "metric", "properties": {"region": "eu-west-1", "metrics": [
        ["AWS/SQS", "NumberOfMessagesSent", {"id": "m1"}],
        [{"expression": "m1 / m2", "id": "e1"}]
    ]}}]}"#;
    assert_eq!(
        synthesis(|stack| dashboard(stack, body)),
        "`Dashboard.DashboardBody.widgets.0.properties.metrics.1`: \
         `m1 / m2` refers to `m2`, which no other row of the widget has as its id"
    );
}

#[test]
fn a_widget_with_a_period_of_ten_seconds() {
    let said = synthesis(|stack| {
        let sent = Metric::new(
            "AWS/SQS",
            "NumberOfMessagesSent",
            Statistic::Sum,
            Period::TEN_SECONDS,
        );
        let graph = Widget::graph("sent", Period::TEN_SECONDS).line("sent", sent);
        Dashboard::default()
            .row([graph])
            .declare(stack, "Dashboard", "orders");
    });
    assert_eq!(
        said,
        "`Dashboard.DashboardBody.widgets.0.properties.period`: `10` is given, expected a multiple of 60"
    );
}

#[test]
fn a_widget_without_a_metric() {
    let said = construction(|stack| {
        Dashboard::default()
            .row([Widget::graph("sent", Period::MINUTE)])
            .declare(stack, "Dashboard", "orders");
    });
    assert_eq!(said, "`Dashboard`: the widget `sent` shows no metric");
}

#[test]
fn a_widget_beyond_the_grid() {
    let said = synthesis(|stack| {
        let sent = |title| {
            let metric = Metric::new("AWS/SQS", "Sent", Statistic::Sum, Period::MINUTE);
            Widget::graph(title, Period::MINUTE).line("sent", metric)
        };
        Dashboard::default()
            .row([sent("one").wide(16), sent("other").wide(12)])
            .declare(stack, "Dashboard", "orders");
    });
    assert_eq!(
        said,
        "`Dashboard.DashboardBody.widgets.1`: 12 columns from column 16, the grid has 24"
    );
}

#[test]
fn what_is_right_is_not_refused() {
    let mut stack = Stack::new("Right", "");
    let worker = function(&mut stack, "worker");
    let table = table(&mut stack, "orders");
    table.grant(&worker, ["dynamodb:PutItem"]);
    queue(&mut stack, "orders", QueueKind::Fifo).grant_send(&worker);
    ScheduleRule {
        name: "tick",
        description: "",
        every_minutes: NonZeroU16::MIN,
    }
    .invoke(&mut stack, "Tick", &worker);
    let template = stack.synthesise().unwrap();
    assert!(template.contains("\"QueueName\": \"orders.fifo\""));
    assert!(template.contains("rate(1 minute)"));
}
