//! What SQLite itself can do: one claim batch and one complete batch, fully durable, without anything around it.

use rusqlite::{Connection, params};
use std::time::Instant;

/// In which order contacts are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// As they lie in the file, as after an import.
    InFileOrder,
    /// Anyhow, as after retries: every claim touches pages all over the table.
    InAnyOrder,
}

/// Claims and completes this many contacts in batches of 500 and returns contacts per second. The table has a unique key and JSON
/// variables, as a contact has; every batch is two transactions with `synchronous=FULL`.
pub fn raw(contacts: usize, due: Due) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let mut db = Connection::open(directory.path().join("floor.db")).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    db.pragma_update(None, "wal_autocheckpoint", 16_384).unwrap();
    db.execute_batch(
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, campaign INTEGER NOT NULL, phone TEXT NOT NULL, variables TEXT NOT NULL,
             status INTEGER NOT NULL, due_at INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, UNIQUE (campaign, phone));
         CREATE INDEX due ON contacts (campaign, due_at) WHERE status = 0;",
    )
    .unwrap();
    let load = db.transaction().unwrap();
    {
        let mut insert =
            load.prepare("INSERT INTO contacts (campaign, phone, variables, status, due_at) VALUES (1, ?1, ?2, 0, ?3)").unwrap();
        for number in 0..contacts {
            let phone = format!("+1{:010}", 2_000_000_000 + number);
            let due_at = match due {
                Due::InFileOrder => number,
                // A multiplicative walk over the numbers below a prime: no two alike, no neighbours near.
                Due::InAnyOrder => number.wrapping_mul(2_654_435_761) % 4_294_967_291,
            };
            insert.execute(params![phone, r#"{"appointment_date":"February 15th","plan":"gold"}"#, due_at as i64]).unwrap();
        }
    }
    load.commit().unwrap();
    let begin = Instant::now();
    let mut done = 0;
    while done < contacts {
        let claim = db.transaction().unwrap();
        let ids: Vec<i64> = {
            let mut update = claim
                .prepare_cached(
                    "UPDATE contacts SET status = 1, attempts = attempts + 1 WHERE id IN
                         (SELECT id FROM contacts WHERE campaign = 1 AND status = 0 ORDER BY due_at LIMIT 500) RETURNING id",
                )
                .unwrap();
            update.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        claim.commit().unwrap();
        let complete = db.transaction().unwrap();
        {
            let mut update = complete.prepare_cached("UPDATE contacts SET status = 2 WHERE id = ?1").unwrap();
            for id in &ids {
                update.execute([id]).unwrap();
            }
        }
        complete.commit().unwrap();
        done += ids.len();
    }
    contacts as f64 / begin.elapsed().as_secs_f64()
}
