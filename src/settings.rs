//! Typed settings: flags > environment > config file > default, resolved once, each value with where it came from.

pub mod secret;
