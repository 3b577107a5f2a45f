//! Bundles and throw-away daemons for tests and benchmarks.
