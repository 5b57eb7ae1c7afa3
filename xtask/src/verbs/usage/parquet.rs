//! The Parquet form of an export: the rows and names of the CSV form, with types.
//!
//! Equal rows give equal bytes: the file names neither a time nor the version of a library.
//!
//! Counts are signed integers of 64 bits. Query engines read these as integers, and unsigned ones
//! partly as decimals (<https://github.com/apache/parquet-format/blob/master/LogicalTypes.md>).

use std::sync::Arc;

use anyhow::Context as _;
use domain::time::UnixMillis;
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::{Row, meters};

/// What the file names as its writer.
const CREATED_BY: &str = "cargo xtask usage export";

/// A column's values, in the order of the rows.
enum Values {
    /// Texts; `None` where a row has none.
    Texts(Vec<Option<ByteArray>>),
    /// Instants in UTC, in milliseconds since 1970.
    Instants(Vec<i64>),
    Counts(Vec<i64>),
}

struct Column {
    name: String,
    /// Whether a row may have no value.
    is_optional: bool,
    values: Values,
}

/// The file.
pub(super) fn file(rows: &[Row]) -> anyhow::Result<Vec<u8>> {
    let columns = columns(rows)?;
    let written = written(&columns, !rows.is_empty());
    written.context("writing Parquet")
}

fn columns(rows: &[Row]) -> anyhow::Result<Vec<Column>> {
    let mut columns = vec![
        texts("email", false, rows, |row| Some(&row.email)),
        texts("plan", true, rows, |row| row.plan.as_ref()),
        instants("periodStart", rows, |row| row.period_start),
        instants("periodEnd", rows, |row| row.period_end),
        counts("totalCalls", rows, |row| row.total_calls)?,
        counts("authFailures", rows, |row| row.auth_failures)?,
        counts("rateLimited", rows, |row| row.rate_limited)?,
        counts("units", rows, |row| row.units)?,
        texts("digest", false, rows, |row| Some(&row.digest)),
    ];
    for meter in meters(rows) {
        let amount = |row: &Row| row.meters.get(meter).copied().unwrap_or(0);
        columns.push(counts(&format!("meters.{meter}"), rows, amount)?);
    }
    Ok(columns)
}

fn texts(
    name: &str,
    is_optional: bool,
    rows: &[Row],
    text: impl Fn(&Row) -> Option<&String>,
) -> Column {
    let texts = rows.iter().map(text);
    let values = texts.map(|text| text.map(|text| text.as_str().into()));
    Column {
        name: name.to_owned(),
        is_optional,
        values: Values::Texts(values.collect()),
    }
}

fn instants(name: &str, rows: &[Row], instant: impl Fn(&Row) -> UnixMillis) -> Column {
    Column {
        name: name.to_owned(),
        is_optional: false,
        values: Values::Instants(rows.iter().map(|row| instant(row).0).collect()),
    }
}

fn counts(name: &str, rows: &[Row], count: impl Fn(&Row) -> u64) -> anyhow::Result<Column> {
    let counts = rows.iter().map(|row| i64::try_from(count(row)));
    let counts: Result<Vec<_>, _> = counts.collect();
    let counts =
        counts.with_context(|| format!("a count of `{name}` does not fit into Parquet"))?;
    Ok(Column {
        name: name.to_owned(),
        is_optional: false,
        values: Values::Counts(counts),
    })
}

fn written(columns: &[Column], has_rows: bool) -> Result<Vec<u8>, ParquetError> {
    let fields: Result<Vec<_>, _> = columns.iter().map(|column| column.field()).collect();
    let fields = fields?.into_iter().map(Arc::new).collect();
    let schema = Type::group_type_builder("usage").with_fields(fields);
    let properties = WriterProperties::builder().set_created_by(CREATED_BY.to_owned());
    let mut file = SerializedFileWriter::new(
        Vec::new(),
        Arc::new(schema.build()?),
        Arc::new(properties.build()),
    )?;
    if has_rows {
        let mut group = file.next_row_group()?;
        for column in columns {
            column.write(&mut group)?;
        }
        group.close()?;
    }
    file.into_inner()
}

impl Column {
    fn field(&self) -> Result<Type, ParquetError> {
        let (physical, logical) = match self.values {
            Values::Texts(_) => (Physical::BYTE_ARRAY, LogicalType::String),
            Values::Instants(_) => (
                Physical::INT64,
                LogicalType::timestamp(true, TimeUnit::MILLIS),
            ),
            Values::Counts(_) => (Physical::INT64, LogicalType::integer(64, true)),
        };
        let repetition = if self.is_optional {
            Repetition::OPTIONAL
        } else {
            Repetition::REQUIRED
        };
        Type::primitive_type_builder(&self.name, physical)
            .with_logical_type(Some(logical))
            .with_repetition(repetition)
            .build()
    }

