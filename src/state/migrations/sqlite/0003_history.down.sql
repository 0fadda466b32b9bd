DROP TABLE deliveries;
DROP TABLE history;
DROP TABLE outbox;
