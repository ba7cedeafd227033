"""What a convolution is: geometry, weight, matrix, products, symbol."""
