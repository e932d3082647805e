//! A made-up month of ad breaks, with the truth beside it.
