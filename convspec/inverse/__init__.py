"""What a linear map loses and what can be had back of it: inverses, null spaces."""
