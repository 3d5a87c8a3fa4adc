//! What PostgreSQL itself can do: one claim batch and one settle batch on the store's own tables, set based, each one durable transaction,
//! without anything around them: no gates, no pacing, no outcomes of different kinds, no events, no repetition of lost answers.

use campaign_core::id::CampaignId;
use std::time::Instant;
use tokio_postgres::Client;

/// Claims and settles every pending contact of a campaign in batches, and returns contacts per second.
pub async fn rate(client: &Client, schema: &str, campaign: CampaignId, batch: i64) -> f64 {
    client.batch_execute(&format!("SET search_path = {schema}; INSERT INTO ledgers (scope) VALUES ('raw')")).await.unwrap();
    let claim = client
        .prepare(
            "WITH due AS MATERIALIZED (
                SELECT q.owner, q.zone_id, q.due_at, q.contact_id FROM queue q JOIN contacts c ON c.id = q.contact_id
                WHERE q.owner = $1 ORDER BY q.owner, q.zone_id, q.due_at, q.contact_id LIMIT $2 FOR UPDATE OF q, c SKIP LOCKED
             ), gone AS (
                DELETE FROM queue q USING due d
                WHERE (q.owner, q.zone_id, q.due_at, q.contact_id) = (d.owner, d.zone_id, d.due_at, d.contact_id)
             ), taken AS (
                UPDATE contacts c SET status = 1, version = version + 1 FROM due d WHERE c.id = d.contact_id
                RETURNING c.id, c.phone, c.name, c.company, c.variables, c.attempts
             ), intents AS (
                INSERT INTO open_attempts (id, campaign_id, contact_id, run, number, step, channel, spec_version, state, node_id, epoch,
                    claimed_at, start_at, not_after, reserved)
                SELECT nextval('attempt_ids'), $1, id, 1, attempts + 1, 0, 0, 1, 0, 1, 1, now(), now(), now(), 0 FROM taken
                RETURNING id, contact_id
             )
             SELECT i.id, t.phone, t.name, t.company, t.variables FROM intents i JOIN taken t ON t.id = i.contact_id",
        )
        .await
        .unwrap();
    let settle = client
        .prepare(
            "WITH ended AS (
                DELETE FROM open_attempts WHERE id = ANY ($1) RETURNING *
             ), kept AS (
                INSERT INTO attempts (id, campaign_id, contact_id, run, number, step, channel, spec_version, state, node_id, epoch, claimed_at,
                    start_at, not_after, reserved, started_at, finished_at, disposition, duration_seconds, charged)
                SELECT id, campaign_id, contact_id, run, number, step, channel, spec_version, 2, node_id, epoch, claimed_at, start_at,
                    not_after, reserved, now(), now(), 0, 0, 0 FROM ended ORDER BY id
             )
             UPDATE contacts c SET status = 2, attempts = c.attempts + 1, last_disposition = 0, last_attempt_at = now(), completed_at = now(),
                call_attempts = c.call_attempts + 1, answered_calls = c.answered_calls + 1, version = c.version + 1
             FROM ended e WHERE c.id = e.contact_id",
        )
        .await
        .unwrap();
    // The ledger and the counters are one row each, as in the store.
    let ledger = client.prepare("UPDATE ledgers SET in_flight = in_flight + $1 WHERE scope = 'raw'").await.unwrap();
    let counts = client.prepare("UPDATE campaign_counts SET in_progress = in_progress + $2 WHERE campaign_id = $1").await.unwrap();
    let begin = Instant::now();
    let mut done = 0;
    loop {
        client.batch_execute("BEGIN").await.unwrap();
        let claimed = client.query(&claim, &[&campaign.0, &batch]).await.unwrap();
        let ids: Vec<i64> = claimed.iter().map(|row| row.get(0)).collect();
        let count = i32::try_from(ids.len()).unwrap();
        client.execute(&ledger, &[&count]).await.unwrap();
        client.execute(&counts, &[&campaign.0, &i64::from(count)]).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        if ids.is_empty() {
            return f64::from(done) / begin.elapsed().as_secs_f64();
        }
        client.batch_execute("BEGIN").await.unwrap();
        let settled = client.execute(&settle, &[&ids]).await.unwrap();
        assert_eq!(settled, ids.len() as u64);
        client.execute(&ledger, &[&-count]).await.unwrap();
        client.execute(&counts, &[&campaign.0, &-i64::from(count)]).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        done += count;
    }
}
