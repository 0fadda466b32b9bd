//! One binary for all tests.

mod audiences;
mod support;
