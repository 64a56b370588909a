//! Empty: this package is its bench.
