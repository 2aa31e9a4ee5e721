-- Why a person should look, and how much the classifier had to go by. Of an inquiry from before both are not known:
-- its reasons are empty even where it needs review, and its evidence is 1.

ALTER TABLE predictions
    ADD COLUMN evidence double precision NOT NULL DEFAULT 1,
    ADD COLUMN review_reasons json NOT NULL DEFAULT '[]';

CREATE OR REPLACE VIEW outcomes AS
SELECT
    i.inquiry_id, i.timestamp, i.processed_at, i.subject, i.body, i.sender_email, i.sender_name, i.source, i.metadata,
    k.value AS idempotency_key, k.fingerprint AS idempotency_fingerprint,
    p.category, p.category_confidence, p.sentiment, p.sentiment_confidence, p.urgency, p.urgency_confidence, p.scores,
    p.model_name, p.model_version, p.model_digest, p.needs_review, p.degraded,
    r.department, r.consultant, r.priority_score, r.escalated, r.reasons, r.sla_due_at, r.resolved_at,
    f.category AS feedback_category, f.sentiment AS feedback_sentiment, f.urgency AS feedback_urgency,
    f.reviewer AS feedback_reviewer, f.given_at AS feedback_given_at,
    p.evidence, p.review_reasons
FROM inquiries AS i
JOIN predictions AS p ON p.inquiry_id = i.inquiry_id
JOIN routing_decisions AS r ON r.inquiry_id = i.inquiry_id
LEFT JOIN idempotency_keys AS k ON k.inquiry_id = i.inquiry_id
LEFT JOIN LATERAL (
    SELECT * FROM feedback WHERE feedback.inquiry_id = i.inquiry_id ORDER BY given_nth DESC LIMIT 1
) AS f ON true;
