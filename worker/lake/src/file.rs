//! Rows to a Parquet file's bytes, and back.
//!
//! The same rows are the same bytes, always: zstd at one level, row groups of one size, nothing of the clock or the machine.

use std::sync::Arc;

use bytes::Bytes;
use parquet::{
    basic::{Compression, ConvertedType, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel},
    column::{reader::ColumnReader, writer::ColumnWriter},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type},
    errors::ParquetError,
    file::{
        properties::{EnabledStatistics, WriterProperties},
        reader::{ChunkReader, FileReader as _, SerializedFileReader},
        writer::SerializedFileWriter,
    },
    schema::types::Type,
};

use crate::{
    columns::{ColumnData, RowWriter, Rows, Values},
    tables::{Column, Kind, Table},
};

/// How many rows are in a row group: what a reader holds at once of a column.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// What fits in a dictionary is one; ids, which would not, are told by their names.
const ZSTD_LEVEL: i32 = 3;

/// Why a file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is no such file, or not whole.
    #[error("parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// It has not the table's columns.
    #[error("parquet: a file of {table} has no column {column}, or not of the kind that the table says")]
    Column {
        /// Whose file it should be.
        table: &'static str,
        /// Which.
        column: &'static str,
    },
}

/// The file of these rows.
pub fn write(rows: &Rows) -> Result<Vec<u8>, FileError> {
    let mut file = FileWriter::new(rows.table())?;
    for from in (0..rows.len()).step_by(ROW_GROUP_ROWS) {
        file.write_group(rows, from, rows.len().min(from + ROW_GROUP_ROWS))?;
    }
    file.finish()
}

/// A file that is written row by row. Holds the rows of one row group, and the bytes of those before.
pub struct FileWriter {
    writer: SerializedFileWriter<Vec<u8>>,
    pending: Rows,
    group_rows: usize,
}

impl FileWriter {
    /// A file without a row.
    pub fn new(table: &'static Table) -> Result<Self, FileError> {
        Self::with_groups_of(table, ROW_GROUP_ROWS)
    }

    /// A file that is read again in pieces of `group_rows`.
    pub(crate) fn with_groups_of(table: &'static Table, group_rows: usize) -> Result<Self, FileError> {
        let writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema(table)?), Arc::new(properties(table)?))?;
        Ok(Self { writer, pending: Rows::new(table), group_rows })
    }

    /// Begins a row.
    pub fn row(&mut self) -> Result<RowWriter<'_>, FileError> {
        if self.pending.len() == self.group_rows {
            self.flush()?;
        }
        Ok(self.pending.row())
    }

    /// The file.
    pub fn finish(mut self) -> Result<Vec<u8>, FileError> {
        if !self.pending.is_empty() {
            self.flush()?;
        }
        Ok(self.writer.into_inner()?)
    }

    fn flush(&mut self) -> Result<(), FileError> {
        let empty = Rows::new(self.pending.table());
        let rows = std::mem::replace(&mut self.pending, empty);
        self.write_group(&rows, 0, rows.len())
    }

    fn write_group(&mut self, rows: &Rows, from: usize, until: usize) -> Result<(), FileError> {
        let mut group = self.writer.next_row_group()?;
        for column in rows.columns() {
            let Some(mut chunk) = group.next_column()? else { break };
            write_chunk(chunk.untyped(), column, from, until)?;
            chunk.close()?;
        }
        group.close()?;
        Ok(())
    }
}

/// The rows of a file. Columns that were added to the table since are null.
pub fn read(table: &'static Table, file: impl ChunkReader + 'static) -> Result<Rows, FileError> {
    let mut rows = Rows::new(table);
    for group in FileGroups::open(table, file)? {
        rows.append(&group?);
    }
    Ok(rows)
}

/// The rows of a file, row group by row group.
pub struct FileGroups<R: ChunkReader> {
    table: &'static Table,
    reader: SerializedFileReader<R>,
    /// Where in the file each of the table's columns is.
    places: Vec<Option<usize>>,
    next: usize,
}

