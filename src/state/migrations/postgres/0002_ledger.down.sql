DROP TABLE pushctl.payloads;
DROP TABLE pushctl.outcomes;
DROP TABLE pushctl.claims;
DROP TABLE pushctl.senders;
DROP TABLE pushctl.pushes;
