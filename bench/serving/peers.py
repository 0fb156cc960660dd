"""What the bench tells its peers."""

FOLDER = "UPDRAFT_BENCH_NETWORK"
"""The variable with the folder that `make_network.py` has written."""
