//! Queues, workers, monitor, event log and restore.
