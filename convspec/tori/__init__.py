"""How an operator sits in a torus, and what padding does to the supremum."""
