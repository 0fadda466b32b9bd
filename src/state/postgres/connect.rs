//! From a URL to a session.

use std::sync::Arc;
use std::time::Duration;

use postgres_native_tls::MakeTlsConnector;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config};

use super::Trouble;
use crate::error::{Context, Kind, Result};
use crate::settings::secret::Secret;
use crate::state::failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Knows the way to the server.
pub(super) struct Connector {
    config: Config,
    tls: MakeTlsConnector,
}

/// One connection; dropping it closes it, and the server undoes what was not committed.
pub(super) struct Session {
    pub(super) client: Arc<Client>,
    driver: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connector {
    pub(super) fn new(url: &Secret) -> Result<Self> {
        let config: Config = url
            .reveal()
            .parse()
            .kind(Kind::Usage, || "cannot read the address of the state store")?;
        let tls = native_tls::TlsConnector::new()
            .kind(Kind::Failed, || "cannot set up TLS")?;
        Ok(Self {
            config,
            tls: MakeTlsConnector::new(tls),
        })
    }

    pub(super) async fn connect(&self) -> Result<Session, Trouble> {
        let connecting = self.config.connect(self.tls.clone());
        let (client, connection) = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(pair)) => pair,
            Ok(Err(refusal)) => {
                return Err(Trouble {
                    passes: super::passes(&refusal),
                    error: failure::postgres(refusal),
                });
            }
            Err(_) => {
                return Err(Trouble {
                    passes: true,
                    error: failure::silent(CONNECT_TIMEOUT),
                });
            }
        };
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("the connection to the state store ended: {error}");
            }
        });
        Ok(Session { client: Arc::new(client), driver })
    }
}
