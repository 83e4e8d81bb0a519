# Uses what a notebook offers besides Python.
# expect: 20
# rest: right

# %% notes
%matplotlib inline
%timeit -n 1 -r 1 np.ones(3)
%load_ext autoreload
%autoreload 2
!pip list
files = !ls
%pip install einops
np.mean?
_ = %pwd
