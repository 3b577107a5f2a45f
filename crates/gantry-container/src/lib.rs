//! Container and process objects and their life cycle.
