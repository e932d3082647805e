//! Reading the tables of a lake, while another process may advance it.

use crate::{
    columns::Rows,
    error::LakeError,
    file,
    hour::Hour,
    store::{Files, PART, Place, name_in},
    tables::Table,
};

/// The derived tables of a lake.
pub struct LakeReader {
    files: Files,
}

impl LakeReader {
    /// Of a place.
    pub fn open(place: impl Into<Place>) -> Result<Self, LakeError> {
        Ok(Self { files: Files::at(place)? })
    }

    /// The rows of a derived table's hour.
    pub fn rows(&self, table: &'static Table, hour: Hour) -> Result<Rows, LakeError> {
        let name = name_in(table, hour, PART);
        let bytes = self.files.get(&name)?;
        file::read(table, bytes).map_err(LakeError::file(&name))
    }
}
