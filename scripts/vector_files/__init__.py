"""Makers of protocol/vectors/*.json, one function a file; scripts/vectors writes what they give."""
