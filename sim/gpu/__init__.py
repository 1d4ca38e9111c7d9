"""Time of kernel launches on machines of many cores, from the plans that also launch them."""
