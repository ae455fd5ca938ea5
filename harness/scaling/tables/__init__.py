"""The tables of an experiment: trials, throughput, noise scale."""
