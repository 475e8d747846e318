//! The Backstop daemon.
fn main() {}
