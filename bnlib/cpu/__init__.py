"""Fast kernels for NumPy arrays: what `bnlib.kernels` chooses among.

`numpy_channels` and `numpy_rows` need NumPy alone; `fused_channels` and `fused_rows`
hold the loops that Numba compiles. Nothing here is imported before it is used.
"""
