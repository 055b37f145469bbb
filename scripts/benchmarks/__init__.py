"""What MedSync costs, beside the best peer that runs: workloads W1 to W6, one process per node, real libp2p and disk.

An entry is one access entry of 300 bytes, sealed for and opened, folded and indexed at every node. Started by
`scripts/bench`.
"""
