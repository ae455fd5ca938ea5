"""The largest batch that fits in memory, by trying."""
