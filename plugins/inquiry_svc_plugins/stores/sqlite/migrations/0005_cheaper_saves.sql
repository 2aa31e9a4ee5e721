-- What follows from a routing decision, triggers wrote, a row at a time; `save` does it now, once a batch, and says so in
-- `followed_up`. The release before knows nothing of that column, so while it runs beside this one a trigger does it.
--
-- Below that trigger no statement may be able to fail half-way but by a constraint: no function, no ON CONFLICT, no
-- foreign key that is checked. Else SQLite copies each page that an insert changes to a file, which was half of all that
-- a save wrote. The view lies between since an insert pays for the registers of a trigger even where it does not fire.
--
-- The two indexes for stats never held all that stats counts. Their pages are freed without being zeroed, which takes
-- 0.1 s of a million inquiries instead of 1.5; no text was in them.

DROP TRIGGER consultant_gets;
DROP TRIGGER review_begins;
DROP TRIGGER hour_gets;

ALTER TABLE routing_decisions ADD COLUMN followed_up INTEGER NOT NULL DEFAULT 0;

CREATE VIEW to_follow_up AS
SELECT inquiry_id, timestamp, consultant, sla_due_at, resolved_at FROM routing_decisions;

CREATE TRIGGER of_the_release_before AFTER INSERT ON routing_decisions
WHEN NOT new.followed_up
BEGIN
    INSERT INTO to_follow_up VALUES (new.inquiry_id, new.timestamp, new.consultant, new.sla_due_at, new.resolved_at);
END;

CREATE TRIGGER follow_up INSTEAD OF INSERT ON to_follow_up
BEGIN
    INSERT INTO consultant_loads (consultant, open_inquiries)
    SELECT new.consultant, 0
    WHERE new.consultant IS NOT NULL AND new.resolved_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM consultant_loads WHERE consultant = new.consultant);

    UPDATE consultant_loads SET open_inquiries = open_inquiries + 1
    WHERE consultant = new.consultant AND new.resolved_at IS NULL;

    INSERT INTO reviews (inquiry_id, turn_at, timestamp, reasons)
    SELECT inquiry_id, new.sla_due_at, timestamp, review_reasons
    FROM predictions
    WHERE inquiry_id = new.inquiry_id AND needs_review;

    -- The rowid of the inquiry that changed an hour is another each time, as a random number is.
    DELETE FROM hours_changed
    WHERE hour = new.timestamp - (new.timestamp % 3600000000 + 3600000000) % 3600000000;

    INSERT INTO hours_changed (hour, change)
    SELECT new.timestamp - (new.timestamp % 3600000000 + 3600000000) % 3600000000, rowid
    FROM inquiries
    WHERE inquiry_id = new.inquiry_id AND new.timestamp < (SELECT until FROM hours_counted);
END;

PRAGMA secure_delete = FAST;
DROP INDEX idx_predictions_timestamp;
DROP INDEX idx_routing_timestamp;

PRAGMA user_version = 5;
