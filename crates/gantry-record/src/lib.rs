//! The records on disk and the shim contract: names, formats, atomic writing, validation.
