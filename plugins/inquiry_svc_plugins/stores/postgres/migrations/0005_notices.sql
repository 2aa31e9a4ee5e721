-- What notifiers have not told yet, a row for each thing that one is to tell of. `save` and its like write it with what
-- it tells of; who delivers it deletes it. Whoever looks for what is due walks along idx_notices_due, and looks up by
-- idx_notices_inquiry whether something of the same inquiry comes first.

CREATE TABLE notices (
    nth           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- one inquiry's are told in this order
    notice_id     uuid NOT NULL,
    notifier      text NOT NULL,
    kind          text NOT NULL,
    inquiry_id    uuid NOT NULL REFERENCES inquiries ON DELETE CASCADE,
    created_at    timestamptz NOT NULL,
    attempts      integer NOT NULL DEFAULT 0,
    waiting_since timestamptz NOT NULL,
    due_at        timestamptz NOT NULL,
    claimed_until timestamptz,
    set_aside_at  timestamptz,
    reason        text
);

CREATE INDEX idx_notices_inquiry ON notices (inquiry_id, notifier, nth);
CREATE INDEX idx_notices_due ON notices (notifier, due_at, nth) WHERE set_aside_at IS NULL;
CREATE INDEX idx_notices_set_aside ON notices (notifier) WHERE set_aside_at IS NOT NULL;
