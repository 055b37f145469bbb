"""The demo: one story on real parts, told by `medsync demo`."""
