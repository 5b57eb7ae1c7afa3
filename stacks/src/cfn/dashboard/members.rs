//! The members of a dashboard's body and of its widgets, as AWS's page lists them.

use super::shape::{Member, Shape, may, must};

/// CloudWatch's limits for one widget and for a dashboard.
pub(super) const WIDGETS: usize = 500;
pub(super) const METRICS_OF_ONE: usize = 500;
const ALARMS: usize = 100;
const EXPLORED: usize = 100;
const VARIABLES: usize = 25;
const VALUES: usize = 500;

/// Columns of the grid.
pub(super) const COLUMNS: u64 = 24;
const ROWS: u64 = 1000;

const STATISTIC: Shape = Shape::Like(
    r"^(SampleCount|Average|Sum|Minimum|Maximum|IQM|p100|(p|tm|wm|tc|ts)\d{1,2}(\.\d{1,10})?|(PR|TM|WM|TC|TS)\([^)]*\))$",
    "a statistic of CloudWatch's",
);
const COLOUR: Shape = Shape::Like(
    "^#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})$",
    "a colour such as `#9467bd`",
);
const ID: Shape = Shape::Like(
    "^[a-z][A-Za-z0-9_]{0,254}$",
    "an id that begins with a lower-case letter",
);
const TIME_ZONE: Shape = Shape::Like(r"^[+-]\d{4}$", "an offset such as `+0130`");
const SIDE: Shape = Shape::OneOf(&["left", "right"]);

pub(super) const BODY: Shape = Shape::Object(&[
    must("widgets", Shape::List(&WIDGET, 0, WIDGETS)),
    may("variables", Shape::List(&VARIABLE, 0, VARIABLES)),
    may("start", Shape::Text),
    may("end", Shape::Text),
    may("periodOverride", Shape::OneOf(&["auto", "inherit"])),
]);

const WIDGET: Shape = Shape::Object(&[
    must(
        "type",
        Shape::OneOf(&["metric", "text", "log", "alarm", "explorer"]),
    ),
    may("x", Shape::Whole(0, COLUMNS - 1)),
    may("y", Shape::Whole(0, u64::MAX)),
    may("width", Shape::Whole(1, COLUMNS)),
    may("height", Shape::Whole(1, ROWS)),
    must("properties", Shape::Any),
]);

const VARIABLE: Shape = Shape::Object(&[
    must("type", Shape::OneOf(&["property", "pattern"])),
    may("property", Shape::Text),
    may("pattern", Shape::Text),
    must("inputType", Shape::OneOf(&["input", "select", "radio"])),
    must(
        "id",
        Shape::Like("^[0-9A-Za-z_-]{1,32}$", "an id of 1 to 32 characters"),
    ),
    may("label", Shape::TextUpTo(30)),
    may("defaultValue", Shape::Scalar),
    may("values", Shape::List(&VALUE, 1, VALUES)),
    may("search", Shape::TextUpTo(2048)),
    may("populateFrom", Shape::Text),
    may("visible", Shape::Flag),
]);

const VALUE: Shape = Shape::Object(&[
    must("value", Shape::Scalar),
    may("label", Shape::TextUpTo(255)),
]);

/// The properties of a widget of a type.
pub(super) fn properties(of: &str) -> Option<Shape> {
    match of {
        "metric" => Some(METRIC),
        "text" => Some(TEXT),
        "log" => Some(LOG),
        "alarm" => Some(ALARM),
        "explorer" => Some(EXPLORER),
        _ => None,
    }
}

const TEXT: Shape = Shape::Object(&[
    must("markdown", Shape::Text),
    may("background", Shape::OneOf(&["solid", "transparent"])),
]);

const LOG: Shape = Shape::Object(&[
    may("accountId", Shape::Text),
    must("region", Shape::Text),
    may("title", Shape::Text),
    must(
        "query",
        Shape::Like("^SOURCE ", "a query that begins with `SOURCE`"),
    ),
    may("view", Shape::OneOf(&["table", "timeSeries", "bar", "pie"])),
    may("stacked", Shape::Flag),
]);

const ALARM: Shape = Shape::Object(&[
    must("alarms", Shape::List(&ALARM_ARN, 1, ALARMS)),
    may(
        "sortBy",
        Shape::OneOf(&["default", "stateUpdatedTimestamp", "timestamp"]),
    ),
    may(
        "states",
        Shape::List(&Shape::OneOf(&["ALARM", "INSUFFICIENT_DATA", "OK"]), 0, 3),
    ),
    may("title", Shape::Text),
]);

const ALARM_ARN: Shape = Shape::Like("^arn:.+:cloudwatch:.+:alarm:.+$", "an alarm's ARN");

