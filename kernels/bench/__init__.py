"""Measuring the kernels on a GPU: what is measured (cases), how (harness), and the resulting file (schema).

Runs from a bare checkout as `python -m kernels.bench` and needs only the standard library, torch and triton: a GPU
machine often has little else and no network, so the first case must run without installing anything. Files are
therefore checked by `structure` instead of the models that the other packages use, the command line uses argparse, and
libraries to compare against are imported where they run and skipped if missing. Code that reads files or decides what
to run uses only the standard library. Nothing is imported here, so that measurements can be read where neither torch
nor triton is installed.
"""
