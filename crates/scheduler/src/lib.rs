//! Begins what is due, once, and judges what was promised.
