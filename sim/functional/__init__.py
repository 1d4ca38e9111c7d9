"""The functional engine: a mapped cascade on real numbers, in mapped order and declared precision, and how far
it is off.
"""
