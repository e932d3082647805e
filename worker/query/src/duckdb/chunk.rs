//! Values, from where DuckDB has put them.

use super::{
    ffi::{Functions, Pointer, RawHugeint, RawResult, RawText, kind},
    text,
};
use crate::value::Value;

/// A column of an answer.
pub(super) struct Column {
    pub(super) name: String,
    kind: u32,
    /// Of a decimal: how it lies, and how many digits are behind its point.
    decimal: Option<(u32, u8)>,
}

impl Column {
    /// Whether [`Chunk::row`] knows its type.
    pub(super) fn is_read(&self) -> bool {
        matches!(
            self.kind,
            kind::BOOLEAN
                ..=kind::DATE
                    | kind::HUGEINT
                    | kind::VARCHAR
                    | kind::DECIMAL
                    | kind::TIMESTAMP_S
                    | kind::TIMESTAMP_MS
                    | kind::TIMESTAMP_TZ
                    | kind::SQLNULL
        )
    }
}

/// The columns of an answer.
pub(super) fn columns(functions: &Functions, result: &mut RawResult) -> Vec<Column> {
    // SAFETY: the result is one that was executed; it has as many columns as it says; a type is destroyed once.
    unsafe {
        let count = (functions.column_count)(result);
        let column = |index| {
            let mut logical = (functions.column_logical_type)(result, index);
            let kind = (functions.get_type_id)(logical);
            let decimal = (kind == kind::DECIMAL)
                .then(|| ((functions.decimal_internal_type)(logical), (functions.decimal_scale)(logical)));
            (functions.destroy_logical_type)(&raw mut logical);
            Column { name: text((functions.column_name)(result, index)), kind, decimal }
        };
        (0..count).map(column).collect()
    }
}

/// Some rows of an answer.
pub(super) struct Chunk<'a> {
    functions: &'a Functions,
    handle: Pointer,
    vectors: Vec<Vector>,
    len: usize,
}

/// Where a column's values lie, and which are there.
struct Vector {
    data: *const u8,
    /// A bit for each row; null if all are there.
    validity: *const u64,
}

impl<'a> Chunk<'a> {
    /// The next rows; none after the last, or after an error.
    pub(super) fn fetch(functions: &'a Functions, mut result: RawResult) -> Option<Self> {
        // SAFETY: the result is one that was executed. The vectors and what they point to live as long as the chunk, which is
        // destroyed when this is dropped.
        unsafe {
            let chunk = (functions.fetch_chunk)(result);
            if chunk.is_null() {
                return None;
            }
            let mut fetched = Self { functions, handle: chunk, vectors: Vec::new(), len: 0 };
            fetched.len = usize::try_from((functions.data_chunk_get_size)(chunk)).unwrap_or_default();
            for index in 0..(functions.column_count)(&raw mut result) {
                let vector = (functions.data_chunk_get_vector)(chunk, index);
                let data = (functions.vector_get_data)(vector).cast_const().cast();
                fetched.vectors.push(Vector { data, validity: (functions.vector_get_validity)(vector) });
            }
            (fetched.len > 0).then_some(fetched)
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The values of a row, which is one of these.
    pub(super) fn row(&self, columns: &[Column], row: usize) -> Vec<Value> {
        assert!(row < self.len && columns.len() == self.vectors.len());
        self.vectors.iter().zip(columns).map(|(vector, column)| vector.value(column, row)).collect()
    }
}

impl Drop for Chunk<'_> {
    fn drop(&mut self) {
        // SAFETY: it is what was fetched.
        unsafe { (self.functions.destroy_data_chunk)(&raw mut self.handle) }
    }
}

impl Vector {
    fn value(&self, column: &Column, row: usize) -> Value {
        if column.kind == kind::SQLNULL || !self.is_there(row) {
            return Value::Null;
        }
        // SAFETY: the row is one of the chunk, whose vector holds a value of this very type for each, as the header says.
        unsafe {
            match column.kind {
                kind::BOOLEAN => Value::Bool(self.at::<u8>(row) != 0),
                kind::FLOAT => Value::Double(self.at::<f32>(row).into()),
                kind::DOUBLE => Value::Double(self.at::<f64>(row)),
                kind::VARCHAR => Value::Text(self.text(row)),
                kind::DATE => Value::Date(self.at::<i32>(row)),
                kind::TIMESTAMP => Value::Timestamp { micros: self.at(row), is_utc: false },
                kind::TIMESTAMP_TZ => Value::Timestamp { micros: self.at(row), is_utc: true },
                kind::TIMESTAMP_S => {
                    Value::Timestamp { micros: self.at::<i64>(row).saturating_mul(1_000_000), is_utc: false }
                }
                kind::TIMESTAMP_MS => {
                    Value::Timestamp { micros: self.at::<i64>(row).saturating_mul(1_000), is_utc: false }
                }
                _ => match column.decimal {
                    Some((physical, scale)) => Value::Decimal { unscaled: self.integer(physical, row), scale },
                    None => Value::Int(self.integer(column.kind, row)),
                },
            }
        }
    }

    fn is_there(&self, row: usize) -> bool {
        if self.validity.is_null() {
            return true;
        }
        // SAFETY: there is a bit for each row of the chunk.
        let bits = unsafe { self.validity.add(row / 64).read() };
        bits >> (row % 64) & 1 == 1
    }

    /// # Safety
    ///
    /// The vector holds values of this type, more than `row` of them.
    unsafe fn at<T: Copy>(&self, row: usize) -> T {
        // SAFETY: see above; DuckDB aligns vectors for what they hold, which is not relied on.
        unsafe { self.data.cast::<T>().add(row).read_unaligned() }
    }

    /// # Safety
    ///
    /// The vector holds whole numbers of this kind, more than `row` of them.
    unsafe fn integer(&self, kind: u32, row: usize) -> i128 {
        // SAFETY: see above.
        unsafe {
            match kind {
                kind::TINYINT => self.at::<i8>(row).into(),
                kind::SMALLINT => self.at::<i16>(row).into(),
                kind::INTEGER => self.at::<i32>(row).into(),
                kind::BIGINT => self.at::<i64>(row).into(),
                kind::UTINYINT => self.at::<u8>(row).into(),
                kind::USMALLINT => self.at::<u16>(row).into(),
                kind::UINTEGER => self.at::<u32>(row).into(),
                kind::UBIGINT => self.at::<u64>(row).into(),
                _ => {
                    let RawHugeint { lower, upper } = self.at(row);
                    i128::from(upper) << 64 | i128::from(lower)
                }
            }
        }
    }

    /// # Safety
    ///
    /// The vector holds texts, more than `row` of them.
    unsafe fn text(&self, row: usize) -> String {
        // SAFETY: see above. A text of more than 12 bytes is where its last 8 bytes say, for as long as the chunk lives.
        let bytes = unsafe {
            let RawText { length, inlined } = self.at(row);
            let length = length as usize;
            if let Some(text) = inlined.get(..length) {
                text.to_vec()
            } else {
                let [_, _, _, _, pointer @ ..] = inlined;
                let pointer = std::ptr::with_exposed_provenance(usize::from_ne_bytes(pointer));
                std::slice::from_raw_parts(pointer, length).to_vec()
            }
        };
        String::from_utf8(bytes).unwrap_or_else(|odd| String::from_utf8_lossy(odd.as_bytes()).into_owned())
    }
}
