//! One binary for all tests.

mod support;
