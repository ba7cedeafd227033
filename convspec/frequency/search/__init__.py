"""Branch and bound over frequency: extremes of the symbol, proven."""
