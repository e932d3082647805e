//! Rows in memory, column by column: what a file is written from and read into.

use crate::tables::{Kind, Table};

/// The values of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Of [`Kind::Text`]: all texts, one after the other, and where each ends. A null ends where it begins.
    Text {
        /// The texts.
        bytes: Vec<u8>,
        /// Where each ends.
        ends: Vec<usize>,
    },
    /// Of [`Kind::Int`] and [`Kind::Time`]. A null is 0.
    Int(Vec<i64>),
    /// Of [`Kind::Bool`]. A null is false.
    Bool(Vec<bool>),
}

/// A column: its values and, where it may hold nothing, which of them are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnData {
    /// The values.
    pub values: Values,
    /// Of a nullable column, for each row whether there is a value; of others nothing.
    pub present: Option<Vec<bool>>,
}

/// Some rows of a table.
#[derive(Clone, Debug)]
pub struct Rows {
    table: &'static Table,
    columns: Vec<ColumnData>,
    len: usize,
}

impl Rows {
    /// No rows.
    #[must_use]
    pub fn new(table: &'static Table) -> Self {
        let columns = table.columns.iter().map(|column| ColumnData::new(column.kind, column.nullable)).collect();
        Self { table, columns, len: 0 }
    }

    /// Of what was read. All columns have as many values as there are rows.
    pub(crate) fn of(table: &'static Table, columns: Vec<ColumnData>, len: usize) -> Self {
        debug_assert!(columns.iter().all(|column| column.len() == len));
        Self { table, columns, len }
    }

    /// Whose rows they are.
    #[must_use]
    pub fn table(&self) -> &'static Table {
        self.table
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The columns, in the table's order.
    #[must_use]
    pub fn columns(&self) -> &[ColumnData] {
        &self.columns
    }

    /// The column of this name.
    ///
    /// # Panics
    ///
    /// If the table has none.
    #[must_use]
    pub fn column(&self, name: &str) -> &ColumnData {
        let place = self.table.column(name);
        &self.columns[place.unwrap_or_else(|| panic!("{} has no column {name}", self.table.name))]
    }

    /// Begins a row: every column is to be given a value, in the table's order.
    pub fn row(&mut self) -> RowWriter<'_> {
        self.len += 1;
        RowWriter { rows: self, next: 0 }
    }

    /// Appends rows of the same table.
    pub fn append(&mut self, other: &Self) {
        debug_assert_eq!(self.table.name, other.table.name);
        self.columns.iter_mut().zip(&other.columns).for_each(|(column, more)| column.append(more));
        self.len += other.len;
    }

    /// The rows of which `keep` says so.
    #[must_use]
    pub fn filtered(&self, keep: &[bool]) -> Self {
        let mut kept = Self::new(self.table);
        for index in (0..self.len).filter(|index| keep[*index]) {
            let mut row = kept.row();
            for column in &self.columns {
                row.copy(column, index);
            }
        }
        kept
    }

    /// About how many bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(ColumnData::bytes).sum()
    }
}

/// One row as it is written, from its first column to its last. A missing or superfluous value, one of another kind, and a null
/// where none may be are faults of the program: they panic.
pub struct RowWriter<'a> {
    rows: &'a mut Rows,
    next: usize,
}

