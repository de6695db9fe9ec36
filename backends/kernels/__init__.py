"""CUDA kernels for what CuPy would launch many for, one subject a file; each means what composed.py says.

tests/test_kernels.py runs their arithmetic on the host, tests/test_kernels_compiled.py compiles them for several devices.
"""
