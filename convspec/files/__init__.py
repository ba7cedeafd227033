"""Models as people have them: factories, exported programs, ONNX, checkpoints."""
