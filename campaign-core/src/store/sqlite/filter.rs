//! Listings with conditions that may be there or not.

use super::db::Db;
use super::fault::Outcome as Result;
use crate::store::Paging;
use crate::store::codes::unsigned;
use rusqlite::params_from_iter;
use rusqlite::types::Value;

/// The longest page.
const LONGEST: u32 = 10_000;

/// Conditions that must all hold, with their values.
#[derive(Default)]
pub(super) struct Filter {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Filter {
    /// A condition with as many `?` as there are values.
    pub(super) fn add(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.conditions.push(condition.to_owned());
        self.values.extend(values);
    }

    /// One of these; no condition when there are none.
    pub(super) fn any(&mut self, column: &str, codes: impl Iterator<Item = i64>) {
        let before = self.values.len();
        self.values.extend(codes.map(Value::from));
        let count = self.values.len() - before;
        if count > 0 {
            self.conditions.push(format!("{column} IN ({})", vec!["?"; count].join(", ")));
        }
    }

    fn clause(&self) -> String {
        if self.conditions.is_empty() { String::new() } else { format!(" WHERE {}", self.conditions.join(" AND ")) }
    }

    /// How many rows there are in all pages.
    pub(super) fn count(&self, db: &Db, table: &str) -> Result<u64> {
        let sql = format!("SELECT count(*) FROM {table}{}", self.clause());
        Ok(unsigned(db.conn.prepare_cached(&sql)?.query_row(params_from_iter(&self.values), |row| row.get(0))?)?)
    }

    /// The statement of one page, with its values.
    pub(super) fn page(mut self, columns: &str, table: &str, order: &str, paging: Paging) -> (String, Vec<Value>) {
        let sql = format!("SELECT {columns} FROM {table}{} ORDER BY {order} LIMIT ? OFFSET ?", self.clause());
        self.values.push(Value::from(i64::from(paging.limit.min(LONGEST))));
        self.values.push(Value::from(i64::try_from(paging.offset).unwrap_or(i64::MAX)));
        (sql, self.values)
    }
}
