-- In what inserts an outcome an empty blob stands for NULL. OR ROLLBACK is no other end for a transaction, all of which
-- is rolled back anyhow, but spares SQLite a copy of each page that a statement writes (migration 0005).

-- name: insert_inquiry
INSERT OR ROLLBACK INTO inquiries
    (inquiry_id, timestamp, processed_at, subject, body, sender_email, sender_name, source, metadata)
VALUES (?, ?, ?, ?, ?, ?, CASE ?7 WHEN x'' THEN NULL ELSE ?7 END, ?, ?)

-- name: insert_prediction
INSERT OR ROLLBACK INTO predictions
    (inquiry_id, timestamp, category, category_confidence, sentiment, sentiment_confidence, urgency, urgency_confidence,
     scores, model_name, model_version, model_digest, needs_review, degraded, evidence, review_reasons)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_routing_decision
INSERT OR ROLLBACK INTO routing_decisions
    (inquiry_id, timestamp, department, consultant, priority_score, escalated, reasons, sla_due_at, resolved_at,
     followed_up)
VALUES (?, ?, ?, CASE ?4 WHEN x'' THEN NULL ELSE ?4 END, ?, ?, ?, ?, CASE ?9 WHEN x'' THEN NULL ELSE ?9 END, 1)

-- name: add_to_load
INSERT INTO consultant_loads (consultant, open_inquiries) VALUES (?, ?)
ON CONFLICT (consultant) DO UPDATE SET open_inquiries = open_inquiries + excluded.open_inquiries

-- name: insert_review
INSERT INTO reviews (inquiry_id, turn_at, timestamp, reasons) VALUES (?, ?, ?, ?)

-- name: set_hour_changed
-- Where it is counted.
INSERT INTO hours_changed (hour, change) SELECT ?1, random() WHERE ?1 < (SELECT until FROM hours_counted)
ON CONFLICT (hour) DO UPDATE SET change = excluded.change

-- name: insert_idempotency_key
INSERT INTO idempotency_keys (value, fingerprint, inquiry_id) VALUES (?, ?, ?)

-- name: insert_feedback
INSERT INTO feedback (inquiry_id, category, sentiment, urgency, reviewer, given_at) VALUES (?, ?, ?, ?, ?, ?)

-- name: clear_needs_review
UPDATE predictions SET needs_review = 0 WHERE inquiry_id = ?

-- name: set_resolved
UPDATE routing_decisions SET resolved_at = :resolved_at WHERE inquiry_id = :inquiry_id

-- name: erase
-- Those of the ids in a JSON array; `erasing.cascading` has all that refers to them go too.
DELETE FROM inquiries WHERE inquiry_id IN (SELECT value FROM json_each(?)) RETURNING inquiry_id

-- name: outcome
SELECT * FROM outcomes WHERE inquiry_id = ?

-- name: outcomes
-- Those of the ids in a JSON array.
SELECT * FROM outcomes WHERE inquiry_id IN (SELECT value FROM json_each(?))

-- name: inquiry_ids_of_keys
-- Those of the idempotency keys in a JSON array.
SELECT value, inquiry_id FROM idempotency_keys WHERE value IN (SELECT value FROM json_each(?))

-- The five lists below have the same filters and differ in the index that leads them: with a leading filter that few
-- inquiries pass, walking all of them by time would take longer the more there are. A filter that is NULL lets all pass.
-- `(before, before_id)` is the end of the last page or of the window, whichever is older.

-- name: list_newest
SELECT outcomes.* FROM (
    SELECT i.inquiry_id
    FROM inquiries AS i
    CROSS JOIN predictions AS p ON p.inquiry_id = i.inquiry_id
    CROSS JOIN routing_decisions AS r ON r.inquiry_id = i.inquiry_id
    WHERE i.timestamp >= :since AND (i.timestamp, i.inquiry_id) < (:before, :before_id)
        AND p.category = coalesce(:category, p.category)
        AND p.sentiment = coalesce(:sentiment, p.sentiment)
        AND p.urgency = coalesce(:urgency, p.urgency)
        AND p.needs_review = coalesce(:needs_review, p.needs_review)
        AND r.department = coalesce(:department, r.department)
        AND r.escalated = coalesce(:escalated, r.escalated)
        AND (r.resolved_at IS NOT NULL) = coalesce(:resolved, r.resolved_at IS NOT NULL)
    ORDER BY i.timestamp DESC, i.inquiry_id DESC
    LIMIT :limit
) AS page
JOIN outcomes ON outcomes.inquiry_id = page.inquiry_id
ORDER BY outcomes.timestamp DESC, outcomes.inquiry_id DESC

