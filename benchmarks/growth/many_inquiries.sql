-- :rows inquiries for SQLite, a minute apart, the newest at :now in microseconds: as `tests/plugins/million_inquiries.sql`
-- makes them for PostgreSQL.
CREATE TEMP TABLE made AS
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :rows)
SELECT
    printf('%08x-%04x-7000-8000-%012x', (:now / 1000 - n * 60000) >> 16, (:now / 1000 - n * 60000) & 65535, n) AS id,
    n, :now - n * 60000000 AS timestamp, (n * 7919) % 100 AS dice
FROM numbers ORDER BY n DESC;

INSERT INTO inquiries (inquiry_id, timestamp, processed_at, subject, body, sender_email, sender_name, source, metadata)
SELECT id, timestamp, timestamp, 'Charged twice', 'My card was charged twice for March.', 'ana@example.org', NULL,
    'api', '{}'
FROM made;

INSERT INTO predictions
    (inquiry_id, timestamp, category, category_confidence, sentiment, sentiment_confidence, urgency, urgency_confidence,
     scores, model_name, model_version, model_digest, needs_review, degraded)
SELECT id, timestamp,
    CASE WHEN dice < 40 THEN 'technical_support' WHEN dice < 65 THEN 'billing' WHEN dice < 80 THEN 'sales'
        WHEN dice < 90 THEN 'product_feedback' WHEN dice < 97 THEN 'hr' ELSE 'legal' END,
    0.9, CASE n % 3 WHEN 0 THEN 'neutral' WHEN 1 THEN 'negative' ELSE 'positive' END,
    0.9, CASE WHEN n % 50 = 0 THEN 'critical' WHEN n % 3 = 0 THEN 'medium' WHEN n % 3 = 1 THEN 'low' ELSE 'high' END,
    0.9, x'', 'xgboost', '1', 'digest', n % 50 = 7, '[]'
FROM made;

INSERT INTO routing_decisions
    (inquiry_id, timestamp, department, consultant, priority_score, escalated, reasons, sla_due_at, resolved_at)
SELECT id, timestamp,
    CASE WHEN dice < 38 THEN 'technical_support' WHEN dice < 63 THEN 'finance' WHEN dice < 78 THEN 'sales'
        WHEN dice < 88 THEN 'product_management' WHEN dice < 95 THEN 'hr' WHEN dice < 98 THEN 'legal'
        ELSE 'escalation' END,
    'Team ' || n % 12, n % 101, dice > 97, '[]', timestamp + 14400000000,
    CASE WHEN n % 10 = 3 THEN NULL ELSE timestamp + 3600000000 * (n % 9) END
FROM made;

INSERT INTO idempotency_keys SELECT 'key ' || n, 'fingerprint', id FROM made WHERE n % 3 = 0;

DROP TABLE made;
ANALYZE;
