"""The functional engine: runs a mapped cascade on real numbers, in mapped order and precision, and finds its errors."""
