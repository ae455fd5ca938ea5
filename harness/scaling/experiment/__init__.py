"""A grid of trials, each a process of its own: planned, run, measured."""
