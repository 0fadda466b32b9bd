//! One binary for all tests.

mod check;
mod diff;
mod notify;
mod page;
mod schedule;
mod support {
    //! Servers that the tests talk to.

    pub(crate) mod fcm;
}
mod template;
mod timetable;
