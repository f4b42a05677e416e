//! Help and messages on a terminal and elsewhere: no escape sequence where none is wanted, and the nearest word for a wrong one.
