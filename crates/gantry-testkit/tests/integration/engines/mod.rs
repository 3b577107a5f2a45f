//! Other engines on `gantry-runtime`: Debian's containerd 1.6 and podman run containers with it as with runc.

mod containerd;
mod podman;
