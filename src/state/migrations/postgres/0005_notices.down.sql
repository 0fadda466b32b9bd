DROP TABLE pushctl.notices;
