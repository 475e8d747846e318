//! The actors of Backstop.