-- name: list_needs_review
SELECT outcomes.* FROM (
    SELECT p.inquiry_id
    FROM predictions AS p
    CROSS JOIN routing_decisions AS r ON r.inquiry_id = p.inquiry_id
    WHERE p.timestamp >= :since AND (p.timestamp, p.inquiry_id) < (:before, :before_id)
        AND p.needs_review = 1
        AND p.category = coalesce(:category, p.category)
        AND p.sentiment = coalesce(:sentiment, p.sentiment)
        AND p.urgency = coalesce(:urgency, p.urgency)
        AND r.department = coalesce(:department, r.department)
        AND r.escalated = coalesce(:escalated, r.escalated)
        AND (r.resolved_at IS NOT NULL) = coalesce(:resolved, r.resolved_at IS NOT NULL)
    ORDER BY p.timestamp DESC, p.inquiry_id DESC
    LIMIT :limit
) AS page
JOIN outcomes ON outcomes.inquiry_id = page.inquiry_id
ORDER BY outcomes.timestamp DESC, outcomes.inquiry_id DESC

-- name: list_status
SELECT outcomes.* FROM (
    SELECT r.inquiry_id
    FROM routing_decisions AS r
    CROSS JOIN predictions AS p ON p.inquiry_id = r.inquiry_id
    WHERE r.timestamp >= :since AND (r.timestamp, r.inquiry_id) < (:before, :before_id)
        AND (r.resolved_at IS NOT NULL) = :resolved
        AND p.category = coalesce(:category, p.category)
        AND p.sentiment = coalesce(:sentiment, p.sentiment)
        AND p.urgency = coalesce(:urgency, p.urgency)
        AND p.needs_review = coalesce(:needs_review, p.needs_review)
        AND r.department = coalesce(:department, r.department)
        AND r.escalated = coalesce(:escalated, r.escalated)
    ORDER BY r.timestamp DESC, r.inquiry_id DESC
    LIMIT :limit
) AS page
JOIN outcomes ON outcomes.inquiry_id = page.inquiry_id
ORDER BY outcomes.timestamp DESC, outcomes.inquiry_id DESC

-- name: list_department
SELECT outcomes.* FROM (
    SELECT r.inquiry_id
    FROM routing_decisions AS r
    CROSS JOIN predictions AS p ON p.inquiry_id = r.inquiry_id
    WHERE r.timestamp >= :since AND (r.timestamp, r.inquiry_id) < (:before, :before_id)
        AND r.department = :department
        AND p.category = coalesce(:category, p.category)
        AND p.sentiment = coalesce(:sentiment, p.sentiment)
        AND p.urgency = coalesce(:urgency, p.urgency)
        AND p.needs_review = coalesce(:needs_review, p.needs_review)
        AND r.escalated = coalesce(:escalated, r.escalated)
        AND (r.resolved_at IS NOT NULL) = coalesce(:resolved, r.resolved_at IS NOT NULL)
    ORDER BY r.timestamp DESC, r.inquiry_id DESC
    LIMIT :limit
) AS page
JOIN outcomes ON outcomes.inquiry_id = page.inquiry_id
ORDER BY outcomes.timestamp DESC, outcomes.inquiry_id DESC

-- name: list_category
SELECT outcomes.* FROM (
    SELECT p.inquiry_id
    FROM predictions AS p
    CROSS JOIN routing_decisions AS r ON r.inquiry_id = p.inquiry_id
    WHERE p.timestamp >= :since AND (p.timestamp, p.inquiry_id) < (:before, :before_id)
        AND p.category = :category
        AND p.sentiment = coalesce(:sentiment, p.sentiment)
        AND p.urgency = coalesce(:urgency, p.urgency)
        AND p.needs_review = coalesce(:needs_review, p.needs_review)
        AND r.department = coalesce(:department, r.department)
        AND r.escalated = coalesce(:escalated, r.escalated)
        AND (r.resolved_at IS NOT NULL) = coalesce(:resolved, r.resolved_at IS NOT NULL)
    ORDER BY p.timestamp DESC, p.inquiry_id DESC
    LIMIT :limit
) AS page
JOIN outcomes ON outcomes.inquiry_id = page.inquiry_id
ORDER BY outcomes.timestamp DESC, outcomes.inquiry_id DESC

