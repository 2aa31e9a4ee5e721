-- What the peers that submit keep of an inquiry: one row, one index. The service keeps more, in more tables.
CREATE TABLE IF NOT EXISTS submissions (
    inquiry_id           text PRIMARY KEY,
    received_at          text NOT NULL,
    subject              text NOT NULL,
    body                 text NOT NULL,
    sender_email         text NOT NULL,
    category             text NOT NULL,
    category_confidence  double precision NOT NULL,
    sentiment            text NOT NULL,
    sentiment_confidence double precision NOT NULL,
    urgency              text NOT NULL,
    urgency_confidence   double precision NOT NULL,
    department           text NOT NULL,
    priority_score       double precision NOT NULL
);
