"""GPU path: reference operators, Triton kernels, launch plans and measurements."""