-- name: count_unprocessed
SELECT count(*) FROM inquiries WHERE processed = FALSE AND timestamp >= :since

-- name: hours_counted
SELECT until FROM hours_counted

-- name: hours_to_count_now
-- Of the whole hours of a window that are counted: those that changed since, and those of which some that are open are
-- overdue by now and others are not.
SELECT hour FROM hours_changed WHERE hour >= :first AND hour < :until
UNION
SELECT hour FROM hourly_totals
WHERE open > 0 AND last_due_at >= :now AND first_due_at < :now AND hour >= :first AND hour < :until

-- name: totals_of_hours
-- The columns of `totals_of_rows` from `inquiries` to `open`, which is those that are overdue, and the labels.
SELECT
    sum(inquiries), sum(escalated), sum(priority_score), sum(resolved), sum(in_time),
    sum(open) FILTER (WHERE last_due_at < :now),
    sum(department_technical_support),
    sum(department_finance),
    sum(department_sales),
    sum(department_hr),
    sum(department_legal),
    sum(department_product_management),
    sum(department_escalation),
    sum(needs_review),
    sum(category_technical_support),
    sum(category_billing),
    sum(category_sales),
    sum(category_hr),
    sum(category_legal),
    sum(category_product_feedback),
    sum(sentiment_positive),
    sum(sentiment_neutral),
    sum(sentiment_negative),
    sum(urgency_low),
    sum(urgency_medium),
    sum(urgency_high),
    sum(urgency_critical)
FROM hourly_totals
WHERE hour >= :first AND hour < :until AND hour NOT IN (SELECT value FROM json_each(:but))

-- name: totals_of_rows
-- The rows of a time, both ends included, counted. `open` are those that are due before `due_before`.
SELECT
    :since AS hour,
    min(r.sla_due_at) FILTER (WHERE r.resolved_at IS NULL) AS first_due_at,
    max(r.sla_due_at) FILTER (WHERE r.resolved_at IS NULL) AS last_due_at,
    count(*) AS inquiries,
    count(*) FILTER (WHERE r.escalated = 1) AS escalated,
    sum(r.priority_score) AS priority_score,
    count(*) FILTER (WHERE r.resolved_at IS NOT NULL) AS resolved,
    count(*) FILTER (WHERE r.resolved_at <= r.sla_due_at) AS in_time,
    count(*) FILTER (WHERE r.resolved_at IS NULL AND r.sla_due_at < :due_before) AS open,
    count(*) FILTER (WHERE r.department = 'technical_support'),
    count(*) FILTER (WHERE r.department = 'finance'),
    count(*) FILTER (WHERE r.department = 'sales'),
    count(*) FILTER (WHERE r.department = 'hr'),
    count(*) FILTER (WHERE r.department = 'legal'),
    count(*) FILTER (WHERE r.department = 'product_management'),
    count(*) FILTER (WHERE r.department = 'escalation'),
    count(*) FILTER (WHERE p.needs_review = 1),
    count(*) FILTER (WHERE p.category = 'technical_support'),
    count(*) FILTER (WHERE p.category = 'billing'),
    count(*) FILTER (WHERE p.category = 'sales'),
    count(*) FILTER (WHERE p.category = 'hr'),
    count(*) FILTER (WHERE p.category = 'legal'),
    count(*) FILTER (WHERE p.category = 'product_feedback'),
    count(*) FILTER (WHERE p.sentiment = 'positive'),
    count(*) FILTER (WHERE p.sentiment = 'neutral'),
    count(*) FILTER (WHERE p.sentiment = 'negative'),
    count(*) FILTER (WHERE p.urgency = 'low'),
    count(*) FILTER (WHERE p.urgency = 'medium'),
    count(*) FILTER (WHERE p.urgency = 'high'),
    count(*) FILTER (WHERE p.urgency = 'critical')
