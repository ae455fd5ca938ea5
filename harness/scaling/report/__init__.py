"""From the numbers to words, plots and one page."""
