-- The queue of what waits for a person: an inquiry has a row here as long as its prediction needs review. Triggers see to
-- it, so that a release before this one, which knows no queue, fills and empties it too.
--
-- Making the triggers holds up writers until this migration is committed: for as long as copying what waits takes, some
-- 0.1 s for 10,000.

CREATE TABLE reviews (
    inquiry_id    uuid PRIMARY KEY REFERENCES inquiries ON DELETE CASCADE,
    turn_at       timestamptz NOT NULL,  -- when the answer is due; later once it was skipped
    timestamp     timestamptz NOT NULL,  -- when it was received
    reasons       json NOT NULL,
    reviewer      text,
    claimed_until timestamptz
);

CREATE INDEX idx_reviews_turn ON reviews (turn_at, inquiry_id);
CREATE INDEX idx_reviews_timestamp ON reviews (timestamp);
CREATE INDEX idx_reviews_reviewer ON reviews (reviewer) WHERE reviewer IS NOT NULL;

-- Run at the end of a whole `save`, when the routing decision is there too. One row at a time, by its key: the plan of a
-- join, kept from when the tables were small, would go through them when they are large.
CREATE FUNCTION review_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO reviews (inquiry_id, turn_at, timestamp, reasons)
    SELECT r.inquiry_id, r.sla_due_at, new.timestamp, new.review_reasons
    FROM routing_decisions AS r WHERE r.inquiry_id = new.inquiry_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER review_begins AFTER INSERT ON predictions
FOR EACH ROW WHEN (new.needs_review) EXECUTE FUNCTION review_begins();

CREATE FUNCTION review_ends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM reviews WHERE inquiry_id = new.inquiry_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER review_ends AFTER UPDATE OF needs_review ON predictions
FOR EACH ROW WHEN (old.needs_review AND NOT new.needs_review) EXECUTE FUNCTION review_ends();

INSERT INTO reviews (inquiry_id, turn_at, timestamp, reasons)
SELECT p.inquiry_id, r.sla_due_at, p.timestamp, p.review_reasons
FROM predictions AS p JOIN routing_decisions AS r ON r.inquiry_id = p.inquiry_id
WHERE p.needs_review;
