"""The extremes of the symbol over all frequencies: norms for every size of input."""
