"""Two trained models side by side: their configs, their training, what each gets right and where it looks."""
