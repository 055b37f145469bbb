"""JSON-RPC 0.10.2 over a chain: what unmodified Starknet clients ask. HTTP is `server.py`'s."""
