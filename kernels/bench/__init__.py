"""Measuring the kernels on a GPU: what is measured (cases), how (harness), and the file that comes out (schema).

Runs from a bare checkout as `python -m kernels.bench`. Nothing is imported here, so that measurements can be read where
neither torch nor triton is installed.
"""
