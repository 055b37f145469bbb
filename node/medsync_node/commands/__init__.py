"""The command line's verbs, a module for each noun. They talk to the running daemon through `medsync_client`."""