FROM inquiries AS i
CROSS JOIN routing_decisions AS r ON r.inquiry_id = i.inquiry_id
CROSS JOIN predictions AS p ON p.inquiry_id = i.inquiry_id
WHERE i.timestamp BETWEEN :since AND :through

-- name: count_next_hours
-- Those before :until are counted from now on, which is to say that they changed.
INSERT OR IGNORE INTO hours_changed (hour, change)
SELECT DISTINCT timestamp - (timestamp % 3600000000 + 3600000000) % 3600000000, random()
FROM inquiries
WHERE timestamp >= (SELECT until FROM hours_counted) AND timestamp < :until

-- name: next_hours
SELECT until, (
    SELECT timestamp FROM inquiries WHERE timestamp >= until ORDER BY timestamp LIMIT 1 OFFSET :rows
) FROM hours_counted

-- name: set_hours_counted
UPDATE hours_counted SET until = :until

-- name: changed_hours
SELECT hour, change FROM hours_changed LIMIT :limit

-- name: take_changed_hour
DELETE FROM hours_changed WHERE hour = :hour AND change = :change

-- name: forget_hour
DELETE FROM hourly_totals WHERE hour = :hour

-- name: insert_hour
INSERT INTO hourly_totals VALUES (
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
)

-- name: consultant_loads
SELECT consultant, open_inquiries FROM consultant_loads WHERE open_inquiries > 0

-- name: review_queue
SELECT reasons, count(*), min(timestamp) FROM (
    SELECT reasons, timestamp FROM reviews ORDER BY timestamp LIMIT 10000
) AS waiting
GROUP BY reasons

-- name: reviews
SELECT outcomes.*, page.turn_at, page.reviewer, page.claimed_until FROM (
    SELECT inquiry_id, turn_at, reviewer, claimed_until FROM reviews
    WHERE (turn_at, inquiry_id) > (:turn_at, :inquiry_id)
    ORDER BY turn_at, inquiry_id
    LIMIT :limit
) AS page
JOIN outcomes ON outcomes.inquiry_id = page.inquiry_id
ORDER BY page.turn_at, page.inquiry_id

-- name: review
SELECT outcomes.*, reviews.turn_at, reviews.reviewer, reviews.claimed_until
FROM reviews JOIN outcomes ON outcomes.inquiry_id = reviews.inquiry_id
WHERE reviews.inquiry_id = ?

-- name: held_reviews
SELECT inquiry_id FROM reviews
WHERE reviewer = :reviewer AND claimed_until > :now
ORDER BY turn_at, inquiry_id
LIMIT :limit

-- name: free_reviews
-- Walks the queue in order, past what is held.
SELECT inquiry_id FROM reviews INDEXED BY idx_reviews_turn
WHERE claimed_until IS NULL OR claimed_until <= :now
ORDER BY turn_at, inquiry_id
LIMIT :limit

-- name: review_to_have
-- The id again, where this reviewer may have it.
SELECT inquiry_id FROM reviews
WHERE inquiry_id = :inquiry_id AND (reviewer = :reviewer OR claimed_until IS NULL OR claimed_until <= :now)

-- name: claim_review
UPDATE reviews SET reviewer = :reviewer, claimed_until = :until WHERE inquiry_id = :inquiry_id

-- name: release_review
UPDATE reviews SET reviewer = NULL, claimed_until = NULL WHERE inquiry_id = :inquiry_id

-- name: put_review_behind
UPDATE reviews SET turn_at = (SELECT max(turn_at) + 1 FROM reviews) WHERE inquiry_id = :inquiry_id

-- name: insert_notice
INSERT OR ROLLBACK INTO notices (notice_id, notifier, kind, inquiry_id, created_at, waiting_since, due_at)
VALUES (?, ?, ?, ?, ?5, ?5, ?5)

-- name: due_notices
-- Walks what is due in order, past what is held, and what comes after another of its inquiry, or before one that is held:
-- that was claimed while the one before it was set aside.
SELECT nth FROM notices AS due INDEXED BY idx_notices_due
WHERE notifier = :notifier AND set_aside_at IS NULL AND due_at <= :now
    AND (claimed_until IS NULL OR claimed_until <= :now)
    AND NOT EXISTS (
        SELECT 1 FROM notices AS other
        WHERE other.inquiry_id = due.inquiry_id AND other.notifier = :notifier AND other.set_aside_at IS NULL
            AND (other.nth < due.nth OR other.claimed_until > :now)
    )
