"""Fast kernels for NumPy arrays: the tiers "numpy" (`blocked`) and "fused".

Nothing here is imported before it is used.
"""
