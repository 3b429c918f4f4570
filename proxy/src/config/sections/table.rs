//! `[table.NAME]`: tables for plugins.

use std::ops::RangeInclusive;

use super::{Reader, check_name};
use crate::config::hints::Section;
use crate::config::reader::Entry;
use crate::config::{DEFAULT_TABLE_SIZE, Table, TableFormat, TableValues};

/// Size of a table's file. The whole file is in memory while it is read.
const FILE_SIZE: RangeInclusive<u64> = 1024..=1 << 30;

const VALUES: [(&str, TableValues); 2] = [
    ("any", TableValues::Any),
    ("backends", TableValues::Backends),
];

impl<'a> Reader<'a> {
    pub(super) fn table(&self, entry: &Entry<'a>) -> Option<Table> {
        let mut table = entry.table(Section::Table)?;
        check_name(entry, "table");
        let file = table.require("file", "`file = \"tenants.csv\"`");
        let values = table.value_or("values", TableValues::default(), |e| e.choice(&VALUES));
        let file_size = table.value_or("file_size", DEFAULT_TABLE_SIZE, |e| e.size(FILE_SIZE));
        table.finish();
        let file = file?;
        let path = self.path(&file)?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        let format = match extension {
            Some("csv") => TableFormat::Csv,
            Some("json") => TableFormat::Json,
            _ => {
                let help = "as in `\"tenants.csv\"`";
                file.refuse("must end in `.csv` or `.json`", "neither of these", help);
                return None;
            }
        };
        Some(Table {
            name: entry.name.to_owned(),
            file: path,
            format,
            values,
            file_size,
        })
    }
}
