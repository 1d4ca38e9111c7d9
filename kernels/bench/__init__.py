"""Measuring the kernels on a GPU: what is measured (cases), how (harness), and the file that comes out (schema).

Runs from a bare checkout as `python -m kernels.bench`, on the standard library, torch and triton alone: a machine with
a GPU is lent with these and little else, often without a network, so nothing may have to be installed before the first
case. That is why files are checked by `structure` and not by the models that the other rooms use, the command line is
argparse, and libraries that are compared against are imported where they run and missed without complaint. What reads
files or decides what to run has the standard library only. Nothing is imported here, so that measurements can be read
where neither torch nor triton is installed.
"""
