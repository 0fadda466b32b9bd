//! A superuser's connection to a test's database, for typed parameters and results.

use tokio_postgres::{Client, NoTls};

use super::postgres::Database;

/// Runs `work` on a new connection, outside of any runtime.
pub(crate) fn as_superuser<T>(database: &Database, work: impl AsyncFnOnce(&Client) -> T) -> T {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(database.socket())
        .port(database.port())
        .user("postgres")
        .dbname(&database.name);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (client, connection) = config
            .connect(NoTls)
            .await
            .expect("the test's server lets its superuser in");
        let connection = tokio::spawn(connection);
        let result = work(&client).await;
        drop(client);
        let _ = connection.await;
        result
    })
}