ORDER BY due_at, nth
LIMIT :limit

-- name: claim_notice
UPDATE notices SET claimed_until = ? WHERE nth = ?

-- name: deliveries
-- Those of the numbers in a JSON array.
SELECT n.notice_id, n.notifier, n.kind, n.inquiry_id, n.created_at, n.attempts, n.waiting_since, n.claimed_until,
    outcomes.*
FROM notices AS n JOIN outcomes ON outcomes.inquiry_id = n.inquiry_id
WHERE n.nth IN (SELECT value FROM json_each(?))
ORDER BY n.due_at, n.nth

-- name: notice_delivered
DELETE FROM notices
WHERE inquiry_id = :inquiry_id AND notifier = :notifier AND notice_id = :notice_id AND claimed_until = :claimed_until

-- name: notice_failed
UPDATE notices SET attempts = attempts + 1, due_at = :at, claimed_until = NULL, reason = :reason
WHERE inquiry_id = :inquiry_id AND notifier = :notifier AND notice_id = :notice_id AND claimed_until = :claimed_until

-- name: notice_set_aside
UPDATE notices SET attempts = attempts + 1, set_aside_at = :at, claimed_until = NULL, reason = :reason
WHERE inquiry_id = :inquiry_id AND notifier = :notifier AND notice_id = :notice_id AND claimed_until = :claimed_until

-- name: notice_returned
UPDATE notices SET due_at = :at, claimed_until = NULL
WHERE inquiry_id = :inquiry_id AND notifier = :notifier AND notice_id = :notice_id AND claimed_until = :claimed_until

-- name: hold_up_those_after
-- So that whoever looks for what is due need not walk past them.
UPDATE notices SET due_at = :at
WHERE inquiry_id = :inquiry_id AND notifier = :notifier AND set_aside_at IS NULL AND due_at < :at

-- name: notices
SELECT notice_id, notifier, kind, inquiry_id, created_at, attempts, waiting_since, due_at, claimed_until, set_aside_at,
    reason
FROM notices
WHERE notifier = coalesce(:notifier, notifier)
    AND (set_aside_at IS NOT NULL) = coalesce(:set_aside, set_aside_at IS NOT NULL)
    AND (:notice_ids IS NULL OR notice_id IN (SELECT value FROM json_each(:notice_ids)))
ORDER BY nth
LIMIT :limit

-- name: retry_notices
UPDATE notices SET
    attempts = CASE WHEN set_aside_at IS NULL THEN attempts ELSE 0 END,
    waiting_since = CASE WHEN set_aside_at IS NULL THEN waiting_since ELSE :now END,
    due_at = :now,
    set_aside_at = NULL
WHERE nth IN (
    SELECT nth FROM notices
    WHERE notifier = coalesce(:notifier, notifier)
        AND (set_aside_at IS NOT NULL) = coalesce(:set_aside, set_aside_at IS NOT NULL)
        AND (:notice_ids IS NULL OR notice_id IN (SELECT value FROM json_each(:notice_ids)))
        AND (set_aside_at IS NOT NULL OR due_at > :now)
    ORDER BY nth
    LIMIT :limit
)

-- name: drop_notices
DELETE FROM notices
WHERE nth IN (
    SELECT nth FROM notices
    WHERE notifier = coalesce(:notifier, notifier)
        AND (set_aside_at IS NOT NULL) = coalesce(:set_aside, set_aside_at IS NOT NULL)
        AND (:notice_ids IS NULL OR notice_id IN (SELECT value FROM json_each(:notice_ids)))
    ORDER BY nth
    LIMIT :limit
)

-- name: outbox
-- How many wait, since when the oldest does, and how many are set aside; of more than 10,000, those that are due first.
SELECT count(*), min(waiting_since), (
    SELECT count(*) FROM (
        SELECT 1 FROM notices WHERE notifier = :notifier AND set_aside_at IS NOT NULL LIMIT 10000
    ) AS set_aside
)
FROM (
    SELECT waiting_since FROM notices INDEXED BY idx_notices_due
    WHERE notifier = :notifier AND set_aside_at IS NULL
    ORDER BY due_at, nth
    LIMIT 10000
) AS waiting

-- name: write_check
UPDATE write_checks SET writes = writes + 1
