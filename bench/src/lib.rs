//! Programs for measuring; see `README.md`.
