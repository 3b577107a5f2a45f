//! Driving an OCI runtime by its command line.
