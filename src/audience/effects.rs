//! Functions with effects that a read-only transaction does not prevent: they write files or large objects, hold locks,
//! reach other servers or sessions, run text as SQL, or change the session.

const FUNCTIONS: &[&str] = &[
    "brin_desummarize_range",
    "brin_summarize_new_values",
    "brin_summarize_range",
    "crosstab",
    "connectby",
    "cursor_to_xml",
    "gin_clean_pending_list",
    "lo_creat",
    "lo_create",
    "lo_export",
    "lo_from_bytea",
    "lo_import",
    "lo_open",
    "lo_put",
    "lo_truncate",
    "lo_truncate64",
    "lo_unlink",
    "lowrite",
    "nextval",
    "notify",
    "pg_cancel_backend",
    "pg_current_logfile",
    "pg_execute_server_program",
    "pg_export_snapshot",
    "pg_log_backend_memory_contexts",
    "pg_notify",
    "pg_promote",
    "pg_read_binary_file",
    "pg_read_file",
    "pg_reload_conf",
    "pg_stat_file",
    "pg_switch_wal",
    "pg_terminate_backend",
    "set_config",
    "setval",
    "ts_stat",
];

/// Families of functions, by the beginning of their names.
const FAMILIES: &[&str] = &[
    "dblink",
    "http_",
    "pg_advisory_",
    "pg_backup_",
    "pg_copy_",
    "pg_create_",
    "pg_drop_",
    "pg_file_",
    "pg_logical_",
    "pg_ls_",
    "pg_prewarm",
    "pg_replication_",
    "pg_rotate_",
    "pg_start_",
    "pg_stat_reset",
    "pg_stat_statements_reset",
    "pg_stop_",
    "pg_sync_",
    "pg_try_advisory_",
    "pg_wal_replay_",
    "database_to_xml",
    "query_to_xml",
];

/// Settings that a query file may not change.
const SETTINGS: &[&str] = &[
    "default_transaction_read_only",
    "role",
    "row_security",
    "search_path",
    "session_authorization",
    "session_preload_libraries",
    "local_preload_libraries",
    "session_replication_role",
    "transaction_isolation",
    "transaction_read_only",
];

/// Returns whether a function, named in lower case, has such an effect.
pub(super) fn has_effect(function: &str) -> bool {
    FUNCTIONS.contains(&function) || FAMILIES.iter().any(|family| function.starts_with(family))
}

/// Returns whether a setting protects the source.
pub(super) fn is_protected_setting(name: &str) -> bool {
    SETTINGS.contains(&name.to_ascii_lowercase().as_str())
}
