-- name: insert_inquiry
INSERT INTO inquiries
    (inquiry_id, timestamp, processed_at, subject, body, sender_email, sender_name, source, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_prediction
INSERT INTO predictions
    (inquiry_id, timestamp, category, category_confidence, sentiment, sentiment_confidence, urgency, urgency_confidence,
     scores, model_name, model_version, model_digest, needs_review, degraded, evidence, review_reasons)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_routing_decision
INSERT INTO routing_decisions
    (inquiry_id, timestamp, department, consultant, priority_score, escalated, reasons, sla_due_at, resolved_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_idempotency_key
INSERT INTO idempotency_keys (value, fingerprint, inquiry_id) VALUES (?, ?, ?)

-- name: insert_feedback
INSERT INTO feedback (inquiry_id, category, sentiment, urgency, reviewer, given_at) VALUES (?, ?, ?, ?, ?, ?)

-- name: clear_needs_review
UPDATE predictions SET needs_review = 0 WHERE inquiry_id = ?

-- name: set_resolved
UPDATE routing_decisions SET resolved_at = :resolved_at WHERE inquiry_id = :inquiry_id

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

-- Each label of a closed set is counted in a range of its own index, which is ten times as quick as grouping.

-- name: count_categories
SELECT label.value, (SELECT count(*) FROM predictions WHERE category = label.value AND timestamp >= :since)
FROM json_each(:categories) AS label

-- name: count_departments
SELECT label.value, (SELECT count(*) FROM routing_decisions WHERE department = label.value AND timestamp >= :since)
FROM json_each(:departments) AS label

-- name: count_predictions
-- The labels in the order of `inquiries.SENTIMENTS` and `URGENCIES`.
SELECT
    count(*) FILTER (WHERE sentiment = 'positive'),
    count(*) FILTER (WHERE sentiment = 'neutral'),
    count(*) FILTER (WHERE sentiment = 'negative'),
    count(*) FILTER (WHERE urgency = 'low'),
    count(*) FILTER (WHERE urgency = 'medium'),
    count(*) FILTER (WHERE urgency = 'high'),
    count(*) FILTER (WHERE urgency = 'critical'),
    count(*) FILTER (WHERE needs_review = 1)
FROM predictions
WHERE timestamp >= :since

-- name: count_routing_decisions
-- The last two: of those answered, or overdue by now, how many, and how many in time.
SELECT
    count(*),
    count(*) FILTER (WHERE escalated = 1),
    avg(priority_score),
    count(*) FILTER (WHERE resolved_at IS NOT NULL OR sla_due_at < :now),
    count(*) FILTER (WHERE resolved_at <= sla_due_at)
FROM routing_decisions
WHERE timestamp >= :since

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

-- name: write_check
UPDATE write_checks SET writes = writes + 1

-- name: read_check
SELECT writes FROM write_checks
