-- What `stats` counts, by the hour in which an inquiry was received, so that it need not go through the rows of hours that
-- are over. `count_hours` fills it in the background, an hour once and again when something in it changed; until then
-- `stats` counts the rows. So this migration copies nothing, and what is stored is not written a second time.
--
-- Triggers put down which hours changed, so that a release before this one, which knows nothing of it, does too. They
-- leave alone what was received within a quarter of an hour: `count_hours` does not come so close, see there. So a submit
-- pays no more than that comparison, and no two of them want the same row.

CREATE TABLE hourly_totals (
    hour                       timestamptz PRIMARY KEY,
    inquiries                  bigint NOT NULL,
    escalated                  bigint NOT NULL,
    priority_score             double precision NOT NULL,
    resolved                   bigint NOT NULL,
    in_time                    bigint NOT NULL,
    open                       bigint NOT NULL,
    first_due_at               timestamptz,  -- of those that are open, as the next
    last_due_at                timestamptz,
    department_technical_support bigint NOT NULL,
    department_finance         bigint NOT NULL,
    department_sales           bigint NOT NULL,
    department_hr              bigint NOT NULL,
    department_legal           bigint NOT NULL,
    department_product_management bigint NOT NULL,
    department_escalation      bigint NOT NULL,
    needs_review               bigint NOT NULL,
    category_technical_support bigint NOT NULL,
    category_billing           bigint NOT NULL,
    category_sales             bigint NOT NULL,
    category_hr                bigint NOT NULL,
    category_legal             bigint NOT NULL,
    category_product_feedback  bigint NOT NULL,
    sentiment_positive         bigint NOT NULL,
    sentiment_neutral          bigint NOT NULL,
    sentiment_negative         bigint NOT NULL,
    urgency_low                bigint NOT NULL,
    urgency_medium             bigint NOT NULL,
    urgency_high               bigint NOT NULL,
    urgency_critical           bigint NOT NULL
);

CREATE INDEX idx_hourly_totals_due ON hourly_totals (last_due_at, first_due_at) WHERE open > 0;

-- Hours before this are counted, but for those that changed since.
CREATE TABLE hours_counted (
    only_row boolean PRIMARY KEY CHECK (only_row),
    until    timestamptz NOT NULL
);

INSERT INTO hours_counted VALUES (true, '-infinity');

CREATE TABLE hours_changed (hour timestamptz NOT NULL);

-- The rows of a time, both ends included, counted by hour. `open` are those that are due before `due_before`.
CREATE FUNCTION totals_by_hour(since timestamptz, through timestamptz, due_before timestamptz)
RETURNS SETOF hourly_totals LANGUAGE sql STABLE AS $$
    SELECT *
    FROM (
        SELECT
            date_trunc('hour', timestamp, 'UTC') AS hour,
            count(*) AS inquiries,
            count(*) FILTER (WHERE escalated) AS escalated,
            sum(priority_score) AS priority_score,
            count(*) FILTER (WHERE resolved_at IS NOT NULL) AS resolved,
            count(*) FILTER (WHERE resolved_at <= sla_due_at) AS in_time,
            count(*) FILTER (WHERE resolved_at IS NULL AND sla_due_at < due_before) AS open,
            min(sla_due_at) FILTER (WHERE resolved_at IS NULL) AS first_due_at,
            max(sla_due_at) FILTER (WHERE resolved_at IS NULL) AS last_due_at,
            count(*) FILTER (WHERE department = 'technical_support') AS department_technical_support,
            count(*) FILTER (WHERE department = 'finance') AS department_finance,
            count(*) FILTER (WHERE department = 'sales') AS department_sales,
            count(*) FILTER (WHERE department = 'hr') AS department_hr,
            count(*) FILTER (WHERE department = 'legal') AS department_legal,
            count(*) FILTER (WHERE department = 'product_management') AS department_product_management,
            count(*) FILTER (WHERE department = 'escalation') AS department_escalation
        FROM routing_decisions
        WHERE timestamp BETWEEN since AND through
        GROUP BY 1
    ) AS r
    JOIN (
        SELECT
            date_trunc('hour', timestamp, 'UTC') AS hour,
            count(*) FILTER (WHERE needs_review) AS needs_review,
            count(*) FILTER (WHERE category = 'technical_support') AS category_technical_support,
            count(*) FILTER (WHERE category = 'billing') AS category_billing,
            count(*) FILTER (WHERE category = 'sales') AS category_sales,
            count(*) FILTER (WHERE category = 'hr') AS category_hr,
            count(*) FILTER (WHERE category = 'legal') AS category_legal,
            count(*) FILTER (WHERE category = 'product_feedback') AS category_product_feedback,
            count(*) FILTER (WHERE sentiment = 'positive') AS sentiment_positive,
            count(*) FILTER (WHERE sentiment = 'neutral') AS sentiment_neutral,
            count(*) FILTER (WHERE sentiment = 'negative') AS sentiment_negative,
            count(*) FILTER (WHERE urgency = 'low') AS urgency_low,
            count(*) FILTER (WHERE urgency = 'medium') AS urgency_medium,
            count(*) FILTER (WHERE urgency = 'high') AS urgency_high,
            count(*) FILTER (WHERE urgency = 'critical') AS urgency_critical
        FROM predictions
        WHERE timestamp BETWEEN since AND through
        GROUP BY 1
    ) AS p USING (hour)
$$;

CREATE FUNCTION hour_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hours_changed (hour)
    VALUES (date_trunc('hour', CASE TG_OP WHEN 'DELETE' THEN old.timestamp ELSE new.timestamp END, 'UTC'));
    RETURN NULL;
END
$$;

CREATE TRIGGER hour_gets AFTER INSERT ON routing_decisions
FOR EACH ROW WHEN (new.timestamp < now() - interval '15 minutes') EXECUTE FUNCTION hour_changes();

CREATE TRIGGER hour_changes AFTER UPDATE ON routing_decisions
FOR EACH ROW WHEN (new.timestamp < now() - interval '15 minutes') EXECUTE FUNCTION hour_changes();

CREATE TRIGGER hour_changes AFTER UPDATE ON predictions
FOR EACH ROW WHEN (new.timestamp < now() - interval '15 minutes') EXECUTE FUNCTION hour_changes();

CREATE TRIGGER hour_loses AFTER DELETE ON routing_decisions
FOR EACH ROW WHEN (old.timestamp < now() - interval '15 minutes') EXECUTE FUNCTION hour_changes();
