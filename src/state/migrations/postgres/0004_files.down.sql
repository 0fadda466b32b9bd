DROP TABLE pushctl.files;
