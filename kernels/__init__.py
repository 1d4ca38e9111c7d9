"""GPU path: reference operators, Triton kernels, launch plans and measurements.

`kernels.plans` is standard library only and describes what a kernel will do on a machine: grid, tiles, bytes and
operations. `kernels.reference` defines each operator in plain torch. The other modules hold one family of Triton
kernels each, whose launchers read the same plans. Nothing is imported here, so that the plans can be read where neither
torch nor triton is installed.
"""
