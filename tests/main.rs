//! One binary for all tests.

mod support {
    //! Servers that the tests talk to.

    pub(crate) mod fcm;
}

mod fcm;
mod template;
