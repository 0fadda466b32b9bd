DROP TABLE breakers;
DROP TABLE pauses;
DROP TABLE cancels;
DROP TABLE leases;
DROP TABLE phases;
DROP TABLE runs;
