//! The part of DuckDB's C API that is used, as its header of 1.5 declares it.

use std::{
    ffi::{c_char, c_uint, c_void},
    path::Path,
};

use libloading::Library;

/// `duckdb_state` of what went well.
pub(super) const SUCCESS: c_uint = 0;

/// `duckdb_type`: what a column holds, and how.
pub(super) mod kind {
    pub(crate) const BOOLEAN: u32 = 1;
    pub(crate) const TINYINT: u32 = 2;
    pub(crate) const SMALLINT: u32 = 3;
    pub(crate) const INTEGER: u32 = 4;
    pub(crate) const BIGINT: u32 = 5;
    pub(crate) const UTINYINT: u32 = 6;
    pub(crate) const USMALLINT: u32 = 7;
    pub(crate) const UINTEGER: u32 = 8;
    pub(crate) const UBIGINT: u32 = 9;
    pub(crate) const FLOAT: u32 = 10;
    pub(crate) const DOUBLE: u32 = 11;
    pub(crate) const TIMESTAMP: u32 = 12;
    pub(crate) const DATE: u32 = 13;
    pub(crate) const HUGEINT: u32 = 16;
    pub(crate) const VARCHAR: u32 = 17;
    pub(crate) const DECIMAL: u32 = 19;
    pub(crate) const TIMESTAMP_S: u32 = 20;
    pub(crate) const TIMESTAMP_MS: u32 = 21;
    pub(crate) const TIMESTAMP_TZ: u32 = 31;
    pub(crate) const SQLNULL: u32 = 36;
}

/// `duckdb_statement_type`: what a statement does.
pub(super) mod statement {
    pub(crate) const SELECT: u32 = 1;
    const INSERT: u32 = 2;
    const UPDATE: u32 = 3;
    pub(crate) const EXPLAIN: u32 = 4;
    const DELETE: u32 = 5;
    pub(crate) const PREPARE: u32 = 6;
    const CREATE: u32 = 7;
    pub(crate) const EXECUTE: u32 = 8;
    const ALTER: u32 = 9;
    const TRANSACTION: u32 = 10;
    pub(crate) const COPY: u32 = 11;
    const ANALYZE: u32 = 12;
    const VARIABLE_SET: u32 = 13;
    const DROP: u32 = 15;
    pub(crate) const PRAGMA: u32 = 17;
    pub(crate) const CALL: u32 = 19;
    const SET: u32 = 20;
    pub(crate) const LOAD: u32 = 21;
    pub(crate) const ATTACH: u32 = 25;
    pub(crate) const COPY_DATABASE: u32 = 28;
    const MERGE_INTO: u32 = 30;

    /// Those that touch no file but by the tables and functions that they read from. Whatever DuckDB adds is not one of them.
    pub(crate) const INSIDE: [u32; 13] = [
        SELECT,
        INSERT,
        UPDATE,
        EXPLAIN,
        DELETE,
        CREATE,
        ALTER,
        TRANSACTION,
        ANALYZE,
        VARIABLE_SET,
        DROP,
        SET,
        MERGE_INTO,
    ];
}

/// `duckdb_result`: given by value to what reads from it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawResult {
    deprecated_column_count: u64,
    deprecated_row_count: u64,
    deprecated_rows_changed: u64,
    deprecated_columns: *mut c_void,
    deprecated_error_message: *mut c_char,
    internal_data: *mut c_void,
}

impl RawResult {
    pub(super) const NONE: Self = Self {
        deprecated_column_count: 0,
        deprecated_row_count: 0,
        deprecated_rows_changed: 0,
        deprecated_columns: std::ptr::null_mut(),
        deprecated_error_message: std::ptr::null_mut(),
        internal_data: std::ptr::null_mut(),
    };
}

/// `duckdb_string_t`: its length, then the text itself if that is at most 12 bytes, else four bytes of it and where it is.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct RawText {
    pub(super) length: u32,
    pub(super) inlined: [u8; 12],
}

/// `duckdb_hugeint`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawHugeint {
    pub(super) lower: u64,
    pub(super) upper: i64,
}

pub(super) type Pointer = *mut c_void;

macro_rules! functions {
    ($(fn $name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions, without the prefix `duckdb_` of their names. They are good for as long as this lives.
        pub(super) struct Functions {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            _library: Library,
        }

        impl Functions {
            /// Loads the library, and finds every function in it.
            pub(super) fn load(path: &Path) -> Result<Self, libloading::Error> {
                // SAFETY: loading runs what the library does when it is loaded, which is DuckDB's own business: whoever runs this
                // program says which file that is. The signatures are those of the header of 1.5, whose C API is stable.
                unsafe {
                    let library = Library::new(path)?;
                    Ok(Self {
                        $($name: *library.get(concat!("duckdb_", stringify!($name), "\0").as_bytes())?,)*
                        _library: library,
                    })
                }
            }
        }
    };
}

functions! {
    fn library_version() -> *const c_char;
    fn free(Pointer);
    fn create_config(*mut Pointer) -> c_uint;
    fn set_config(Pointer, *const c_char, *const c_char) -> c_uint;
    fn destroy_config(*mut Pointer);
    fn open_ext(*const c_char, *mut Pointer, Pointer, *mut *mut c_char) -> c_uint;
    fn close(*mut Pointer);
    fn connect(Pointer, *mut Pointer) -> c_uint;
    fn disconnect(*mut Pointer);
    fn interrupt(Pointer);
    fn extract_statements(Pointer, *const c_char, *mut Pointer) -> u64;
    fn extract_statements_error(Pointer) -> *const c_char;
    fn prepare_extracted_statement(Pointer, Pointer, u64, *mut Pointer) -> c_uint;
    fn destroy_extracted(*mut Pointer);
    fn prepare_error(Pointer) -> *const c_char;
    fn destroy_prepare(*mut Pointer);
    fn prepared_statement_type(Pointer) -> c_uint;
    fn nparams(Pointer) -> u64;
    fn parameter_name(Pointer, u64) -> *const c_char;
    fn bind_varchar_length(Pointer, u64, *const c_char, u64) -> c_uint;
    fn bind_null(Pointer, u64) -> c_uint;
    fn pending_prepared_streaming(Pointer, *mut Pointer) -> c_uint;
    fn pending_error(Pointer) -> *const c_char;
    fn execute_pending(Pointer, *mut RawResult) -> c_uint;
    fn destroy_pending(*mut Pointer);
    fn result_error(*mut RawResult) -> *const c_char;
    fn destroy_result(*mut RawResult);
    fn result_return_type(RawResult) -> c_uint;
    fn column_count(*mut RawResult) -> u64;
    fn column_name(*mut RawResult, u64) -> *const c_char;
    fn column_logical_type(*mut RawResult, u64) -> Pointer;
    fn get_type_id(Pointer) -> u32;
    fn decimal_scale(Pointer) -> u8;
    fn decimal_internal_type(Pointer) -> u32;
    fn destroy_logical_type(*mut Pointer);
    fn fetch_chunk(RawResult) -> Pointer;
    fn destroy_data_chunk(*mut Pointer);
    fn data_chunk_get_size(Pointer) -> u64;
    fn data_chunk_get_vector(Pointer, u64) -> Pointer;
    fn vector_get_data(Pointer) -> Pointer;
    fn vector_get_validity(Pointer) -> *mut u64;
}
