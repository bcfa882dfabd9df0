"""One run, many runs, and what is written down about them."""