impl RowWriter<'_> {
    /// A text.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.text_or_null(Some(value))
    }

    /// A text or nothing.
    pub fn text_or_null(&mut self, value: Option<&str>) -> &mut Self {
        let column = self.next(value.is_some());
        let Values::Text { bytes, ends } = &mut column.values else { panic!("a text, in a column of another kind") };
        bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
        ends.push(bytes.len());
        self
    }

    /// A number or a time.
    pub fn int(&mut self, value: impl TryInto<i64>) -> &mut Self {
        self.int_or_null(Some(value))
    }

    /// A number or a time, or nothing.
    pub fn int_or_null(&mut self, value: Option<impl TryInto<i64>>) -> &mut Self {
        let value = value.map(|value| value.try_into().unwrap_or_else(|_| panic!("a number beyond 63 bits")));
        let column = self.next(value.is_some());
        let Values::Int(values) = &mut column.values else { panic!("a number, in a column of another kind") };
        values.push(value.unwrap_or_default());
        self
    }

    /// True or false.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        let column = self.next(true);
        let Values::Bool(values) = &mut column.values else { panic!("true or false, in a column of another kind") };
        values.push(value);
        self
    }

    /// What row `index` of another column holds.
    pub fn copy(&mut self, from: &ColumnData, index: usize) -> &mut Self {
        match &from.values {
            Values::Text { .. } => self.text_or_null(from.text(index)),
            Values::Int(_) => self.int_or_null(from.int(index)),
            Values::Bool(values) => self.bool(values[index]),
        }
    }

    /// The next column, with its presence noted.
    fn next(&mut self, is_present: bool) -> &mut ColumnData {
        let column = &mut self.rows.columns[self.next];
        self.next += 1;
        match &mut column.present {
            Some(present) => present.push(is_present),
            None => assert!(is_present, "{}: no value", self.rows.table.columns[self.next - 1].name),
        }
        column
    }
}

impl Drop for RowWriter<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.next, self.rows.columns.len(), "a row of {} with values missing", self.rows.table.name);
        }
    }
}

impl ColumnData {
    /// Without a row.
    pub(crate) fn new(kind: Kind, nullable: bool) -> Self {
        let values = match kind {
            Kind::Text => Values::Text { bytes: Vec::new(), ends: Vec::new() },
            Kind::Int | Kind::Time => Values::Int(Vec::new()),
            Kind::Bool => Values::Bool(Vec::new()),
        };
        Self { values, present: nullable.then(Vec::new) }
    }

    /// Whether row `index` holds a value.
    #[must_use]
    pub fn is_present(&self, index: usize) -> bool {
        self.present.as_ref().is_none_or(|present| present[index])
    }

    /// The text of row `index`, if it holds one.
    #[must_use]
    pub fn text(&self, index: usize) -> Option<&str> {
        let Values::Text { bytes, ends } = &self.values else { return None };
        if !self.is_present(index) {
            return None;
        }
        let begin = index.checked_sub(1).map_or(0, |before| ends[before]);
        std::str::from_utf8(&bytes[begin..ends[index]]).ok()
    }

    /// The number or time of row `index`, if it holds one.
    #[must_use]
    pub fn int(&self, index: usize) -> Option<i64> {
        let Values::Int(values) = &self.values else { return None };
        self.is_present(index).then(|| values[index])
    }

    /// What row `index` holds of true and false.
    #[must_use]
    pub fn bool(&self, index: usize) -> Option<bool> {
        let Values::Bool(values) = &self.values else { return None };
        self.is_present(index).then(|| values[index])
    }

    fn append(&mut self, other: &Self) {
        match (&mut self.values, &other.values) {
            (Values::Text { bytes, ends }, Values::Text { bytes: more, ends: more_ends }) => {
                let begin = bytes.len();
                bytes.extend_from_slice(more);
                ends.extend(more_ends.iter().map(|end| begin + end));
            }
            (Values::Int(values), Values::Int(more)) => values.extend_from_slice(more),
            (Values::Bool(values), Values::Bool(more)) => values.extend_from_slice(more),
            _ => panic!("columns of different kinds"),
        }
        if let (Some(present), Some(more)) = (&mut self.present, &other.present) {
            present.extend_from_slice(more);
        }
    }

    fn len(&self) -> usize {
        match &self.values {
            Values::Text { ends, .. } => ends.len(),
            Values::Int(values) => values.len(),
            Values::Bool(values) => values.len(),
        }
    }

    fn bytes(&self) -> usize {
        let present = self.present.as_ref().map_or(0, Vec::len);
        present
            + match &self.values {
                Values::Text { bytes, ends } => bytes.len() + ends.len() * size_of::<usize>(),
                Values::Int(values) => values.len() * size_of::<i64>(),
                Values::Bool(values) => values.len(),
            }
    }
}
