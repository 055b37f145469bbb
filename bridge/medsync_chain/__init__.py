"""The embedded Starknet: one sequencer that executes real compiled CASM and proves nothing."""

__all__: list[str] = []
