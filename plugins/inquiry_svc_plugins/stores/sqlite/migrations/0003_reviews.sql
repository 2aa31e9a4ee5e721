-- The queue of what waits for a person: an inquiry has a row here as long as its prediction needs review. Triggers see to
-- it; `save` writes the prediction before the routing decision.

CREATE TABLE reviews (
    inquiry_id    TEXT NOT NULL PRIMARY KEY REFERENCES inquiries ON DELETE CASCADE,
    turn_at       INTEGER NOT NULL,  -- when the answer is due; later once it was skipped
    timestamp     INTEGER NOT NULL,  -- when it was received
    reasons       TEXT NOT NULL,  -- JSON
    reviewer      TEXT,
    claimed_until INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX idx_reviews_turn ON reviews (turn_at, inquiry_id);
CREATE INDEX idx_reviews_timestamp ON reviews (timestamp, reasons);
CREATE INDEX idx_reviews_reviewer ON reviews (reviewer) WHERE reviewer IS NOT NULL;

CREATE TRIGGER review_begins AFTER INSERT ON routing_decisions
WHEN (SELECT needs_review FROM predictions WHERE inquiry_id = new.inquiry_id)
BEGIN
    INSERT INTO reviews (inquiry_id, turn_at, timestamp, reasons)
    SELECT inquiry_id, new.sla_due_at, timestamp, review_reasons FROM predictions WHERE inquiry_id = new.inquiry_id;
END;

CREATE TRIGGER review_ends AFTER UPDATE OF needs_review ON predictions
WHEN old.needs_review AND NOT new.needs_review
BEGIN
    DELETE FROM reviews WHERE inquiry_id = new.inquiry_id;
END;

INSERT INTO reviews (inquiry_id, turn_at, timestamp, reasons)
SELECT p.inquiry_id, r.sla_due_at, p.timestamp, p.review_reasons
FROM predictions AS p JOIN routing_decisions AS r ON r.inquiry_id = p.inquiry_id
WHERE p.needs_review;

PRAGMA user_version = 3;
