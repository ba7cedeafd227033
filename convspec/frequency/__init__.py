"""The symbol over frequency: evaluated, with its error, and searched."""
