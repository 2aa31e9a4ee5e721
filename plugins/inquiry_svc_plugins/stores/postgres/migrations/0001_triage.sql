-- The tables of a triaged inquiry. All that `save` is given for one batch is written by one statement.
--
-- `timestamp` is when the inquiry was received; predictions and routing_decisions repeat it, so that their own indexes
-- list by time. inquiry_id is a UUIDv7, so every table grows at its end.

CREATE TABLE inquiries (
    inquiry_id   uuid PRIMARY KEY,
    timestamp    timestamptz NOT NULL,
    processed_at timestamptz,
    processed    boolean NOT NULL GENERATED ALWAYS AS (processed_at IS NOT NULL) STORED,
    subject      text NOT NULL,
    body         text NOT NULL,
    sender_email text NOT NULL,
    sender_name  text,
    source       text NOT NULL,
    metadata     json NOT NULL  -- json, not jsonb: it is given back as it came
);

CREATE INDEX idx_inquiries_timestamp ON inquiries (timestamp, inquiry_id);
CREATE INDEX idx_inquiries_unprocessed ON inquiries (timestamp) WHERE NOT processed;

CREATE TABLE predictions (
    inquiry_id           uuid PRIMARY KEY REFERENCES inquiries ON DELETE CASCADE,
    timestamp            timestamptz NOT NULL,
    category             text NOT NULL,
    category_confidence  double precision NOT NULL,
    sentiment            text NOT NULL,
    sentiment_confidence double precision NOT NULL,
    urgency              text NOT NULL,
    urgency_confidence   double precision NOT NULL,
    scores               bytea NOT NULL,  -- doubles, little-endian: bit for bit what the classifier said
    model_name           text NOT NULL,
    model_version        text NOT NULL,
    model_digest         text NOT NULL,
    needs_review         boolean NOT NULL,
    degraded             json NOT NULL
);

CREATE INDEX idx_predictions_category ON predictions (category, timestamp, inquiry_id);
CREATE INDEX idx_predictions_needs_review ON predictions (timestamp, inquiry_id) WHERE needs_review;
-- For stats, which then need not touch the table.
CREATE INDEX idx_predictions_timestamp ON predictions (timestamp) INCLUDE (category, sentiment, urgency, needs_review);

CREATE TABLE routing_decisions (
    inquiry_id     uuid PRIMARY KEY REFERENCES inquiries ON DELETE CASCADE,
    timestamp      timestamptz NOT NULL,
    department     text NOT NULL,
    consultant     text,
    priority_score double precision NOT NULL,
    escalated      boolean NOT NULL,
    reasons        json NOT NULL,
    sla_due_at     timestamptz NOT NULL,
    resolved_at    timestamptz
);

CREATE INDEX idx_routing_department ON routing_decisions (department, timestamp, inquiry_id);
CREATE INDEX idx_routing_open ON routing_decisions (timestamp, inquiry_id) WHERE resolved_at IS NULL;
CREATE INDEX idx_routing_resolved ON routing_decisions (timestamp, inquiry_id) WHERE resolved_at IS NOT NULL;
CREATE INDEX idx_routing_load ON routing_decisions (consultant) WHERE resolved_at IS NULL AND consultant IS NOT NULL;
-- For stats, which then need not touch the table.
CREATE INDEX idx_routing_timestamp
    ON routing_decisions (timestamp) INCLUDE (department, escalated, priority_score, sla_due_at, resolved_at);

CREATE TABLE feedback (
    feedback_id uuid PRIMARY KEY,  -- a UUIDv7 made by the service, so that writing it again changes nothing
    given_nth   bigint GENERATED ALWAYS AS IDENTITY,  -- the largest is the newest
    inquiry_id  uuid NOT NULL REFERENCES inquiries ON DELETE CASCADE,
    category    text,
    sentiment   text,
    urgency     text,
    reviewer    text,
    given_at    timestamptz NOT NULL
);

CREATE INDEX idx_feedback_inquiry ON feedback (inquiry_id, given_nth);

CREATE TABLE idempotency_keys (
    value       text PRIMARY KEY,
    fingerprint text NOT NULL,
    inquiry_id  uuid NOT NULL UNIQUE REFERENCES inquiries ON DELETE CASCADE
);

-- Written by `check`, to prove that a commit succeeds.
CREATE TABLE write_checks (
    only_row boolean PRIMARY KEY CHECK (only_row),
    writes   bigint NOT NULL
);

INSERT INTO write_checks VALUES (true, 0);

-- One row for each outcome, its columns in the order in which `outcome_rows.OutcomeRows.outcome` reads them.
CREATE VIEW outcomes AS
SELECT
    i.inquiry_id, i.timestamp, i.processed_at, i.subject, i.body, i.sender_email, i.sender_name, i.source, i.metadata,
    k.value AS idempotency_key, k.fingerprint AS idempotency_fingerprint,
    p.category, p.category_confidence, p.sentiment, p.sentiment_confidence, p.urgency, p.urgency_confidence, p.scores,
    p.model_name, p.model_version, p.model_digest, p.needs_review, p.degraded,
    r.department, r.consultant, r.priority_score, r.escalated, r.reasons, r.sla_due_at, r.resolved_at,
    f.category AS feedback_category, f.sentiment AS feedback_sentiment, f.urgency AS feedback_urgency,
    f.reviewer AS feedback_reviewer, f.given_at AS feedback_given_at
FROM inquiries AS i
JOIN predictions AS p ON p.inquiry_id = i.inquiry_id
JOIN routing_decisions AS r ON r.inquiry_id = i.inquiry_id
LEFT JOIN idempotency_keys AS k ON k.inquiry_id = i.inquiry_id
LEFT JOIN LATERAL (
    SELECT * FROM feedback WHERE feedback.inquiry_id = i.inquiry_id ORDER BY given_nth DESC LIMIT 1
) AS f ON true;
