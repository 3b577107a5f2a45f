//! Wire protocols: types.API of containerd 0.2 and the gRPC health service.
