-- The tables of a triaged inquiry. All that `save` is given for one inquiry is written in one transaction.
--
-- Times are microseconds since 1970 in UTC: exact, small, and in the order in which they sort. `timestamp` is when the
-- inquiry was received; predictions and routing_decisions repeat it, so that their own indexes list by time.
-- inquiry_id is a UUIDv7, so every table grows at its end.

PRAGMA application_id = 1229869395;  -- "INQS": the file is ours

CREATE TABLE inquiries (
    inquiry_id   TEXT NOT NULL PRIMARY KEY,
    timestamp    INTEGER NOT NULL,
    processed_at INTEGER,
    processed    INTEGER GENERATED ALWAYS AS (processed_at IS NOT NULL) VIRTUAL,
    subject      TEXT NOT NULL,
    body         TEXT NOT NULL,
    sender_email TEXT NOT NULL,
    sender_name  TEXT,
    source       TEXT NOT NULL,
    metadata     TEXT NOT NULL  -- JSON
) STRICT;

CREATE INDEX idx_inquiries_timestamp ON inquiries (timestamp, inquiry_id);
CREATE INDEX idx_inquiries_unprocessed ON inquiries (timestamp) WHERE processed = FALSE;

CREATE TABLE predictions (
    inquiry_id           TEXT NOT NULL PRIMARY KEY REFERENCES inquiries ON DELETE CASCADE,
    timestamp            INTEGER NOT NULL,
    category             TEXT NOT NULL,
    category_confidence  REAL NOT NULL,
    sentiment            TEXT NOT NULL,
    sentiment_confidence REAL NOT NULL,
    urgency              TEXT NOT NULL,
    urgency_confidence   REAL NOT NULL,
    scores               BLOB NOT NULL,  -- doubles, little-endian: bit for bit what the classifier said
    model_name           TEXT NOT NULL,
    model_version        TEXT NOT NULL,
    model_digest         TEXT NOT NULL,
    needs_review         INTEGER NOT NULL,
    degraded             TEXT NOT NULL  -- JSON
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_predictions_category ON predictions (category, timestamp, inquiry_id);
CREATE INDEX idx_predictions_needs_review ON predictions (timestamp, inquiry_id) WHERE needs_review = 1;
-- For stats: the columns that it counts.
CREATE INDEX idx_predictions_timestamp ON predictions (timestamp, sentiment, urgency, needs_review);

CREATE TABLE routing_decisions (
    inquiry_id     TEXT NOT NULL PRIMARY KEY REFERENCES inquiries ON DELETE CASCADE,
    timestamp      INTEGER NOT NULL,
    department     TEXT NOT NULL,
    consultant     TEXT,
    priority_score REAL NOT NULL,
    escalated      INTEGER NOT NULL,
    reasons        TEXT NOT NULL,  -- JSON
    sla_due_at     INTEGER NOT NULL,
    resolved_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_routing_department ON routing_decisions (department, timestamp, inquiry_id);
CREATE INDEX idx_routing_status ON routing_decisions (resolved_at IS NOT NULL, timestamp, inquiry_id);
-- For stats: the columns that it counts.
CREATE INDEX idx_routing_timestamp
    ON routing_decisions (timestamp, escalated, priority_score, sla_due_at, resolved_at);

CREATE TABLE feedback (
    feedback_id INTEGER PRIMARY KEY,  -- the largest is the newest
    inquiry_id  TEXT NOT NULL REFERENCES inquiries ON DELETE CASCADE,
    category    TEXT,
    sentiment   TEXT,
    urgency     TEXT,
    reviewer    TEXT,
    given_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX idx_feedback_inquiry ON feedback (inquiry_id);

CREATE TABLE idempotency_keys (
    value       TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    inquiry_id  TEXT NOT NULL UNIQUE REFERENCES inquiries ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Asked for with every batch: counting the unresolved anew would take longer the more there are.
CREATE TABLE consultant_loads (
    consultant     TEXT NOT NULL PRIMARY KEY,
    open_inquiries INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER consultant_gets AFTER INSERT ON routing_decisions
WHEN new.consultant IS NOT NULL AND new.resolved_at IS NULL
BEGIN
    INSERT INTO consultant_loads (consultant, open_inquiries) VALUES (new.consultant, 1)
    ON CONFLICT (consultant) DO UPDATE SET open_inquiries = open_inquiries + 1;
END;

CREATE TRIGGER consultant_resolves AFTER UPDATE OF resolved_at ON routing_decisions
WHEN old.resolved_at IS NULL AND new.resolved_at IS NOT NULL
BEGIN
    UPDATE consultant_loads SET open_inquiries = open_inquiries - 1 WHERE consultant = new.consultant;
END;

CREATE TRIGGER consultant_loses AFTER DELETE ON routing_decisions
WHEN old.resolved_at IS NULL
BEGIN
    UPDATE consultant_loads SET open_inquiries = open_inquiries - 1 WHERE consultant = old.consultant;
END;

-- Written by `check`, to prove that a commit succeeds.
CREATE TABLE write_checks (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    writes   INTEGER NOT NULL
) STRICT;

INSERT INTO write_checks VALUES (1, 0);

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
LEFT JOIN feedback AS f
    ON f.feedback_id = (SELECT max(newest.feedback_id) FROM feedback AS newest WHERE newest.inquiry_id = i.inquiry_id);

PRAGMA user_version = 1;
