"""What an auditor re-checks from chain data and an audit export; uses nothing of a node's state, store or engine."""
