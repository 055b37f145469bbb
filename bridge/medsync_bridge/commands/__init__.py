"""Sub-commands that the command line finds by entry point; loading them loads no starknet-py."""
