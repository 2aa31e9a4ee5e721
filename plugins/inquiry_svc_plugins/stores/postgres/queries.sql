-- name: save
-- One statement, so one transaction and one round trip. What is stored already, by its id or by its idempotency key, is
-- left as it is; the ids that were written come back. A rival that is writing the same key is waited for. Keys are
-- taken in their own order, so that no two batches wait for each other; of two rows with one key, the first.
WITH batch AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::json[],
        $10::text[], $11::float8[], $12::text[], $13::float8[], $14::text[], $15::float8[], $16::bytea[], $17::text[],
        $18::text[], $19::text[], $20::boolean[], $21::json[], $22::float8[], $23::json[],
        $24::text[], $25::text[], $26::float8[], $27::boolean[], $28::json[], $29::timestamptz[], $30::timestamptz[],
        $31::text[], $32::text[]
    ) WITH ORDINALITY AS given (
        inquiry_id, timestamp, processed_at, subject, body, sender_email, sender_name, source, metadata,
        category, category_confidence, sentiment, sentiment_confidence, urgency, urgency_confidence, scores, model_name,
        model_version, model_digest, needs_review, degraded, evidence, review_reasons,
        department, consultant, priority_score, escalated, reasons, sla_due_at, resolved_at,
        key_value, key_fingerprint, nth
    )
    WHERE NOT EXISTS (SELECT FROM inquiries AS known WHERE known.inquiry_id = given.inquiry_id)
),
keys AS (
    INSERT INTO idempotency_keys (value, fingerprint, inquiry_id)
    SELECT key_value, key_fingerprint, inquiry_id FROM batch WHERE key_value IS NOT NULL ORDER BY key_value, nth
    ON CONFLICT DO NOTHING
    RETURNING inquiry_id
),
written AS (
    INSERT INTO inquiries
        (inquiry_id, timestamp, processed_at, subject, body, sender_email, sender_name, source, metadata)
    SELECT inquiry_id, timestamp, processed_at, subject, body, sender_email, sender_name, source, metadata
    FROM batch
    WHERE key_value IS NULL OR inquiry_id IN (SELECT inquiry_id FROM keys)
    ORDER BY inquiry_id
    ON CONFLICT DO NOTHING
    RETURNING inquiry_id
),
predicted AS (
    INSERT INTO predictions
        (inquiry_id, timestamp, category, category_confidence, sentiment, sentiment_confidence, urgency,
         urgency_confidence, scores, model_name, model_version, model_digest, needs_review, degraded, evidence,
         review_reasons)
    SELECT inquiry_id, timestamp, category, category_confidence, sentiment, sentiment_confidence, urgency,
        urgency_confidence, scores, model_name, model_version, model_digest, needs_review, degraded, evidence,
        review_reasons
    FROM batch JOIN written USING (inquiry_id)
),
routed AS (
    INSERT INTO routing_decisions
        (inquiry_id, timestamp, department, consultant, priority_score, escalated, reasons, sla_due_at, resolved_at)
    SELECT inquiry_id, timestamp, department, consultant, priority_score, escalated, reasons, sla_due_at, resolved_at
    FROM batch JOIN written USING (inquiry_id)
),
told AS (
    INSERT INTO notices (notice_id, notifier, kind, inquiry_id, created_at, waiting_since, due_at)
    SELECT notice_id, notifier, kind, inquiry_id, created_at, created_at, created_at
    FROM unnest($33::uuid[], $34::text[], $35::text[], $36::uuid[], $37::timestamptz[])
        WITH ORDINALITY AS told (notice_id, notifier, kind, inquiry_id, created_at, nth)
    JOIN written USING (inquiry_id)
    ORDER BY told.nth
)
SELECT inquiry_id FROM written

-- name: outcome
SELECT * FROM outcomes WHERE inquiry_id = $1

-- name: outcomes
SELECT * FROM outcomes WHERE inquiry_id = ANY ($1::uuid[])

-- name: inquiry_ids_of_keys
SELECT value, inquiry_id FROM idempotency_keys WHERE value = ANY ($1::text[])