    fn write(&self, group: &mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<(), ParquetError> {
        match &self.values {
            Values::Instants(numbers) | Values::Counts(numbers) => {
                write::<Int64Type>(group, numbers, None)
            }
            Values::Texts(texts) => {
                // 1 where there is a value (https://parquet.apache.org/docs/file-format/nulls).
                let levels: Vec<i16> = texts.iter().map(|text| text.is_some().into()).collect();
                let present: Vec<ByteArray> = texts.iter().flatten().cloned().collect();
                let levels = self.is_optional.then_some(levels.as_slice());
                write::<ByteArrayType>(group, &present, levels)
            }
        }
    }
}

fn write<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let column = group.next_column()?;
    let mut column = column.ok_or_else(|| ParquetError::EOF("too many columns".to_owned()))?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::fs::File;
    use std::io::Write as _;

    use domain::meter::Amounts;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    use super::super::csv;
    use super::*;

    fn row(email: &str, plan: Option<&str>, calls: u64, tokens: Option<u64>) -> Row {
        let tokens = tokens.map(|tokens| ("tokens".to_owned(), tokens));
        Row {
            email: email.to_owned(),
            plan: plan.map(str::to_owned),
            period_start: "2026-10-31T18:30:00Z".parse().unwrap(),
            period_end: "2026-11-30T18:30:00Z".parse().unwrap(),
            total_calls: calls,
            auth_failures: 3,
            rate_limited: 2,
            units: calls * 10,
            digest: format!("sha256:{calls}"),
            meters: tokens.into_iter().collect::<Amounts>(),
        }
    }

    fn rows() -> Vec<Row> {
        vec![
            row("ann@example.com", Some("pro"), 9_007_199_254_740_993, None),
            row("bob@example.com", None, 0, Some(88_123)),
            row("zoë@example.com", Some("free"), 7, Some(1)),
        ]
    }

    fn read(bytes: &[u8]) -> SerializedFileReader<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        SerializedFileReader::new(file).unwrap()
    }

    fn text(field: &Field) -> String {
        match field {
            Field::Null => String::new(),
            Field::Str(text) => text.clone(),
            Field::Long(number) => number.to_string(),
            Field::TimestampMillis(at) => UnixMillis(*at).to_string(),
            other => format!("unexpected {other:?}"),
        }
    }

    #[test]
    fn a_file_has_the_names_and_rows_of_the_csv_form() {
        let rows = rows();
        let file = read(&file(&rows).unwrap());
        let fields = file.metadata().file_metadata().schema().get_fields();
        let names: Vec<_> = fields.iter().map(|field| field.name()).collect();
        let mut lines = vec![names.join(",")];
        for row in file.get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let cells: Vec<_> = row.get_column_iter().map(|(_, cell)| text(cell)).collect();
            lines.push(cells.join(","));
        }
        assert_eq!(lines.join("\n"), csv(&rows));
    }

    #[test]
    fn counts_are_integers_and_instants_have_a_zone() {
        let file = read(&file(&rows()).unwrap());
        let schema = file.metadata().file_metadata().schema();
        for field in schema.get_fields() {
            let logical = match field.name() {
                "email" | "plan" | "digest" => LogicalType::String,
                "periodStart" | "periodEnd" => LogicalType::timestamp(true, TimeUnit::MILLIS),
                _ => LogicalType::integer(64, true),
            };
            let info = field.get_basic_info();
            assert_eq!(info.logical_type_ref(), Some(&logical), "{}", field.name());
            assert_eq!(field.is_optional(), field.name() == "plan");
        }
    }

    #[test]
    fn a_file_has_the_same_bytes_each_time_and_names_no_version() {
        let bytes = file(&rows()).unwrap();
        assert_eq!(bytes, file(&rows()).unwrap());
        let read = read(&bytes);
        let metadata = read.metadata().file_metadata();
        assert_eq!(metadata.created_by(), Some(CREATED_BY));
        assert!(metadata.key_value_metadata().is_none());
    }

    #[test]
    fn an_export_without_users_has_its_columns() {
        let file = read(&file(&[]).unwrap());
        let metadata = file.metadata().file_metadata();
        assert_eq!(
            (metadata.num_rows(), metadata.schema().get_fields().len()),
            (0, 9)
        );
    }

    #[test]
    fn a_count_that_does_not_fit_is_refused() {
        let mut rows = rows();
        rows[1].rate_limited = u64::MAX;
        let refused = file(&rows).map_err(|error| error.to_string());
        let message = "a count of `rateLimited` does not fit into Parquet".to_owned();
        assert_eq!(refused, Err(message));
    }
}
