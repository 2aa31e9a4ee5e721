-- What is kept, a table each under its own name, in an order that copying does not change. Left out are
-- consultant_loads, which the triggers make of routing_decisions, and write_checks, which says nothing.

-- name: inquiries
SELECT * FROM inquiries ORDER BY inquiry_id

-- name: predictions
SELECT * FROM predictions ORDER BY inquiry_id

-- name: routing_decisions
SELECT * FROM routing_decisions ORDER BY inquiry_id

-- name: feedback
SELECT * FROM feedback ORDER BY feedback_id

-- name: reviews
SELECT * FROM reviews ORDER BY inquiry_id

-- name: notices
SELECT * FROM notices ORDER BY nth

-- name: idempotency_keys
SELECT * FROM idempotency_keys ORDER BY value
