-- What notifiers have not told yet, a row for each thing that one is to tell of. `save` and its like write it with what
-- it tells of; who delivers it deletes it. Whoever looks for what is due walks along idx_notices_due, and looks up by
-- idx_notices_inquiry whether something of the same inquiry comes first.

CREATE TABLE notices (
    nth           INTEGER PRIMARY KEY,  -- one inquiry's are told in this order
    notice_id     TEXT NOT NULL,
    notifier      TEXT NOT NULL,
    kind          TEXT NOT NULL,
    inquiry_id    TEXT NOT NULL REFERENCES inquiries ON DELETE CASCADE,
    created_at    INTEGER NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    waiting_since INTEGER NOT NULL,
    due_at        INTEGER NOT NULL,
    claimed_until INTEGER,
    set_aside_at  INTEGER,
    reason        TEXT
) STRICT;

CREATE INDEX idx_notices_inquiry ON notices (inquiry_id, notifier);
CREATE INDEX idx_notices_due ON notices (notifier, due_at, nth) WHERE set_aside_at IS NULL;
CREATE INDEX idx_notices_set_aside ON notices (notifier) WHERE set_aside_at IS NOT NULL;

PRAGMA user_version = 6;
