DROP TABLE payloads;
DROP TABLE outcomes;
DROP TABLE claims;
DROP TABLE senders;
DROP TABLE pushes;
