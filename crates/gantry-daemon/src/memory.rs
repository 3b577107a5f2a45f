//! Giving back what a busy time has left.

use crate::sys;
use gantry_supervisor::Supervisor;
use std::time::Duration;
use tokio::time::timeout;

/// How long nothing must have started or ended before memory is given back.
const QUIET: Duration = Duration::from_secs(2);

/// Gives free memory back to the system whenever processes have started or ended, and then none for a while.
pub(crate) async fn give_back(supervisor: Supervisor) {
    supervisor.restored().await;
    loop {
        while timeout(QUIET, supervisor.metrics().changed.notified()).await.is_ok() {}
        sys::trim();
        supervisor.metrics().changed.notified().await;
    }
}
