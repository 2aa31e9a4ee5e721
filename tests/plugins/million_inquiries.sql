-- :rows inquiries, a minute apart, the newest at :now. One in ten is open, one in fifty needs review, one in twenty has
-- feedback, one in three a key; of those that need review one in ten is held; labels are spread unevenly. Values are spread by a fixed arithmetic, so that every run sees the same.
SET session_replication_role = replica;  -- no row looks for its parent: three times as quick
CREATE TEMP TABLE made AS
SELECT
    lpad(to_hex((extract(epoch FROM :now - n * interval '1 minute') * 1000)::bigint), 12, '0') || '7000'
        || '8000' || lpad(to_hex(n), 12, '0') AS id,
    n, :now - n * interval '1 minute' AS timestamp, (n::bigint * 7919) % 100 AS dice
FROM generate_series(0, :rows - 1) AS n;

INSERT INTO inquiries (inquiry_id, timestamp, processed_at, subject, body, sender_email, sender_name, source, metadata)
SELECT id::uuid, timestamp, timestamp, 'Charged twice', 'My card was charged twice for March.', 'ana@example.org',
    NULL, 'api', '{}'
FROM made;

INSERT INTO predictions
SELECT id::uuid, timestamp,
    (ARRAY['technical_support', 'billing', 'sales', 'hr', 'legal', 'product_feedback'])
        [CASE WHEN dice < 40 THEN 1 WHEN dice < 65 THEN 2 WHEN dice < 80 THEN 3 WHEN dice < 90 THEN 6
         WHEN dice < 97 THEN 4 ELSE 5 END],
    0.9, (ARRAY['neutral', 'negative', 'positive'])[1 + n % 3], 0.9,
    (ARRAY['medium', 'low', 'high', 'critical'])[CASE WHEN n % 50 = 0 THEN 4 ELSE 1 + n % 3 END], 0.9,
    '\x', 'xgboost', '1', 'digest', n % 50 = 7, '[]'
FROM made;

INSERT INTO routing_decisions
SELECT id::uuid, timestamp,
    (ARRAY['technical_support', 'finance', 'sales', 'hr', 'legal', 'product_management', 'escalation'])
        [CASE WHEN dice < 38 THEN 1 WHEN dice < 63 THEN 2 WHEN dice < 78 THEN 3 WHEN dice < 88 THEN 6
         WHEN dice < 95 THEN 4 WHEN dice < 98 THEN 5 ELSE 7 END],
    'Team ' || n % 12, n % 101, dice > 97, '[]', timestamp + interval '4 hours',
    CASE WHEN n % 10 = 3 THEN NULL ELSE timestamp + interval '1 hour' * (n % 9) END
FROM made;

INSERT INTO feedback (feedback_id, inquiry_id, category, given_at)
SELECT gen_random_uuid(), id::uuid, 'sales', timestamp FROM made WHERE n % 20 = 11;

INSERT INTO idempotency_keys SELECT 'key ' || n, 'fingerprint', id::uuid FROM made WHERE n % 3 = 0;

INSERT INTO reviews (inquiry_id, turn_at, timestamp, reasons, reviewer, claimed_until)
SELECT id::uuid, timestamp + interval '4 hours', timestamp, '["low_confidence"]',
    CASE WHEN n % 500 = 7 THEN 'reviewer ' || n % 9 END, CASE WHEN n % 500 = 7 THEN :now + interval '15 minutes' END
FROM made WHERE n % 50 = 7;
