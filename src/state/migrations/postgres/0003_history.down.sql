DROP TABLE pushctl.deliveries;
DROP TABLE pushctl.history;
DROP TABLE pushctl.outbox;
