//! Listings with conditions that may be there or not.

use super::fault::Outcome as Result;
use super::tx::{Param, Tx, Typed};
use crate::store::Paging;
use crate::store::codes::unsigned;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

/// The longest page.
const LONGEST: u32 = 10_000;

/// Conditions that must all hold, with their values.
#[derive(Default)]
pub(super) struct Filter {
    conditions: Vec<String>,
    values: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Filter {
    /// A condition in which every `?` stands for the value.
    pub(super) fn add(&mut self, condition: &str, value: impl ToSql + Typed + Sync + Send + 'static) {
        let place = self.value(value);
        self.conditions.push(condition.replace('?', &place));
    }

    /// A condition without a value.
    pub(super) fn must(&mut self, condition: impl Into<String>) {
        self.conditions.push(condition.into());
    }

    /// One of these; no condition when there are none.
    pub(super) fn any(&mut self, column: &str, codes: impl Iterator<Item = i64>) {
        let codes: Vec<i16> = codes.map(|code| code as i16).collect();
        if !codes.is_empty() {
            self.add(&format!("{column} = ANY (?)"), codes);
        }
    }

    /// Keeps a value and returns how a statement names it.
    pub(super) fn value(&mut self, value: impl ToSql + Typed + Sync + Send + 'static) -> String {
        let kind = value.sql_type();
        self.values.push((Box::new(value), kind));
        format!("${}", self.values.len())
    }

    fn clause(&self) -> String {
        if self.conditions.is_empty() { String::new() } else { format!(" WHERE {}", self.conditions.join(" AND ")) }
    }

    fn params(&self) -> Vec<Param<'_>> {
        self.values.iter().map(|(value, kind)| (value.as_ref() as &(dyn ToSql + Sync), kind.clone())).collect()
    }

    /// How many rows there are in all pages.
    pub(super) async fn count(&self, tx: &Tx, from: &str) -> Result<u64> {
        let row = tx.query_one(&format!("SELECT count(*) FROM {from}{}", self.clause()), &self.params()).await?;
        Ok(unsigned(row.try_get(0)?)?)
    }

    /// The rows of one page.
    pub(super) async fn page(&mut self, tx: &Tx, columns: &str, from: &str, order: &str, paging: Paging) -> Result<Vec<Row>> {
        let clause = self.clause();
        let limit = self.value(i64::from(paging.limit.min(LONGEST)));
        let offset = self.value(i64::try_from(paging.offset).unwrap_or(i64::MAX));
        let sql = format!("SELECT {columns} FROM {from}{clause} ORDER BY {order} LIMIT {limit} OFFSET {offset}");
        tx.query(&sql, &self.params()).await
    }
}
