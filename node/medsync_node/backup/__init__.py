"""Copies of a home in one file: made while the daemon writes, checked, and restored under a new incarnation."""
