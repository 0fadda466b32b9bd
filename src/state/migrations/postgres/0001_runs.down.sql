DROP TABLE pushctl.breakers;
DROP TABLE pushctl.pauses;
DROP TABLE pushctl.cancels;
DROP TABLE pushctl.leases;
DROP TABLE pushctl.phases;
DROP TABLE pushctl.runs;
