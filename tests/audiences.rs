//! Every audience against an independent computation of it, over markets made to catch mistakes.
//!
//! `handmade` states by hand what must come of each edge case, and holds the computation to it; the others hold the
//! program to the computation, byte for byte.

mod handmade;
