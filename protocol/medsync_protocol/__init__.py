"""The MedSync protocol, pure: bytes, time and entropy in, effects out."""
