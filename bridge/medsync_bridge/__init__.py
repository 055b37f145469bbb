"""The bridge: posts a node's certified statements to the anchor contract. Its own process (STARKNET §8).

The only package that imports starknet-py. What a statement must meet is `medsync_protocol.transition`'s.
"""

__all__: list[str] = []