-- name: insert_feedback
INSERT INTO feedback (feedback_id, inquiry_id, category, sentiment, urgency, reviewer, given_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: add_feedback
-- Gives the number of inquiries with this id.
WITH reviewed AS (
    UPDATE predictions SET needs_review = false WHERE inquiry_id = $2 RETURNING inquiry_id
),
added AS (
    INSERT INTO feedback (feedback_id, inquiry_id, category, sentiment, urgency, reviewer, given_at)
    SELECT $1, inquiry_id, $3, $4, $5, $6, $7 FROM reviewed
    ON CONFLICT (feedback_id) DO NOTHING
    RETURNING inquiry_id
),
told AS (
    INSERT INTO notices (notice_id, notifier, kind, inquiry_id, created_at, waiting_since, due_at)
    SELECT notice_id, notifier, kind, inquiry_id, created_at, created_at, created_at
    FROM unnest($8::uuid[], $9::text[], $10::text[], $11::uuid[], $12::timestamptz[])
        WITH ORDINALITY AS told (notice_id, notifier, kind, inquiry_id, created_at, nth)
    JOIN added USING (inquiry_id)
    ORDER BY told.nth
)
SELECT count(*) FROM reviewed

-- name: add_feedback_as_review
-- The same, while the inquiry waits and nobody else holds it at $7. Gives 1 where it was added, now or before.
WITH mine AS (
    SELECT p.inquiry_id
    FROM predictions AS p JOIN reviews AS r ON r.inquiry_id = p.inquiry_id
    WHERE p.inquiry_id = $2 AND p.needs_review
        AND (r.reviewer = $6 OR r.claimed_until IS NULL OR r.claimed_until <= $7)
    FOR UPDATE OF p, r  -- in the order in which `add_feedback` and its trigger take them
),
reviewed AS (
    UPDATE predictions SET needs_review = false WHERE inquiry_id IN (SELECT inquiry_id FROM mine) RETURNING inquiry_id
),
added AS (
    INSERT INTO feedback (feedback_id, inquiry_id, category, sentiment, urgency, reviewer, given_at)
    SELECT $1, inquiry_id, $3, $4, $5, $6, $7 FROM reviewed
    ON CONFLICT (feedback_id) DO NOTHING
    RETURNING inquiry_id
),
told AS (
    INSERT INTO notices (notice_id, notifier, kind, inquiry_id, created_at, waiting_since, due_at)
    SELECT notice_id, notifier, kind, inquiry_id, created_at, created_at, created_at
    FROM unnest($8::uuid[], $9::text[], $10::text[], $11::uuid[], $12::timestamptz[])
        WITH ORDINALITY AS told (notice_id, notifier, kind, inquiry_id, created_at, nth)
    JOIN added USING (inquiry_id)
    ORDER BY told.nth
)
SELECT (SELECT count(*) FROM reviewed) + (SELECT count(*) FROM feedback WHERE feedback_id = $1)

-- name: resolve
-- Gives the number of inquiries that this resolved.
WITH resolved AS (
    UPDATE routing_decisions SET resolved_at = $2 WHERE inquiry_id = $1 AND resolved_at IS NULL RETURNING inquiry_id
),
told AS (
    INSERT INTO notices (notice_id, notifier, kind, inquiry_id, created_at, waiting_since, due_at)
    SELECT notice_id, notifier, kind, inquiry_id, created_at, created_at, created_at
    FROM unnest($3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::timestamptz[])
        WITH ORDINALITY AS told (notice_id, notifier, kind, inquiry_id, created_at, nth)
    JOIN resolved USING (inquiry_id)
    ORDER BY told.nth
)
SELECT count(*) FROM resolved

-- name: lock_to_erase
-- Whoever gives feedback waits here or is waited for, having locked nothing else yet: so no two wait for each other.
SELECT FROM predictions WHERE inquiry_id = ANY ($1::uuid[]) ORDER BY inquiry_id FOR UPDATE

-- name: lock_reviews_to_erase
-- In the order in which they are claimed.
SELECT FROM reviews WHERE inquiry_id = ANY ($1::uuid[]) ORDER BY turn_at, inquiry_id FOR UPDATE

-- name: lock_routing_to_erase
-- Whoever resolves has locked its row and may yet keep a notice, which refers to the inquiry.
SELECT FROM routing_decisions WHERE inquiry_id = ANY ($1::uuid[]) ORDER BY inquiry_id FOR UPDATE

-- name: lock_notices_to_erase
SELECT FROM notices WHERE inquiry_id = ANY ($1::uuid[]) ORDER BY nth FOR UPDATE

-- name: erase
-- With all that refers to them.
DELETE FROM inquiries WHERE inquiry_id = ANY ($1::uuid[]) RETURNING inquiry_id

-- The lists below have the same filters and differ in the table that leads them, along the index of a filter on it: with
-- one that few inquiries pass, walking all of them by time would take longer the more there are. A filter that is NULL
-- lets all pass; each is planned for its values (see `connect_options`), so that such a filter is none for the planner.
-- ($3, $4) is the end of the last page or of the window, whichever is older.

-- name: list_newest
SELECT outcomes.* FROM (
    SELECT i.inquiry_id
    FROM inquiries AS i
    JOIN predictions AS p ON p.inquiry_id = i.inquiry_id
    JOIN routing_decisions AS r ON r.inquiry_id = i.inquiry_id
    WHERE i.timestamp >= $2 AND (i.timestamp, i.inquiry_id) < ($3, $4::uuid)
        AND ($5::text IS NULL OR p.category = $5)
        AND ($6::text IS NULL OR p.sentiment = $6)
        AND ($7::text IS NULL OR p.urgency = $7)
        AND ($8::boolean IS NULL OR p.needs_review = $8)
        AND ($9::text IS NULL OR r.department = $9)
        AND ($10::boolean IS NULL OR r.escalated = $10)
        AND ($11::boolean IS NULL OR (r.resolved_at IS NOT NULL) = $11)
    ORDER BY i.timestamp DESC, i.inquiry_id DESC
    LIMIT $1
) AS page
JOIN outcomes ON outcomes.inquiry_id = page.inquiry_id
ORDER BY outcomes.timestamp DESC, outcomes.inquiry_id DESC

-- name: list_predictions
SELECT outcomes.* FROM (
    SELECT p.inquiry_id
    FROM predictions AS p
    JOIN routing_decisions AS r ON r.inquiry_id = p.inquiry_id
    WHERE p.timestamp >= $2 AND (p.timestamp, p.inquiry_id) < ($3, $4::uuid)
        AND ($5::text IS NULL OR p.category = $5)
        AND ($6::text IS NULL OR p.sentiment = $6)
        AND ($7::text IS NULL OR p.urgency = $7)
        AND ($8::boolean IS NULL OR p.needs_review = $8)
        AND ($9::text IS NULL OR r.department = $9)
        AND ($10::boolean IS NULL OR r.escalated = $10)
        AND ($11::boolean IS NULL OR (r.resolved_at IS NOT NULL) = $11)
    ORDER BY p.timestamp DESC, p.inquiry_id DESC
    LIMIT $1
) AS page
JOIN outcomes ON outcomes.inquiry_id = page.inquiry_id
ORDER BY outcomes.timestamp DESC, outcomes.inquiry_id DESC

-- name: list_routing_decisions
SELECT outcomes.* FROM (
    SELECT r.inquiry_id
    FROM routing_decisions AS r
    JOIN predictions AS p ON p.inquiry_id = r.inquiry_id
    WHERE r.timestamp >= $2 AND (r.timestamp, r.inquiry_id) < ($3, $4::uuid)
        AND ($5::text IS NULL OR p.category = $5)
        AND ($6::text IS NULL OR p.sentiment = $6)
        AND ($7::text IS NULL OR p.urgency = $7)
        AND ($8::boolean IS NULL OR p.needs_review = $8)
        AND ($9::text IS NULL OR r.department = $9)
        AND ($10::boolean IS NULL OR r.escalated = $10)
        AND ($11::boolean IS NULL OR (r.resolved_at IS NOT NULL) = $11)
    ORDER BY r.timestamp DESC, r.inquiry_id DESC
    LIMIT $1
) AS page
JOIN outcomes ON outcomes.inquiry_id = page.inquiry_id
ORDER BY outcomes.timestamp DESC, outcomes.inquiry_id DESC

-- name: stats
-- One statement sees one moment. Hours that are counted are added up. Counted here and now are the rows of what remains:
-- the part of an hour with which the window begins, what came since, hours that changed since they were counted, and
-- those of which some that are open are overdue by now and others are not.
WITH asked AS MATERIALIZED (
    SELECT date_trunc('hour', $1::timestamptz - interval '1 microsecond', 'UTC') + interval '1 hour' AS first, until
    FROM hours_counted
),
again AS MATERIALIZED (
    SELECT hour FROM hours_changed, asked WHERE hour >= first AND hour < until
    UNION
    SELECT hour FROM hourly_totals, asked
    WHERE open > 0 AND last_due_at >= $2 AND first_due_at < $2 AND hour >= first AND hour < until
),
rest AS MATERIALIZED (
    SELECT $1::timestamptz AS since,
        CASE WHEN first < until THEN first - interval '1 microsecond' ELSE 'infinity' END AS through
    FROM asked
    UNION ALL
    SELECT until, 'infinity' FROM asked WHERE first < until
    UNION ALL
    SELECT hour, hour + interval '1 hour' - interval '1 microsecond' FROM again
),
hours AS (
    SELECT *, CASE WHEN last_due_at < $2 THEN open ELSE 0 END AS overdue
    FROM hourly_totals
    WHERE hour >= (SELECT first FROM asked) AND hour < (SELECT until FROM asked)
        AND hour NOT IN (SELECT hour FROM again)
    UNION ALL
    SELECT counted.*, counted.open FROM rest, totals_by_hour(rest.since, rest.through, $2) AS counted
)
SELECT
    (SELECT count(*) FROM inquiries WHERE NOT processed AND timestamp >= $1) AS unprocessed,
    coalesce(sum(inquiries), 0)::bigint AS total,
    coalesce(sum(escalated), 0)::bigint AS escalated,
    sum(priority_score) / sum(inquiries) AS average_priority_score,
    coalesce(sum(resolved + overdue), 0)::bigint AS due,
    coalesce(sum(in_time), 0)::bigint AS in_time,
    coalesce(sum(department_technical_support), 0)::bigint AS department_technical_support,
    coalesce(sum(department_finance), 0)::bigint AS department_finance,
    coalesce(sum(department_sales), 0)::bigint AS department_sales,
    coalesce(sum(department_hr), 0)::bigint AS department_hr,
    coalesce(sum(department_legal), 0)::bigint AS department_legal,
    coalesce(sum(department_product_management), 0)::bigint AS department_product_management,
    coalesce(sum(department_escalation), 0)::bigint AS department_escalation,
    coalesce(sum(needs_review), 0)::bigint AS needs_review,
    coalesce(sum(category_technical_support), 0)::bigint AS category_technical_support,
    coalesce(sum(category_billing), 0)::bigint AS category_billing,
    coalesce(sum(category_sales), 0)::bigint AS category_sales,
    coalesce(sum(category_hr), 0)::bigint AS category_hr,
    coalesce(sum(category_legal), 0)::bigint AS category_legal,
    coalesce(sum(category_product_feedback), 0)::bigint AS category_product_feedback,
    coalesce(sum(sentiment_positive), 0)::bigint AS sentiment_positive,
    coalesce(sum(sentiment_neutral), 0)::bigint AS sentiment_neutral,
    coalesce(sum(sentiment_negative), 0)::bigint AS sentiment_negative,
    coalesce(sum(urgency_low), 0)::bigint AS urgency_low,
    coalesce(sum(urgency_medium), 0)::bigint AS urgency_medium,
    coalesce(sum(urgency_high), 0)::bigint AS urgency_high,
    coalesce(sum(urgency_critical), 0)::bigint AS urgency_critical
FROM hours

-- name: oldest_transaction
-- When the oldest began that is still going on; those in other databases change nothing here.
SELECT min(xact_start) FROM pg_stat_activity WHERE datname = current_database()

-- name: one_counts_hours
-- Before the moment is chosen that the transaction sees.
LOCK TABLE hours_counted IN SHARE UPDATE EXCLUSIVE MODE

-- name: take_changed_hours
DELETE FROM hours_changed
WHERE hour IN (SELECT DISTINCT hour FROM hours_changed WHERE hour >= $2 ORDER BY hour LIMIT $1)
RETURNING hour

-- name: forget_hours
DELETE FROM hourly_totals WHERE hour = ANY($1::timestamptz[])

-- name: count_hours_again
INSERT INTO hourly_totals
SELECT counted.*
FROM unnest($1::timestamptz[]) AS changed (hour), hours_counted,
    totals_by_hour(changed.hour, changed.hour + interval '1 hour' - interval '1 microsecond', 'infinity') AS counted
WHERE changed.hour < until

-- name: next_hours
-- Until when to count: the whole hours of some $1 rows, and none that ends within a quarter of an hour before $2. None
-- where nothing is left.
SELECT upto FROM hours_counted, least(
    date_trunc('hour', $2::timestamptz - interval '15 minutes', 'UTC'),
    (
        SELECT greatest(date_trunc('hour', timestamp, 'UTC'), until + interval '1 hour')
        FROM routing_decisions WHERE timestamp >= until ORDER BY timestamp LIMIT 1 OFFSET $1
    )
) AS upto
WHERE upto > until

-- name: count_next_hours
INSERT INTO hourly_totals
SELECT counted.*
FROM hours_counted, totals_by_hour(until, $1::timestamptz - interval '1 microsecond', 'infinity') AS counted

-- name: set_hours_counted
UPDATE hours_counted SET until = $1

-- name: consultant_loads
SELECT consultant, count(*) FROM routing_decisions
WHERE resolved_at IS NULL AND consultant IS NOT NULL
GROUP BY consultant

-- name: review_queue
SELECT reasons, count(*), min(timestamp) FROM (
    SELECT reasons::text AS reasons, timestamp FROM reviews ORDER BY timestamp LIMIT 10000
) AS waiting
GROUP BY reasons

-- name: reviews
SELECT outcomes.*, page.turn_at, page.reviewer, page.claimed_until FROM (
    SELECT inquiry_id, turn_at, reviewer, claimed_until FROM reviews
    WHERE (turn_at, inquiry_id) > ($2, $3::uuid)
    ORDER BY turn_at, inquiry_id
    LIMIT $1
) AS page
JOIN outcomes ON outcomes.inquiry_id = page.inquiry_id
ORDER BY page.turn_at, page.inquiry_id

-- name: reviews_of_ids
SELECT outcomes.*, reviews.turn_at, reviews.reviewer, reviews.claimed_until
FROM reviews JOIN outcomes ON outcomes.inquiry_id = reviews.inquiry_id
WHERE reviews.inquiry_id = ANY ($1::uuid[])

-- name: claim_reviews
-- The ids that the reviewer $1 holds then until $2, in order: at most $4, first those held at $3. What somebody else is
-- claiming at the same moment is passed over.
WITH held AS (
    SELECT inquiry_id, turn_at FROM reviews
    WHERE reviewer = $1 AND claimed_until > $3
    ORDER BY turn_at, inquiry_id
    LIMIT $4
    FOR UPDATE
),
free AS (
    SELECT inquiry_id, turn_at FROM reviews
    WHERE claimed_until IS NULL OR claimed_until <= $3
    ORDER BY turn_at, inquiry_id
    LIMIT $4
    FOR UPDATE SKIP LOCKED
),
mine AS (
    SELECT inquiry_id, row_number() OVER (ORDER BY rank, turn_at, inquiry_id) AS nth
    FROM (SELECT 1 AS rank, * FROM held UNION ALL SELECT 2, * FROM free) AS either
    ORDER BY nth
    LIMIT $4
),
claimed AS (
    UPDATE reviews SET reviewer = $1, claimed_until = $2
    WHERE inquiry_id = ANY (ARRAY (SELECT inquiry_id FROM mine))  -- each by its key, however many there might be
)
SELECT inquiry_id FROM mine ORDER BY nth

-- name: claim_review
UPDATE reviews SET reviewer = $1, claimed_until = $2
WHERE inquiry_id = $4 AND (reviewer = $1 OR claimed_until IS NULL OR claimed_until <= $3)
RETURNING inquiry_id

-- name: return_review
-- If $4, behind all that wait.
UPDATE reviews SET
    reviewer = NULL,
    claimed_until = NULL,
    turn_at = CASE WHEN $4::boolean THEN last.turn_at + interval '1 microsecond' ELSE reviews.turn_at END
FROM (SELECT max(turn_at) AS turn_at FROM reviews) AS last
WHERE inquiry_id = $1 AND (reviewer = $2 OR claimed_until IS NULL OR claimed_until <= $3)
RETURNING inquiry_id

-- name: claim_notices
-- The numbers of up to $4 of the notifier $1 that are due at $2, held from now on until $3. Passed over is what comes after
-- another of its inquiry, or before one that is held: that was claimed while the one before it was set aside.
WITH due AS (
    SELECT nth FROM notices AS n
    WHERE notifier = $1 AND set_aside_at IS NULL AND due_at <= $2
        AND (claimed_until IS NULL OR claimed_until <= $2)
        AND NOT EXISTS (
            SELECT FROM notices AS other
            WHERE other.inquiry_id = n.inquiry_id AND other.notifier = $1 AND other.set_aside_at IS NULL
                AND (other.nth < n.nth OR other.claimed_until > $2)
        )
    ORDER BY due_at, nth
    LIMIT $4
    FOR UPDATE SKIP LOCKED
)
UPDATE notices SET claimed_until = $3
WHERE nth = ANY (ARRAY (SELECT nth FROM due))  -- each by its key, however many there might be
RETURNING nth

-- name: deliveries
SELECT n.notice_id, n.notifier, n.kind, n.inquiry_id, n.created_at, n.attempts, n.waiting_since, n.claimed_until,
    outcomes.*
FROM notices AS n JOIN outcomes ON outcomes.inquiry_id = n.inquiry_id
WHERE n.nth = ANY ($1::bigint[])
ORDER BY n.due_at, n.nth

-- name: notice_delivered
DELETE FROM notices WHERE inquiry_id = $1 AND notifier = $2 AND notice_id = $3 AND claimed_until = $4

-- name: notice_failed
-- What comes after it is due as late, so that whoever looks for what is due need not walk past it.
WITH failed AS (
    UPDATE notices SET attempts = attempts + 1, due_at = $5, claimed_until = NULL, reason = $6
    WHERE inquiry_id = $1 AND notifier = $2 AND notice_id = $3 AND claimed_until = $4
    RETURNING nth
)
UPDATE notices SET due_at = $5
WHERE inquiry_id = $1 AND notifier = $2 AND notice_id != $3 AND set_aside_at IS NULL AND due_at < $5
    AND EXISTS (SELECT FROM failed)

-- name: notice_set_aside
UPDATE notices SET attempts = attempts + 1, set_aside_at = $5, claimed_until = NULL, reason = $6
WHERE inquiry_id = $1 AND notifier = $2 AND notice_id = $3 AND claimed_until = $4

-- name: notice_returned
UPDATE notices SET due_at = $5, claimed_until = NULL
WHERE inquiry_id = $1 AND notifier = $2 AND notice_id = $3 AND claimed_until = $4

-- name: notices
SELECT notice_id, notifier, kind, inquiry_id, created_at, attempts, waiting_since, due_at, claimed_until, set_aside_at,
    reason
FROM notices
WHERE ($1::text IS NULL OR notifier = $1)
    AND ($2::boolean IS NULL OR (set_aside_at IS NOT NULL) = $2)
    AND ($3::text[] IS NULL OR notice_id::text = ANY ($3))
ORDER BY nth
LIMIT $4

-- name: retry_notices
-- What else waits of their inquiries is locked too: whoever is just claiming some of that is waited for, and who comes then
-- sees it held.
WITH chosen AS MATERIALIZED (
    SELECT nth, notifier, inquiry_id FROM notices
    WHERE ($1::text IS NULL OR notifier = $1)
        AND ($2::boolean IS NULL OR (set_aside_at IS NOT NULL) = $2)
        AND ($3::text[] IS NULL OR notice_id::text = ANY ($3))
        AND (set_aside_at IS NOT NULL OR due_at > $5::timestamptz)
    ORDER BY nth
    LIMIT $4
    FOR UPDATE
),
others AS MATERIALIZED (
    SELECT n.nth FROM notices AS n JOIN chosen USING (notifier, inquiry_id)
    WHERE n.set_aside_at IS NULL
    ORDER BY n.nth
    FOR UPDATE OF n
),
retried AS (
    UPDATE notices SET
        attempts = CASE WHEN set_aside_at IS NULL THEN attempts ELSE 0 END,
        waiting_since = CASE WHEN set_aside_at IS NULL THEN waiting_since ELSE $5 END,
        due_at = $5,
        set_aside_at = NULL
    WHERE nth = ANY (ARRAY (SELECT nth FROM chosen)) AND (SELECT count(*) FROM others) >= 0
    RETURNING nth
)
SELECT count(*) FROM retried

-- name: drop_notices
WITH dropped AS (
    DELETE FROM notices
    WHERE nth = ANY (ARRAY (
        SELECT nth FROM notices
        WHERE ($1::text IS NULL OR notifier = $1)
            AND ($2::boolean IS NULL OR (set_aside_at IS NOT NULL) = $2)
            AND ($3::text[] IS NULL OR notice_id::text = ANY ($3))
        ORDER BY nth
        LIMIT $4
    ))
    RETURNING nth
)
SELECT count(*) FROM dropped

-- name: outbox
-- How many wait, since when the oldest does, and how many are set aside; of more than 10,000, those that are due first.
SELECT count(*), min(waiting_since), (
    SELECT count(*) FROM (
        SELECT FROM notices WHERE notifier = $1 AND set_aside_at IS NOT NULL LIMIT 10000
    ) AS set_aside
)
FROM (
    SELECT waiting_since FROM notices
    WHERE notifier = $1 AND set_aside_at IS NULL
    ORDER BY due_at, nth
    LIMIT 10000
) AS waiting

-- name: write_check
UPDATE write_checks SET writes = writes + 1