impl<R: ChunkReader + 'static> FileGroups<R> {
    /// Of this file.
    pub fn open(table: &'static Table, file: R) -> Result<Self, FileError> {
        let reader = SerializedFileReader::new(file)?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let place = |column: &Column| schema.columns().iter().position(|one| one.name() == column.name);
        Ok(Self { table, places: table.columns.iter().map(place).collect(), reader, next: 0 })
    }

    fn group(&self, index: usize) -> Result<Rows, FileError> {
        let group = self.reader.get_row_group(index)?;
        let count = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
        let mut columns = Vec::with_capacity(self.places.len());
        for (column, place) in self.table.columns.iter().zip(&self.places) {
            let fault = FileError::Column { table: self.table.name, column: column.name };
            let mut data = ColumnData::new(column.kind, column.nullable);
            match place {
                Some(place) => read_chunk(group.get_column_reader(*place)?, &mut data, count)
                    .map_err(|error| error.unwrap_or(fault))?,
                None if column.nullable => append_nulls(&mut data, count),
                None => return Err(fault),
            }
            columns.push(data);
        }
        Ok(Rows::of(self.table, columns, count))
    }
}

impl<R: ChunkReader + 'static> Iterator for FileGroups<R> {
    type Item = Result<Rows, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        (index < self.reader.metadata().num_row_groups()).then(|| {
            self.next += 1;
            self.group(index)
        })
    }
}

fn schema(table: &Table) -> Result<Type, ParquetError> {
    let fields =
        table.columns.iter().map(|column| Ok(Arc::new(field(column)?))).collect::<Result<_, ParquetError>>()?;
    Type::group_type_builder(table.name).with_fields(fields).build()
}

fn field(column: &Column) -> Result<Type, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Int => (Physical::INT64, None),
        Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
        Kind::Bool => (Physical::BOOLEAN, None),
    };
    let repetition = if column.nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    Type::primitive_type_builder(column.name, physical)
        .with_logical_type(logical)
        .with_converted_type(ConvertedType::NONE)
        .with_repetition(repetition)
        .build()
}

