"""Kernels of low rank: a convolution as two smaller ones, with certified errors."""
