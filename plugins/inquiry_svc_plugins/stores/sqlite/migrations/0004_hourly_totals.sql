-- What `stats` counts, by the hour in which an inquiry was received, so that it need not go through the rows of hours that
-- are over. `count_hours` fills it in the background, an hour once and again when something in it changed; until then
-- `stats` counts the rows. So this migration copies nothing, and what is stored is not written a second time.

CREATE TABLE hourly_totals (
    hour           INTEGER NOT NULL PRIMARY KEY,
    first_due_at   INTEGER,  -- of those that are open, as the next
    last_due_at    INTEGER,
    inquiries      INTEGER NOT NULL,
    escalated      INTEGER NOT NULL,
    priority_score REAL NOT NULL,
    resolved       INTEGER NOT NULL,
    in_time        INTEGER NOT NULL,
    open           INTEGER NOT NULL,
    department_technical_support INTEGER NOT NULL,
    department_finance INTEGER NOT NULL,
    department_sales INTEGER NOT NULL,
    department_hr INTEGER NOT NULL,
    department_legal INTEGER NOT NULL,
    department_product_management INTEGER NOT NULL,
    department_escalation INTEGER NOT NULL,
    needs_review INTEGER NOT NULL,
    category_technical_support INTEGER NOT NULL,
    category_billing INTEGER NOT NULL,
    category_sales INTEGER NOT NULL,
    category_hr INTEGER NOT NULL,
    category_legal INTEGER NOT NULL,
    category_product_feedback INTEGER NOT NULL,
    sentiment_positive INTEGER NOT NULL,
    sentiment_neutral INTEGER NOT NULL,
    sentiment_negative INTEGER NOT NULL,
    urgency_low INTEGER NOT NULL,
    urgency_medium INTEGER NOT NULL,
    urgency_high INTEGER NOT NULL,
    urgency_critical INTEGER NOT NULL
) STRICT;

CREATE INDEX idx_hourly_totals_due ON hourly_totals (last_due_at, first_due_at) WHERE open > 0;

-- Hours before this are counted, but for those that changed since.
CREATE TABLE hours_counted (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    until    INTEGER NOT NULL
) STRICT;

INSERT INTO hours_counted VALUES (1, -9223372036800000000);

-- `change` is another each time, so that who counted an hour knows whether it changed meanwhile.
CREATE TABLE hours_changed (
    hour   INTEGER NOT NULL PRIMARY KEY,
    change INTEGER NOT NULL
) STRICT;

CREATE TRIGGER hour_gets AFTER INSERT ON routing_decisions
WHEN new.timestamp < (SELECT until FROM hours_counted)
BEGIN
    INSERT INTO hours_changed (hour, change)
    VALUES (new.timestamp - (new.timestamp % 3600000000 + 3600000000) % 3600000000, random())
    ON CONFLICT (hour) DO UPDATE SET change = excluded.change;
END;

CREATE TRIGGER hour_routes AFTER UPDATE ON routing_decisions
WHEN new.timestamp < (SELECT until FROM hours_counted)
BEGIN
    INSERT INTO hours_changed (hour, change)
    VALUES (new.timestamp - (new.timestamp % 3600000000 + 3600000000) % 3600000000, random())
    ON CONFLICT (hour) DO UPDATE SET change = excluded.change;
END;

CREATE TRIGGER hour_predicts AFTER UPDATE ON predictions
WHEN new.timestamp < (SELECT until FROM hours_counted)
BEGIN
    INSERT INTO hours_changed (hour, change)
    VALUES (new.timestamp - (new.timestamp % 3600000000 + 3600000000) % 3600000000, random())
    ON CONFLICT (hour) DO UPDATE SET change = excluded.change;
END;

CREATE TRIGGER hour_loses AFTER DELETE ON routing_decisions
WHEN old.timestamp < (SELECT until FROM hours_counted)
BEGIN
    INSERT INTO hours_changed (hour, change)
    VALUES (old.timestamp - (old.timestamp % 3600000000 + 3600000000) % 3600000000, random())
    ON CONFLICT (hour) DO UPDATE SET change = excluded.change;
END;

PRAGMA user_version = 4;
