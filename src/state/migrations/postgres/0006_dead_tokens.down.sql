DROP TABLE pushctl.dead_tokens;