/// Ids that sort by time share their beginnings, and times and numbers little beside: the first are written as differences of
/// texts, the others by dictionaries where those are small.
fn properties(table: &Table) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_created_by("slotkeeper".into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    for column in table.columns {
        let path = parquet::schema::types::ColumnPath::from(column.name);
        if column.name == "opportunity_id" {
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BYTE_ARRAY);
        } else if column.kind == Kind::Time {
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    Ok(properties.build())
}

fn write_chunk(
    writer: &mut ColumnWriter<'_>,
    column: &ColumnData,
    from: usize,
    until: usize,
) -> Result<(), ParquetError> {
    let levels: Option<Vec<i16>> =
        column.present.as_ref().map(|present| present[from..until].iter().map(|is| i16::from(*is)).collect());
    let levels = levels.as_deref();
    let present = (from..until).filter(|index| column.is_present(*index));
    match (writer, &column.values) {
        (ColumnWriter::ByteArrayColumnWriter(writer), Values::Text { bytes, ends }) => {
            let begin_of = |index: usize| index.checked_sub(1).map_or(0, |before| ends[before]);
            let first = begin_of(from);
            let all = Bytes::copy_from_slice(&bytes[first..begin_of(until)]); // once, not for every text
            let text = |index| ByteArray::from(all.slice(begin_of(index) - first..ends[index] - first));
            let texts: Vec<ByteArray> = present.map(text).collect();
            writer.write_batch(&texts, levels, None)?;
        }
        (ColumnWriter::Int64ColumnWriter(writer), Values::Int(values)) => {
            let values: Vec<i64> = present.map(|index| values[index]).collect();
            writer.write_batch(&values, levels, None)?;
        }
        (ColumnWriter::BoolColumnWriter(writer), Values::Bool(values)) => {
            let values: Vec<bool> = present.map(|index| values[index]).collect();
            writer.write_batch(&values, levels, None)?;
        }
        _ => return Err(ParquetError::General("a column's values are not of its kind".into())),
    }
    Ok(())
}

/// Appends `count` rows. An error of `None` is a column of another kind.
fn read_chunk(reader: ColumnReader, data: &mut ColumnData, count: usize) -> Result<(), Option<FileError>> {
    match (reader, &mut data.values) {
        (ColumnReader::ByteArrayColumnReader(reader), Values::Text { bytes, ends }) => {
            let add = |value: Option<&ByteArray>| {
                bytes.extend_from_slice(value.map(ByteArray::data).unwrap_or_default());
                ends.push(bytes.len());
            };
            read_values::<ByteArrayType>(reader, data.present.as_mut(), count, add)
        }
        (ColumnReader::Int64ColumnReader(reader), Values::Int(values)) => {
            let add = |value: Option<&i64>| values.push(value.copied().unwrap_or_default());
            read_values::<Int64Type>(reader, data.present.as_mut(), count, add)
        }
        (ColumnReader::BoolColumnReader(reader), Values::Bool(values)) => {
            let add = |value: Option<&bool>| values.push(value.copied().unwrap_or_default());
            read_values::<BoolType>(reader, data.present.as_mut(), count, add)
        }
        _ => Err(None),
    }
}

fn read_values<T: DataType>(
    mut reader: parquet::column::reader::ColumnReaderImpl<T>,
    mut present: Option<&mut Vec<bool>>,
    count: usize,
    mut add: impl FnMut(Option<&T::T>),
) -> Result<(), Option<FileError>> {
    let (mut values, mut levels) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (read, _, _) =
        reader.read_records(count, Some(&mut levels), None, &mut values).map_err(|error| Some(error.into()))?;
    if read != count {
        return Err(Some(ParquetError::EOF(format!("{read} of {count} rows of a column")).into()));
    }
    // Without levels nothing is null: the column is required in the file.
    let mut values = values.iter();
    for row in 0..count {
        let is_present = levels.get(row).is_none_or(|level| *level > 0);
        if let Some(present) = present.as_deref_mut() {
            present.push(is_present);
        } else if !is_present {
            return Err(None);
        }
        add(if is_present { values.next() } else { None });
    }
    Ok(())
}

fn append_nulls(data: &mut ColumnData, count: usize) {
    if let Some(present) = &mut data.present {
        present.extend(std::iter::repeat_n(false, count));
    }
    match &mut data.values {
        Values::Text { bytes, ends } => ends.extend(std::iter::repeat_n(bytes.len(), count)),
        Values::Int(values) => values.extend(std::iter::repeat_n(0, count)),
        Values::Bool(values) => values.extend(std::iter::repeat_n(false, count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table {
        name: "test",
        about: "a test",
        columns: &[
            Column { name: "opportunity_id", kind: Kind::Text, nullable: false, about: "" },
            Column { name: "at", kind: Kind::Time, nullable: true, about: "" },
            Column { name: "reason", kind: Kind::Text, nullable: true, about: "" },
            Column { name: "micros", kind: Kind::Int, nullable: false, about: "" },
            Column { name: "passed", kind: Kind::Bool, nullable: false, about: "" },
        ],
    };
    const TABLE_LATER: Table = Table {
        columns: &[
            Column { name: "micros", kind: Kind::Int, nullable: false, about: "" },
            Column { name: "added", kind: Kind::Text, nullable: true, about: "" },
        ],
        ..TABLE
    };

    fn rows(count: usize) -> Rows {
        let mut rows = Rows::new(&TABLE);
        for index in 0..count {
            let reason = (index % 3 == 0).then_some("because");
            rows.row()
                .text(&format!("0190-{index:08}"))
                .int_or_null((index % 2 == 0).then_some(index))
                .text_or_null(reason)
                .int(i64::MIN + i64::try_from(index).unwrap())
                .bool(index % 5 == 0);
        }
        rows
    }

    #[test]
    fn what_is_written_is_read_also_over_many_row_groups() {
        for count in [0, 1, 7, ROW_GROUP_ROWS + 1] {
            let rows = rows(count);
            let bytes = write(&rows).unwrap();
            assert_eq!(bytes, write(&rows).unwrap(), "the same rows are the same bytes");
            let read = read(&TABLE, bytes::Bytes::from(bytes)).unwrap();
            assert_eq!(read.len(), count);
            assert_eq!(read.columns(), rows.columns());
        }
    }

    #[test]
    fn a_column_that_was_added_is_null_in_files_of_before() {
        let bytes = bytes::Bytes::from(write(&rows(3)).unwrap());
        let read = read(&TABLE_LATER, bytes).unwrap();
        assert_eq!((read.len(), read.column("added").text(2)), (3, None));
        assert_eq!(read.column("micros").int(2), Some(i64::MIN + 2));
    }

    #[test]
    fn a_file_without_a_column_that_must_be_or_that_is_cut_short_is_refused() {
        let rows = Rows::new(&TABLE_LATER);
        assert!(read(&TABLE, bytes::Bytes::from(write(&rows).unwrap())).is_ok(), "no row lacks anything");
        let mut rows = rows;
        rows.row().int(1).text_or_null(None);
        let error = read(&TABLE, bytes::Bytes::from(write(&rows).unwrap())).unwrap_err();
        assert!(error.to_string().contains("opportunity_id"), "{error}");
        let mut cut = write(&rows).unwrap();
        cut.truncate(cut.len() - 9);
        assert!(read(&TABLE_LATER, bytes::Bytes::from(cut)).is_err());
    }
}
