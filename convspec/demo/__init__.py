"""Two trained networks to try convspec on: a small embedded one, a real fetched one."""
