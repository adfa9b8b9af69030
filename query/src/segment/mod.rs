//! Reading segments below the engine: footers that are parsed once, bounds of pages, single pages.
//!
//! Reading order: `file` (bytes at a place), `footer` (what a file says of itself, kept in memory),
//! `index` (its page index, decoded in parts), `pages` (bounds of pages of rows), `chunk` (pages of a row group), `dictionary` (its values), `lookup` (rows of given ids).

mod chunk;
mod dictionary;
mod file;
mod footer;
mod index;
mod lookup;
mod pages;

pub(crate) use dictionary::values;
pub(crate) use file::Positioned;
pub(crate) use footer::{Footer, Footers};
pub(crate) use lookup::{
    Extent, IdPage, each_batch, pages_of_extent, pages_of_ids, pages_with_bounds, pages_within,
    rows_of_ids,
};
pub(crate) use pages::{Known, Page, always_holds, is_null, joined, may_hold, pages};
