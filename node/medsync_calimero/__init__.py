"""The emulator: the command line and HTTP surface of Calimero's `merod` over a node of ours (DESIGN §3)."""