const EXPLORER: Shape = Shape::Object(&[
    may(
        "aggregateBy",
        Shape::Object(&[
            must("key", Shape::Text),
            must(
                "func",
                Shape::OneOf(&["AVG", "MIN", "MAX", "STDDEV", "SUM"]),
            ),
        ]),
    ),
    must(
        "labels",
        Shape::List(
            &Shape::Object(&[must("key", Shape::Text), may("value", Shape::Text)]),
            1,
            usize::MAX,
        ),
    ),
    must(
        "metrics",
        Shape::List(
            &Shape::Object(&[
                must("metricName", Shape::Text),
                must("resourceType", Shape::Text),
                may("stat", STATISTIC),
            ]),
            1,
            EXPLORED,
        ),
    ),
    may("period", Shape::Minutes),
    may("splitBy", Shape::Text),
    may("title", Shape::Text),
    may(
        "widgetOptions",
        Shape::Object(&[
            may("legend", LEGEND),
            may("rowsPerPage", Shape::Whole(1, ROWS)),
            may("stacked", Shape::Flag),
            may("view", Shape::OneOf(&["timeSeries", "bar", "pie"])),
            may("widgetsPerRow", Shape::Whole(1, COLUMNS)),
        ]),
    ),
]);

const LEGEND: Shape = Shape::Object(&[must(
    "position",
    Shape::OneOf(&["right", "bottom", "hidden"]),
)]);

const METRIC: Shape = Shape::Object(&[
    may("accountId", Shape::Text),
    may("annotations", ANNOTATIONS),
    may("liveData", Shape::Flag),
    may("legend", LEGEND),
    may("metrics", Shape::List(&Shape::Any, 0, METRICS_OF_ONE)),
    may("period", Shape::Minutes),
    must("region", Shape::Text),
    may("sparkline", Shape::Flag),
    may("stacked", Shape::Flag),
    may("stat", STATISTIC),
    may("table", TABLE),
    may("timezone", TIME_ZONE),
    may("title", Shape::Text),
    may(
        "view",
        Shape::OneOf(&["timeSeries", "singleValue", "gauge", "bar", "pie", "table"]),
    ),
    may(
        "yAxis",
        Shape::Object(&[may("left", AXIS), may("right", AXIS)]),
    ),
]);

const AXIS: Shape = Shape::Object(&[
    may("label", Shape::Text),
    may("min", Shape::Number),
    may("max", Shape::Number),
    may("showUnits", Shape::Flag),
]);

const TABLE: Shape = Shape::Object(&[
    may("layout", Shape::OneOf(&["vertical", "horizontal"])),
    may("stickySummary", Shape::Flag),
    may("showTimeSeriesData", Shape::Flag),
    may(
        "summaryColumns",
        Shape::List(&Shape::OneOf(&["MIN", "MAX", "SUM", "AVG"]), 0, 4),
    ),
]);

const ANNOTATIONS: Shape = Shape::Object(&[
    may("alarms", Shape::List(&ALARM_ARN, 0, 1)),
    may(
        "horizontal",
        Shape::List(&Shape::OneOrBand(&HORIZONTAL), 0, usize::MAX),
    ),
    may(
        "vertical",
        Shape::List(&Shape::OneOrBand(&VERTICAL), 0, usize::MAX),
    ),
]);

const HORIZONTAL: Shape = Shape::Object(&[
    must("value", Shape::Number),
    may("label", Shape::Text),
    may("color", COLOUR),
    may("fill", Shape::OneOf(&["above", "below", "none"])),
    may("visible", Shape::Flag),
    may("yAxis", SIDE),
]);

const VERTICAL: Shape = Shape::Object(&[
    must(
        "value",
        Shape::Like(r"^\d{4}-\d{2}-\d{2}(T.+)?$", "a time in ISO 8601"),
    ),
    may("label", Shape::Text),
    may("color", COLOUR),
    may("fill", Shape::OneOf(&["before", "after", "none"])),
    may("visible", Shape::Flag),
]);

/// The options for drawing one metric: the object at the end of its row.
pub(super) const RENDERING: Shape = Shape::Object(&OF_ROW);
/// The object that is the whole row of an expression.
pub(super) const EXPRESSION: Shape = Shape::Object(&OF_EXPRESSION);

const OF_ROW: [Member; 9] = [
    may("accountId", Shape::Text),
    may("color", COLOUR),
    may("id", ID),
    may("label", Shape::Text),
    may("period", Shape::Minutes),
    may("region", Shape::Text),
    may("stat", STATISTIC),
    may("visible", Shape::Flag),
    may("yAxis", SIDE),
];

const OF_EXPRESSION: [Member; 9] = [
    must("expression", Shape::TextUpTo(2048)),
    may("accountId", Shape::Text),
    may("color", COLOUR),
    may("id", ID),
    may("label", Shape::Text),
    may("period", Shape::Minutes),
    may("region", Shape::Text),
    may("visible", Shape::Flag),
    may("yAxis", SIDE),
];
