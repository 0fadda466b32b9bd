//! Writes the metrics file at the end of a command. A failure is a warning: the pushes are sent.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::atomic_file::WholeFile;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::exit::ExitStatus;
use crate::report::gather;
use crate::report::metrics::exposition;

use super::context::CommandContext;

/// Another user, that of the exporter, reads the file.
const MODE: u32 = 0o644;

/// Writes the metrics file, if one is set.
pub(super) async fn write(
    context: &CommandContext,
    command: &'static str,
    result: &Result<ExitStatus>,
) {
    let Some(path) = &context.settings.notify.metrics_file else {
        return;
    };
    let status = match result {
        Ok(status) => *status,
        Err(error) => error.kind().into(),
    };
    if let Err(error) = gather_and_write(context, (command, status), path).await {
        let error = error.context("the metrics file is not written");
        context.ui.warn(format_args!("{error:#}"));
    }
}

async fn gather_and_write(
    context: &CommandContext,
    command: (&str, ExitStatus),
    path: &Path,
) -> Result<()> {
    let store = context.open_stores.first().ok_or_else(|| {
        Error::new(
            ErrorKind::Failed,
            "the command ended before it opened the state store",
        )
    })?;
    let metrics = gather::metrics::metrics(&store, command, context.clock.now()).await?;
    let mut file = WholeFile::begin(path)?;
    let cannot = || format!("cannot write {}", path.display());
    std::fs::set_permissions(file.temporary(), Permissions::from_mode(MODE))
        .and_then(|()| file.write_all(exposition(&metrics).as_bytes()))
        .kind(ErrorKind::Failed, cannot)?;
    file.finish()
}
