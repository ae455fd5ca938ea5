"""Two trained models side by side: what made them, how training went, what each gets right and where it looks."""
