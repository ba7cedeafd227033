"""Numbers, and how they are known: bounds, estimates, directed rounding in print."""
