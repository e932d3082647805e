//! SQL over the lake, by DuckDB in this process.
