"""From the tables to numbers: rates selected, the curve fitted, costs and noise scale compared."""
