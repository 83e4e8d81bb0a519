"""PS6's versions.

A wrong version is a right one with a line or two edited, as a learner would write it:
``(what the message must say, old, new, ...)``. Nothing here uses the checks' own knobs.

Compiling a kernel takes a second; there are few versions that differ in little.
"""

# ruff: noqa: E501  (a row of a table is a line)

from bnlib.check import kernels
from versions import right, wrong

CHECKS = kernels

# fmt: off

# 1. Blocked NumPy

BLOCKED = """
def batch_norm_blocked(x, gamma, beta, eps=1e-5):
    C = x.shape[1]
    y = np.empty_like(x)
    for start in range(0, C, 2):
        part = slice(start, start + 2)
        xs = x[:, part]
        mu = xs.mean(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
        c = xs - mu
        v = (c**2).mean(axis=(0, 2, 3), keepdims=True)
        s = np.sqrt(v + eps)
        g = gamma[part].reshape(1, -1, 1, 1)
        b = beta[part].reshape(1, -1, 1, 1)
        y[:, part] = g * (c / s) + b
    return y
"""
AXES = "axis=(0, 2, 3)"
WHOLE = ("range(0, C, 2)", "range(0, C, C)", "start + 2", "start + C")
WRONG_BLOCKED = [
    ("times x, and it grows with C: whole arrays", *WHOLE),
    ("times x, and it grows with C: whole arrays", "for start in range(0, C, 2):", "d = x - x.mean(axis=(0, 2, 3), keepdims=True)\n    for start in range(0, C, 2):"),
    ("times x, and it grows with C: whole arrays", "C = x.shape[1]", "C = x.shape[1]\n    x = x.astype(np.float64)", "np.empty_like(x)", "np.empty(x.shape, np.float32 if gamma.dtype == np.float32 else np.float64)"),
    ("channels of x. The blocks are there", "range(0, C, 2)", "range(0, C, 16)", "start + 2", "start + 16"),
    ("y is float64 where x is float32", "np.empty_like(x)", "np.empty(x.shape)"),
    ("instance norm", AXES, "axis=(2, 3)"),
    ("one for each position", AXES, "axis=0"),
    ("layer norm", "range(0, C, 2)", "range(0, C, C)", "start + 2", "start + C", AXES, "axis=(1, 2, 3)"),
    ("share one mean and one variance", AXES, "axis=(0, 1, 2, 3)"),
    ("blocks are of samples, 2 at a time", "C = x.shape[1]", "N = x.shape[0]", "range(0, C, 2)", "range(0, N, 2)", "x[:, part]", "x[part]", "y[:, part]", "y[part]", "gamma[part]", "gamma", "beta[part]", "beta"),
    ("last channels are left out", "np.empty_like(x)", "np.zeros_like(x)", "range(0, C, 2)", "range(0, C // 2 * 2, 2)"),
    ("last channels are left out", "np.empty_like(x)", "np.zeros_like(x)", "range(0, C, 2)", "range(0, C // 4 * 4, 4)", "start + 2", "start + 4"),
    ("gamma and beta of the first block", "gamma[part]", "gamma[:xs.shape[1]]", "beta[part]", "beta[:xs.shape[1]]"),
    ("It raises ValueError on", "gamma[part]", "gamma", "beta[part]", "beta"),
    ("eps belongs inside", "np.sqrt(v + eps)", "np.sqrt(v) + eps"),
    ("eps is missing", "np.sqrt(v + eps)", "np.sqrt(v)"),
    ("square root is missing", "np.sqrt(v + eps)", "v + eps"),
    (r"divided by N·H·W − 1", "(c**2).mean(axis=(0, 2, 3), keepdims=True)", "xs.var(axis=(0, 2, 3), keepdims=True, ddof=1)"),
    ("loses its digits", "(c**2).mean(axis=(0, 2, 3), keepdims=True)", "(xs**2).mean(axis=(0, 2, 3), keepdims=True) - mu**2"),
    (r"gamma·\(xhat \+ beta\)", "g * (c / s) + b", "g * (c / s + b)"),
    ("beta is missing", "g * (c / s) + b", "g * (c / s)"),
    ("standard deviation is where", "(c**2).mean(axis=(0, 2, 3), keepdims=True)", "xs.std(axis=(0, 2, 3), keepdims=True)"),
    ("changes its input x", "c = xs - mu", "xs -= mu\n        c = xs"),
    ("returns None", "    return y", "    y"),
]
RIGHT_BLOCKED = {
    "blocks of two channels": BLOCKED,
    "one channel at a time": """
def batch_norm_blocked(x, gamma, beta, eps=1e-5):
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        mu = x[:, c].mean(dtype=np.float64)
        d = x[:, c] - x.dtype.type(mu)
        v = np.mean(d * d, dtype=np.float64) - (mu - x.dtype.type(mu))**2
        y[:, c] = d * x.dtype.type(gamma[c] / np.sqrt(v + eps)) + x.dtype.type(beta[c] + gamma[c] * (x.dtype.type(mu) - mu) / np.sqrt(v + eps))
    return y
""",
    "var and in-place steps": """
def batch_norm_blocked(x, gamma, beta, eps=1e-5):
    y = np.empty_like(x)
    for start in range(0, x.shape[1], 3):
        part = slice(start, start + 3)
        xs, out = x[:, part], y[:, part]
        mean = xs.mean((0, 2, 3), keepdims=True, dtype=float)
        scale = gamma[part, None, None] / np.sqrt(xs.var((0, 2, 3), keepdims=True, dtype=float) + eps)
        np.subtract(xs, mean, out=out, casting="same_kind")
        out *= scale.astype(x.dtype)
        out += beta[part, None, None]
    return y
""",
    "split": """
def batch_norm_blocked(x, gamma, beta, eps=1e-5):
    y = np.zeros(x.shape, x.dtype)
    count = max(1, x.shape[1] // 2)
    for ids in np.array_split(np.arange(x.shape[1]), count):
        part = x[:, ids[0]:ids[-1] + 1].astype(float)
        part -= part.mean(axis=(0, 2, 3), keepdims=True)
        part /= np.sqrt(np.square(part).mean(axis=(0, 2, 3), keepdims=True) + eps)
        y[:, ids[0]:ids[-1] + 1] = part * gamma[ids].reshape(-1, 1, 1) + beta[ids].reshape(-1, 1, 1)
    return y
""",
    "a helper": """
def _one(a, g, b, eps):
    a = a.astype(np.float64)
    d = a - a.mean()
    return d * (g / np.sqrt((d**2).mean() + eps)) + b

def batch_norm_blocked(x, gamma, beta, eps=1e-5):
    y = np.empty(x.shape, dtype=x.dtype)
    for c in range(x.shape[1]):
        y[:, c] = _one(x[:, c], gamma[c], beta[c], eps)
    return y
""",
}

# 2. One text for two libraries

GENERIC = """
def batch_norm(xp, x, gamma, beta, eps=1e-5):
    mu = xp.mean(x, axis=(0, 2, 3), keepdims=True)
    c = x - mu
    v = xp.mean(c**2, axis=(0, 2, 3), keepdims=True)
    s = xp.sqrt(v + eps)
    g = xp.reshape(gamma, (1, -1, 1, 1))
    b = xp.reshape(beta, (1, -1, 1, 1))
    return g * (c / s) + b
"""
WRONG_GENERIC = [
    ("np.mean is given an array that is not NumPy's: write xp.mean", "xp.mean(x", "np.mean(x"),
    ("np.sqrt meets an array that is not NumPy's", "xp.sqrt", "np.sqrt"),
    ("np.reshape is given an array", "xp.reshape(gamma", "np.reshape(gamma"),
    ("turned into NumPy's without a word", "    mu =", "    x = np.asarray(x)\n    mu ="),
    ("one of NumPy's arrays, made by a function of np's", "return g * (c / s) + b", "return g * (c / s) + b + np.zeros(x.shape)"),
    ("one of NumPy's arrays, made by a function of np's", "return g * (c / s) + b", "y = xp.zeros(x.shape)\n    y[...] = np.ones(x.shape)\n    return g * (c / s) + b"),
    ("one of NumPy's arrays, made by a function of np's", "xp.sqrt(v + eps)", "xp.sqrt(v + np.full((1, 1, 1, 1), eps))"),
    ("array is looped over", "    return", "    for one in x:\n        pass\n    return"),
    ("np.square meets", "c**2", "np.square(c)"),
    ("np.multiply meets", "g * (c / s) + b", "np.float64(1) * (c / s) * g + b"),
    ("still to be written", "    mu =", "    raise NotImplementedError\n    mu ="),
    ("each sample's own", "axis=(0, 2, 3)", "axis=(2, 3)"),
    ("one for each position", "axis=(0, 2, 3)", "axis=0"),
    ("layer norm", "axis=(0, 2, 3)", "axis=(1, 2, 3)"),
    ("eps belongs inside", "xp.sqrt(v + eps)", "xp.sqrt(v) + eps"),
    ("divided by N·H·W − 1", "xp.mean(c**2, axis=(0, 2, 3), keepdims=True)", "xp.var(x, axis=(0, 2, 3), keepdims=True, ddof=1)"),
    ("mean of x², not", "xp.mean(c**2", "xp.mean(x**2"),
    ("gamma is missing", "g * (c / s) + b", "(c / s) + b"),
    (r"gamma·\(xhat \+ beta\)", "g * (c / s) + b", "g * (c / s + b)"),
    ("changes its input x", "c = x - mu", "x -= mu\n    c = x"),
]
RIGHT_GENERIC = {
    "xp's functions": GENERIC,
    "methods": """
def batch_norm(xp, x, gamma, beta, eps=1e-5):
    x = x - x.mean((0, 2, 3), keepdims=True)
    s = xp.sqrt((x * x).mean((0, 2, 3), keepdims=True) + eps)
    return gamma[:, None, None] * (x / s) + beta[None, :, None, None]
""",
    "var": """
def batch_norm(xp, x, gamma, beta, eps=1e-5):
    axes = (0, 2, 3)
    xhat = (x - xp.mean(x, axes, keepdims=True)) / (xp.var(x, axes, keepdims=True) + eps) ** 0.5
    return gamma.reshape(1, -1, 1, 1) * xhat + beta.reshape(1, -1, 1, 1)
""",
    "channels last": """
def batch_norm(xp, x, gamma, beta, eps=1e-5):
    t = xp.moveaxis(x, 1, -1)
    flat = xp.reshape(t, (-1, t.shape[-1]))
    mean, var = flat.mean(axis=0), flat.var(axis=0)
    y = (flat - mean) * (gamma / xp.sqrt(var + eps)) + beta
    return xp.moveaxis(xp.reshape(y, t.shape), -1, 1)
""",
    "einsum and expand_dims": """
def batch_norm(xp, x, gamma, beta, eps=1e-5):
    n = x.size / x.shape[1]
    up = lambda a: xp.expand_dims(a, (0, 2, 3))
    d = x - up(xp.einsum("nchw->c", x) / n)
    v = xp.einsum("nchw,nchw->c", d, d) / n
    y = xp.empty_like(x)
    y[...] = up(gamma / xp.sqrt(v + eps)) * d + up(beta)
    return y
""",
}

GENERIC_BACKWARD = """
def batch_norm_backward(xp, dy, x, gamma, eps=1e-5):
    M = x.shape[0] * x.shape[2] * x.shape[3]
    mean = lambda a: xp.mean(a, axis=(0, 2, 3), keepdims=True)
    mu = mean(x)
    c = x - mu
    s = xp.sqrt(mean(c**2) + eps)
    xhat = c / s
    dbeta = xp.sum(dy, axis=(0, 2, 3))
    dgamma = xp.sum(dy * xhat, axis=(0, 2, 3))
    d = xp.reshape(gamma, (1, -1, 1, 1)) * dy
    m1 = mean(d)
    m2 = mean(d * xhat)
    dx = (d - m1 - xhat * m2) / s
    return dx, dgamma, dbeta
"""
DX = "(d - m1 - xhat * m2) / s"
RETURN = "return dx, dgamma, dbeta"
WRONG_GENERIC_BACKWARD = [
    ("np.sum is given an array that is not NumPy's: write xp.sum", "xp.sum(dy, ", "np.sum(dy, "),
    ("np.sqrt meets", "xp.sqrt", "np.sqrt"),
    ("np.einsum is given", "xp.sum(dy * xhat, axis=(0, 2, 3))", "np.einsum('nchw,nchw->c', dy, xhat)"),
    ("one of NumPy's arrays", DX, f"np.zeros(x.shape) + {DX}"),
    ("NumPy's array is returned", RETURN, "return dx, dgamma, np.zeros(x.shape[1])"),
    ("as constants", DX, "d / s"),
    (r"term − mean\(d\) is missing", DX, "(d - xhat * m2) / s"),
    (r"term − xhat·mean\(d·xhat\) is missing", DX, "(d - m1) / s"),
    ("You subtract sums", DX, "(d - m1 * M - xhat * m2 * M) / s"),
    ("gamma is missing from dx", "xp.reshape(gamma, (1, -1, 1, 1)) * dy", "dy"),
    ("not divided by s", DX, "d - m1 - xhat * m2"),
    ("wrong sign", DX, "(d - m1 + xhat * m2) / s"),
    ("swapped", RETURN, "return dx, dbeta, dgamma"),
    ("dgamma is a mean", "xp.sum(dy * xhat", "xp.mean(dy * xhat"),
    ("over the batch only", "xp.sum(dy, axis=(0, 2, 3))", "xp.sum(dy, axis=0)", "xp.sum(dy * xhat, axis=(0, 2, 3))", "xp.sum(dy * xhat, axis=0)"),
    (r"sum of dy·\(x − mu\)", "xp.sum(dy * xhat", "xp.sum(dy * c"),
    ("means in dx are over the batch only", "m1 = mean(d)", "m1 = d.mean(0)", "m2 = mean(d * xhat)", "m2 = (d * xhat).mean(0)"),
    ("eps belongs inside", "xp.sqrt(mean(c**2) + eps)", "xp.sqrt(mean(c**2)) + eps"),
    ("returns one", RETURN, "return dx"),
    ("changes its input dy", "d = xp.reshape(gamma, (1, -1, 1, 1)) * dy", "dy *= xp.reshape(gamma, (1, -1, 1, 1))\n    d = dy"),
]
RIGHT_GENERIC_BACKWARD = {
    "the formula": GENERIC_BACKWARD,
    "parameters first": """
def batch_norm_backward(xp, dy, x, gamma, eps=1e-5):
    axes = (0, 2, 3)
    m = x.size // x.shape[1]
    r = 1 / xp.sqrt(x.var(axes, keepdims=True) + eps)
    xhat = (x - x.mean(axes, keepdims=True)) * r
    dbeta, dgamma = dy.sum(axes, keepdims=True), (dy * xhat).sum(axes, keepdims=True)
    dx = gamma[:, None, None] * r * (dy - dbeta / m - xhat * (dgamma / m))
    return dx, dgamma.reshape(-1), xp.ravel(dbeta)
""",
    "a list": GENERIC_BACKWARD.replace(RETURN, "return tuple([dx, dgamma, dbeta])"),
    "node by node": """
def batch_norm_backward(xp, dy, x, gamma, eps=1e-5):
    k = dict(axis=(0, 2, 3), keepdims=True)
    m = x.size / x.shape[1]
    c = x - xp.mean(x, **k)
    v = xp.mean(c * c, **k)
    s = (v + eps) ** 0.5
    dxhat = dy * xp.reshape(gamma, (-1, 1, 1))
    dv = xp.sum(dxhat * c, **k) * -0.5 * (v + eps) ** -1.5
    dmu = -xp.sum(dxhat / s, **k) - 2 * dv * xp.mean(c, **k)
    dx = dxhat / s + dv * 2 * c / m + dmu / m
    return dx, xp.sum(dy * c / s, axis=(0, 2, 3)), xp.sum(dy, axis=(0, 2, 3))
""",
    "channels last": """
def batch_norm_backward(xp, dy, x, gamma, eps=1e-5):
    def rows(a):
        return xp.reshape(xp.moveaxis(a, 1, -1), (-1, a.shape[1]))
    d, c = rows(dy), rows(x) - rows(x).mean(axis=0)
    s = xp.sqrt((c**2).mean(axis=0) + eps)
    dgamma, dbeta = (d * c / s).sum(axis=0), d.sum(axis=0)
    dx = gamma / s * (d - dbeta / len(d) - c / s * dgamma / len(d))
    n, channels, h, w = x.shape
    return xp.moveaxis(xp.reshape(dx, (n, h, w, channels)), -1, 1), dgamma, dbeta
""",
}

# 3. CUDA: sums of rows


def cuda(name, source):
    """Return a learner's function that returns this source."""
    return f'def {name}():\n    return r"""{source}"""\n'


ROW_SUMS = cuda("row_sums", """
extern __shared__ float unused[];
__global__ void row_sums(const float* x, float* sums, int n) {
  __shared__ float s[32];
  int t = threadIdx.x, lane = t % 32, warp = t / 32, warps = blockDim.x / 32;
  float mine = 0;
  for (int i = t; i < n; i += blockDim.x) mine += x[blockIdx.x * n + i];
  for (int d = 16; d > 0; d /= 2) mine += __shfl_down_sync(0xffffffff, mine, d);
  if (lane == 0) s[warp] = mine;
  __syncthreads();
  if (warp == 0) {
    mine = lane < warps ? s[lane] : 0;
    for (int d = 16; d > 0; d /= 2) mine += __shfl_down_sync(0xffffffff, mine, d);
    if (lane == 0) sums[blockIdx.x] = mine;
  }
}
""".replace("extern __shared__ float unused[];\n", ""))
SHUFFLES = "for (int d = 16; d > 0; d /= 2) mine += __shfl_down_sync(0xffffffff, mine, d);"
LOOP = "for (int i = t; i < n; i += blockDim.x) mine += x[blockIdx.x * n + i];"
LAST = "if (lane == 0) sums[blockIdx.x] = mine;"
TREE = cuda("row_sums", """
__global__ void row_sums(const float* x, float* sums, int n) {
  __shared__ float s[1024];
  int t = threadIdx.x;
  s[t] = 0;
  for (int i = t; i < n; i += blockDim.x) s[t] += x[blockIdx.x * n + i];
  __syncthreads();
  for (int size = blockDim.x; size > 1; size = (size + 1) / 2) {
    if (t < size / 2) s[t] += s[t + (size + 1) / 2];
    __syncthreads();
  }
  if (t == 0) sums[blockIdx.x] = s[0];
}
""")
HALVING = "for (int size = blockDim.x; size > 1; size = (size + 1) / 2) {\n    if (t < size / 2) s[t] += s[t + (size + 1) / 2];"
PLAIN_HALVING = "for (int size = blockDim.x / 2; size > 0; size /= 2) {\n    if (t < size) s[t] += s[t + size];"
WRONG_ROW_SUMS = [
    ("Between them there is no __sync", "  __syncthreads();\n", ""),
    ("Only the first warp's", LAST, LAST.replace("= mine", "= s[0]")),
    ("Only the first warp's", "lane < warps ? s[lane] : 0", "lane < 1 ? s[0] : 0"),
    ("Only lane 0 of each warp", f"  {SHUFFLES}\n  if (lane == 0) s", "  if (lane == 0) s"),
    ("first half of each warp", "int d = 16;", "int d = 8;"),
    ("first half of each warp is in the sum, and that twice|lane", "mine, d);\n  if (lane == 0) s", "mine, d, 16);\n  if (lane == 0) s"),
    ("nobody has written", "lane < warps ? s[lane] : 0", "s[lane]"),
    ("names lanes in its mask .* that do not come", "if (warp == 0) {\n    mine = lane < warps ? s[lane] : 0;", "if (t < warps) {\n    mine = s[lane];"),
    ("mask", "__shfl_down_sync(0xffffffff, mine, d);\n  if (lane == 0) s", "__shfl_down_sync(0xffff, mine, d);\n  if (lane == 0) s"),
    ("out of bounds", LOOP, "for (int i = t; i < n + blockDim.x; i += blockDim.x) mine += x[blockIdx.x * n + i];"),
    ("out of bounds", LOOP, "for (int i = t; i <= n; i += blockDim.x) mine += x[blockIdx.x * n + i];"),
    ("out of bounds|takes one value", LOOP, "mine = x[blockIdx.x * n + t];"),
    ("takes one value", LOOP, "if (t < n) mine = x[blockIdx.x * n + t];"),
    ("last whole round", LOOP, "for (int k = 0; k < n / (int)blockDim.x; k++) mine += x[blockIdx.x * n + k * blockDim.x + t];"),
    ("keeps only the last", LOOP, LOOP.replace("mine +=", "mine =")),
    ("whole numbers", "  float mine = 0;\n", "  float mine = 0;\n  int whole = 0;\n", LOOP, LOOP.replace("mine +=", "whole +=") + "\n  mine = whole;"),
    ("walk down a column", "x[blockIdx.x * n + i]", "x[blockIdx.x + gridDim.x * i]"),
    ("sum row 0", "x[blockIdx.x * n + i]", "x[i]"),
    ("That is the mean", "sums[blockIdx.x] = mine", "sums[blockIdx.x] = mine / n"),
    ("number of threads", "sums[blockIdx.x] = mine", "sums[blockIdx.x] = mine / blockDim.x"),
    ("depends on the order|race", LAST, "sums[blockIdx.x] = mine;"),
    ("Nothing orders different blocks", "sums[blockIdx.x]", "sums[0]"),
    ("does not compile", "float mine = 0;", "float mine = 0"),
    ("no __global__ function row_sums", "void row_sums", "void row_sum"),
    ("takes 2 arguments", ", int n)", ")", "int t =", "int n = 200, t ="),
    ("expected the source of the kernel", 'return r"""', 'r"""'),
    ("The source includes", "__global__", "#include <cstdio>\n__global__"),
]
WRONG_TREE = [
    ("halving loses threads", HALVING, PLAIN_HALVING),
    ("Between them there is no __sync", "(size + 1) / 2];\n    __syncthreads();", "(size + 1) / 2];"),
    ("Between them there is no __syncthreads", "  __syncthreads();\n  for (int size", "  for (int size"),
    ("Divergent barrier", HALVING + "\n    __syncthreads();", HALVING[:HALVING.index("if (t <")] + "if (t < size / 2) {\n      s[t] += s[t + (size + 1) / 2];\n      __syncthreads();\n    }"),
    ("out of bounds", "s[1024]", "s[64]"),
    ("nobody has written", "  s[t] = 0;\n", ""),
    ("Only thread 0's own", HALVING + "\n    __syncthreads();\n  }\n", ""),
    ("no __syncwarp|no __syncthreads", "size > 1; size = (size + 1) / 2) {", "size > 1; size = (size + 1) / 2) {\n    if (size <= 32) {\n      if (t < 16) s[t] += t + 16 < size ? s[t + 16] : 0;\n      if (t < 8) s[t] += s[t + 8];\n      if (t < 4) s[t] += s[t + 4];\n      if (t < 2) s[t] += s[t + 2];\n      if (t < 1) s[t] += s[t + 1];\n      break;\n    }"),
    ("does not end", "size > 1; size", "size > 0; size"),
]
RIGHT_ROW_SUMS = {
    "shuffles, two stages": ROW_SUMS,
    "halving": TREE,
    "xor shuffles": ROW_SUMS.replace("__shfl_down_sync", "__shfl_xor_sync"),
    "atomics in shared memory": cuda("row_sums", """
__global__ void row_sums(const float* x, float* sums, int n) {
  __shared__ float total;
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  float mine = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) mine += x[blockIdx.x * n + i];
  atomicAdd(&total, mine);
  __syncthreads();
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}
"""),
    "a device function and a template": cuda("row_sums", """
template <int D>
__device__ float warp_sum(float v) {
  v += __shfl_down_sync(0xffffffff, v, D);
  if constexpr (D > 1) return warp_sum<D / 2>(v);
  return v;
}
__global__ void row_sums(const float* __restrict__ in, float* __restrict__ out, int n) {
  __shared__ float part[32];
  const float* row = in + blockIdx.x * n;
  float sum = 0.0f;
  for (unsigned i = threadIdx.x; i < n; i += blockDim.x) sum += __ldg(row + i);
  sum = warp_sum<16>(sum);
  if ((threadIdx.x & 31) == 0) part[threadIdx.x >> 5] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < blockDim.x / 32; w++) sum += part[w];
    out[blockIdx.x] = sum;
  }
}
"""),
    "one thread adds up": cuda("row_sums", """
__global__ void row_sums(const float* x, float* sums, int n) {
  __shared__ double s[1024];
  double mine = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) mine += x[blockIdx.x * n + i];
  s[threadIdx.x] = mine;
  __syncthreads();
  if (threadIdx.x) return;
  double all = 0;
  for (int t = 0; t < blockDim.x; t++) all += s[t];
  sums[blockIdx.x] = all;
}
"""),
}

# 4. CUDA: forward

FORWARD = cuda("bn_forward", """
struct Moments { float n, mean, m2; };

__device__ Moments merge(Moments a, Moments b) {
  float n = a.n + b.n;
  if (n == 0) return a;
  float d = b.mean - a.mean;
  return {n, a.mean + d * b.n / n, a.m2 + b.m2 + d * d * a.n * b.n / n};
}

__device__ Moments from(Moments m, int d) {
  return {__shfl_xor_sync(0xffffffff, m.n, d), __shfl_xor_sync(0xffffffff, m.mean, d),
          __shfl_xor_sync(0xffffffff, m.m2, d)};
}

__global__ void bn_forward(const float* x, const float* gamma, const float* beta,
                           float* y, float* mean, float* var, int N, int C, int S,
                           float eps) {
  __shared__ Moments parts[32];
  int c = blockIdx.x, t = threadIdx.x, M = N * S;
  Moments m = {0, 0, 0};
  for (int i = t; i < M; i += blockDim.x) {
    float v = x[(i / S * C + c) * S + i % S];
    m.n += 1;
    float d = v - m.mean;
    m.mean += d / m.n;
    m.m2 += d * (v - m.mean);
  }
  for (int d = 16; d > 0; d /= 2) m = merge(m, from(m, d));
  if (t % 32 == 0) parts[t / 32] = m;
  __syncthreads();
  m = parts[0];
  for (int w = 1; w < blockDim.x / 32; w++) m = merge(m, parts[w]);
  float v = m.m2 / M, r = 1 / sqrtf(v + eps);
  for (int i = t; i < M; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    y[k] = gamma[c] * ((x[k] - m.mean) * r) + beta[c];
  }
  if (t == 0) {
    mean[c] = m.mean;
    var[c] = v;
  }
}
""")
INDEX = "(i / S * C + c) * S + i % S"
FIRST = "for (int i = t; i < M; i += blockDim.x) {\n    float"
SECOND = "  for (int w = 1; w < blockDim.x / 32; w++) m = merge(m, parts[w]);\n"
Y = "gamma[c] * ((x[k] - m.mean) * r) + beta[c]"
TWO_SUMS = """  float a = 0, b = 0;
  for (int i = t; i < M; i += blockDim.x) {
    float v = x[(i / S * C + c) * S + i % S];
    a += v;
    b += v * v;
  }
  __shared__ float sa[1024], sb[1024];
  sa[t] = a;
  sb[t] = b;
  __syncthreads();
  a = b = 0;
  for (int w = 0; w < blockDim.x; w++) a += sa[w], b += sb[w];
  Moments m = {float(M), a / M, b - a / M * a};
"""
START = FORWARD.index("  Moments m = {0, 0, 0};")
END = FORWARD.index("  float v = m.m2 / M")
GATHER = FORWARD[START:END]
TWICE = TWO_SUMS.replace("    b += v * v;\n", "").replace("b - a / M * a", "0") + """  __syncthreads();
  b = 0;
  for (int i = t; i < M; i += blockDim.x) {
    float v = x[(i / S * C + c) * S + i % S] - m.mean;
    b += v * v;
  }
  sb[t] = b;
  __syncthreads();
  for (int w = 0; w < blockDim.x; w++) m.m2 += sb[w];
"""
ATOMIC = TWO_SUMS.replace("sa[1024], sb[1024];\n  sa[t] = a;\n  sb[t] = b;", "sa, sb;\n  if (t == 0) sa = sb = 0;\n  __syncthreads();\n  atomicAdd(&sa, a);\n  atomicAdd(&sb, b);").replace("  a = b = 0;\n  for (int w = 0; w < blockDim.x; w++) a += sa[w], b += sb[w];", "  a = sa;\n  b = sb;")
WRONG_FORWARD = [
    (r"divided by N·S − 1", "m.m2 / M", "m.m2 / (M - 1)"),
    ("var is m2 itself", "v = m.m2 / M", "v = m.m2"),
    ("number of threads", "m.m2 / M", "m.m2 / blockDim.x"),
    ("standard deviation is where", "v = m.m2 / M", "v = sqrtf(m.m2 / M)"),
    ("eps belongs inside", "1 / sqrtf(v + eps)", "1 / (sqrtf(v) + eps)"),
    ("eps is missing", "1 / sqrtf(v + eps)", "rsqrtf(v)"),
    ("square root is missing", "1 / sqrtf(v + eps)", "1 / (v + eps)"),
    ("fixed number", "sqrtf(v + eps)", "sqrtf(v + 1e-5f)"),
    ("loses its digits", GATHER, TWO_SUMS),
    ("loses its digits", GATHER, ATOMIC),
    ("is read 3 times .* Welford", GATHER, TWICE),
    ("Without the last term", " + d * d * a.n * b.n / n", ""),
    ("mean holds nan|mean .* nan", "  if (n == 0) return a;\n", ""),
    ("first warp's values only", SECOND, ""),
    ("Between them there is no __sync", "  __syncthreads();\n", ""),
    ("thread 0's own values only|first warp", "  for (int d = 16; d > 0; d /= 2) m = merge(m, from(m, d));\n", "", SECOND, ""),
    ("reads in __shfl_xor_sync from lane|mask", "0xffffffff, m.mean", "0xffff, m.mean"),
    ("one after the other", f"[{INDEX}]", "[c * M + i]", f"k = {INDEX}", "k = c * M + i"),
    ("channels-last", f"[{INDEX}]", "[i * C + c]", f"k = {INDEX}", "k = i * C + c"),
    ("out of bounds", Y, Y.replace("gamma[c]", "gamma[i / S]")),
    ("out of bounds", FIRST, FIRST.replace("i < M", "i <= M")),
    ("takes one value", FIRST, "if (t < M) {\n    int i = t;\n    float"),
    ("never written", "y[k] =", "if (i < blockDim.x) y[k] ="),
    ("mean is not subtracted", "(x[k] - m.mean) * r", "x[k] * r"),
    ("not divided by s", "(x[k] - m.mean) * r", "(x[k] - m.mean)"),
    ("beta is missing", " + beta[c]", ""),
    (r"gamma·\(xhat \+ beta\)", Y, "gamma[c] * ((x[k] - m.mean) * r + beta[c])"),
    ("integer|never written|mean is wrong|does not compile|mean .* 0", "float n, mean, m2", "int n; float mean, m2", "m.mean += d / m.n", "m.mean += d * (1 / m.n)", "d * d * a.n * b.n / n", "d * d * (a.n * b.n / n)"),
    ("never written", "    mean[c] = m.mean;\n", ""),
    ("nobody has written|mean holds nan", "w < blockDim.x / 32", "w < 32"),
]
RIGHT_FORWARD = {
    "Welford and merging": FORWARD,
    "sums of x minus the first value": cuda("bn_forward", """
__device__ float block_sum(float v) {
  __shared__ float s[32];
  for (int d = 16; d > 0; d /= 2) v += __shfl_down_sync(0xffffffff, v, d);
  __syncthreads();
  if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = v;
  __syncthreads();
  v = 0;
  for (int w = 0; w < blockDim.x / 32; w++) v += s[w];
  return v;
}
__global__ void bn_forward(const float* x, const float* gamma, const float* beta,
                           float* y, float* mean, float* var, int N, int C, int S,
                           float eps) {
  int c = blockIdx.x, M = N * S;
  float origin = x[c * S], a = 0, b = 0;
  for (int i = threadIdx.x; i < M; i += blockDim.x) {
    float d = x[(i / S * C + c) * S + i % S] - origin;
    a += d;
    b += d * d;
  }
  float mu = block_sum(a) / M, v = block_sum(b) / M - mu * mu;
  float scale = gamma[c] * rsqrtf(v + eps), shift = beta[c];
  for (int i = threadIdx.x; i < M; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    y[k] = scale * (x[k] - origin - mu) + shift;
  }
  if (threadIdx.x == 0) mean[c] = origin + mu, var[c] = v;
}
"""),
    "sums in double": FORWARD.replace(GATHER, TWO_SUMS.replace("float a = 0, b = 0", "double a = 0, b = 0").replace("__shared__ float sa", "__shared__ double sa").replace("b += v * v", "b += double(v) * v").replace("float(M), a / M, b - a / M * a", "float(M), float(a / M), float(b - a / M * a)")),
    "merged by halves in shared memory": cuda("bn_forward", """
__global__ void bn_forward(const float* x, const float* gamma, const float* beta,
                           float* y, float* mean, float* var, int N, int C, int S,
                           float eps) {
  __shared__ float count[1024], mu[1024], m2[1024];
  int c = blockIdx.x, t = threadIdx.x;
  count[t] = mu[t] = m2[t] = 0;
  for (int n = 0, i = t; n < N; n++)
    for (; i < (n + 1) * S; i += blockDim.x) {
      float v = x[(n * C + c) * S + i - n * S], d = v - mu[t];
      count[t] += 1;
      mu[t] += d / count[t];
      m2[t] += d * (v - mu[t]);
    }
  __syncthreads();
  for (int size = blockDim.x; size > 1; size = (size + 1) / 2) {
    int o = t + (size + 1) / 2;
    if (t < size / 2 && count[o] > 0) {
      float n = count[t] + count[o], d = mu[o] - mu[t];
      mu[t] += d * count[o] / n;
      m2[t] += m2[o] + d * d * count[t] * count[o] / n;
      count[t] = n;
    }
    __syncthreads();
  }
  float v = m2[0] / (N * S), r = rsqrtf(v + eps);
  for (int i = t; i < N * S; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    y[k] = fmaf((x[k] - mu[0]) * r, gamma[c], beta[c]);
  }
  if (t == 0) mean[c] = mu[0];
  if (t == 0) var[c] = v;
}
"""),
    "a thread merges all": FORWARD.replace("parts[32]", "parts[1024]").replace("  for (int d = 16; d > 0; d /= 2) m = merge(m, from(m, d));\n  if (t % 32 == 0) parts[t / 32] = m;", "  parts[t] = m;").replace("blockDim.x / 32", "blockDim.x"),
}

# 5. CUDA: backward

BACKWARD = cuda("bn_backward", """
__device__ float block_sum(float v) {
  __shared__ float s[32];
  for (int d = 16; d > 0; d /= 2) v += __shfl_down_sync(0xffffffff, v, d);
  __syncthreads();
  if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = v;
  __syncthreads();
  v = 0;
  for (int w = 0; w < blockDim.x / 32; w++) v += s[w];
  return v;
}

__global__ void bn_backward(const float* dy, const float* x, const float* gamma,
                            const float* mean, const float* inv_std, float* dx,
                            float* dgamma, float* dbeta, int N, int C, int S) {
  int c = blockIdx.x, M = N * S;
  float mu = mean[c], r = inv_std[c], a = 0, b = 0;
  for (int i = threadIdx.x; i < M; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    float xhat = (x[k] - mu) * r;
    a += dy[k];
    b += dy[k] * xhat;
  }
  a = block_sum(a);
  b = block_sum(b);
  float m1 = a / M, m2 = b / M;
  for (int i = threadIdx.x; i < M; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    float xhat = (x[k] - mu) * r;
    dx[k] = gamma[c] * r * (dy[k] - m1 - xhat * m2);
  }
  if (threadIdx.x == 0) {
    dgamma[c] = b;
    dbeta[c] = a;
  }
}
""")
DX_K = "gamma[c] * r * (dy[k] - m1 - xhat * m2)"
SUMS_LOOP = "for (int i = threadIdx.x; i < M; i += blockDim.x) {\n    int k = (i / S * C + c) * S + i % S;\n    float xhat = (x[k] - mu) * r;\n    a +="
WRONG_BACKWARD = [
    ("1/M is missing", "m1 = a / M, m2 = b / M", "m1 = a, m2 = b"),
    ("divided by N, not", "m1 = a / M, m2 = b / M", "m1 = a / N, m2 = b / N"),
    ("divided by the number of threads", "m1 = a / M, m2 = b / M", "m1 = a / blockDim.x, m2 = b / blockDim.x"),
    ("of the first warp only", "  for (int w = 0; w < blockDim.x / 32; w++) v += s[w];\n", "  v = s[0];\n"),
    ("of thread 0 only|order of the threads", "  a = block_sum(a);\n  b = block_sum(b);\n", ""),
    ("takes one value", SUMS_LOOP, SUMS_LOOP.replace("for (int i = threadIdx.x; i < M; i += blockDim.x) {", "for (int i = threadIdx.x; i < M && i < blockDim.x; i += blockDim.x) {")),
    ("gamma·inv_std·dy only", " - m1 - xhat * m2", ""),
    (r"term − sum\(dy\)/M is missing", " - m1", ""),
    (r"term − xhat·sum\(dy·xhat\)/M is missing", " - xhat * m2", ""),
    ("xhat term of dx has the wrong sign", "- xhat * m2", "+ xhat * m2"),
    ("gamma is missing from dx", "gamma[c] * r", "r"),
    ("not multiplied by inv_std", "gamma[c] * r", "gamma[c]"),
    ("inv_std² is in dx", "gamma[c] * r *", "gamma[c] * r * r *"),
    (r"xhat is \(x − mean\) / inv_std", "(x[k] - mu) * r", "(x[k] - mu) / r"),
    ("mean is not subtracted", "(x[k] - mu) * r", "x[k] * r"),
    ("dgamma is the sum of dy·\\(x − mean\\)", "dgamma[c] = b", "dgamma[c] = b / r"),
    ("dgamma is a mean", "dgamma[c] = b", "dgamma[c] = m2"),
    ("dbeta has a factor gamma", "dbeta[c] = a", "dbeta[c] = gamma[c] * a"),
    ("swapped", "dgamma[c] = b;\n    dbeta[c] = a", "dgamma[c] = a;\n    dbeta[c] = b"),
    ("one after the other", "k = (i / S * C + c) * S + i % S", "k = c * M + i"),
    ("channels-last", "k = (i / S * C + c) * S + i % S", "k = i * C + c"),
    ("out of bounds", "mean[c]", "mean[threadIdx.x]"),
    ("Between them there is no __sync", "  if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = v;\n  __syncthreads();\n", "  if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = v;\n"),
    ("Between them there is no __sync", "v, d);\n  __syncthreads();\n", "v, d);\n"),
    ("depends on the order|race|nobody has written", "  if (threadIdx.x == 0) {\n    dgamma[c] = b;\n    dbeta[c] = a;\n  }", "  atomicAdd(&dgamma[c], b);\n  atomicAdd(&dbeta[c], a);"),
    ("is read 3 times .* Gather both sums in one walk", "    a += dy[k];\n    b += dy[k] * xhat;\n  }\n", "    b += dy[k] * xhat;\n  }\n  for (int i = threadIdx.x; i < M; i += blockDim.x) {\n    int k = (i / S * C + c) * S + i % S;\n    a += dy[k];\n  }\n"),
    ("never written", "    dbeta[c] = a;\n", ""),
]
RIGHT_BACKWARD = {
    "two sums": BACKWARD,
    "one multiply-add a value": BACKWARD.replace("    float xhat = (x[k] - mu) * r;\n    dx[k] = " + DX_K, "    dx[k] = gamma[c] * r * dy[k] - gamma[c] * r * m1 - gamma[c] * r * r * m2 * (x[k] - mu)"),
    "dy·(x − mean) first": BACKWARD.replace("    float xhat = (x[k] - mu) * r;\n    a += dy[k];\n    b += dy[k] * xhat;", "    a += dy[k];\n    b += dy[k] * (x[k] - mu);").replace("  b = block_sum(b);", "  b = block_sum(b) * r;"),
    "both sums in shared memory": cuda("bn_backward", """
__global__ void bn_backward(const float* dy, const float* x, const float* gamma,
                            const float* mean, const float* inv_std, float* dx,
                            float* dgamma, float* dbeta, int N, int C, int S) {
  __shared__ float2 s[1024];
  int c = blockIdx.x, t = threadIdx.x;
  float2 mine = make_float2(0, 0);
  for (int i = t; i < N * S; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    mine.x += dy[k];
    mine.y += dy[k] * (x[k] - mean[c]) * inv_std[c];
  }
  s[t] = mine;
  __syncthreads();
  for (int size = blockDim.x; size > 1; size = (size + 1) / 2) {
    int o = t + (size + 1) / 2;
    if (t < size / 2) s[t].x += s[o].x, s[t].y += s[o].y;
    __syncthreads();
  }
  float a = s[0].x, b = s[0].y, M = N * S;
  if (t == 0) dbeta[c] = a, dgamma[c] = b;
  for (int i = t; i < N * S; i += blockDim.x) {
    int k = (i / S * C + c) * S + i % S;
    dx[k] = gamma[c] * inv_std[c] / M * (M * dy[k] - a - (x[k] - mean[c]) * inv_std[c] * b);
  }
}
"""),
    "atomics in shared memory": BACKWARD.replace("  for (int d = 16; d > 0; d /= 2) v += __shfl_down_sync(0xffffffff, v, d);\n  __syncthreads();\n  if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = v;\n  __syncthreads();\n  v = 0;\n  for (int w = 0; w < blockDim.x / 32; w++) v += s[w];\n  return v;", "  __syncthreads();\n  if (threadIdx.x == 0) s[0] = 0;\n  __syncthreads();\n  atomicAdd(&s[0], v);\n  __syncthreads();\n  return s[0];"),
}

# 6. CUDA: as few bytes as there can be

LEAN = FORWARD.replace("bn_forward", "bn_lean").replace("  __shared__ Moments parts[32];", "  __shared__ Moments parts[32];\n  __shared__ float kept[4096];").replace("    m.n += 1;", "    kept[i] = v;\n    m.n += 1;").replace("(x[k] - m.mean)", "(kept[i] - m.mean)")
GLOBAL = (
    "kept[i] = v;", "y[(i / S * C + c) * S + i % S] = v;",
    "kept[i] - m.mean", "y[k] - m.mean",
    "  __shared__ float kept[4096];\n", "",
)
# Each thread takes neighbouring values, not each warp.
OWN_CHUNK = "  int per = (M + blockDim.x - 1) / blockDim.x;\n  for (int i = t * per; i < M && i < (t + 1) * per; i++) {"
WRONG_LEAN = [
    ("x and y move 1.50 times", "kept[i] - m.mean", "x[k] - m.mean"),
    ("x and y move 2.00 times", *GLOBAL),
    ("x and y move", "  for (int i = t; i < M; i += blockDim.x) {\n    float v", OWN_CHUNK + "\n    float v"),
    ("x and y move", "  for (int i = t; i < M; i += blockDim.x) {\n    int k", OWN_CHUNK + "\n    int k"),
    ("out of bounds", "kept[4096]", "kept[1024]"),
    ("at most 49,152", "kept[4096]", "kept[16384]"),
    ("no __sync", "  __syncthreads();\n", ""),
    ("no __sync", "(kept[i] - m.mean)", "(kept[(i + 1) % M] - m.mean)", "  __syncthreads();\n  m = parts[0]", "  __syncthreads();\n  if (t == 0) kept[0] += 0;\n  m = parts[0]"),
    ("nobody has written|is wrong", "    kept[i] = v;\n", "    if (i < 1000) kept[i] = v;\n"),
    ("divided by N·S − 1", "m.m2 / M", "m.m2 / (M - 1)"),
    ("Without the last term", " + d * d * a.n * b.n / n", ""),
    ("first warp's values only", SECOND, ""),
    ("eps belongs inside", "1 / sqrtf(v + eps)", "1 / (sqrtf(v) + eps)"),
    ("mean is not subtracted", "(kept[i] - m.mean) * r", "kept[i] * r"),
    ("never written", "    var[c] = v;\n", ""),
    ("no __global__ function bn_lean", "void bn_lean", "void bn_forward"),
]
RIGHT_LEAN = {
    "the channel in shared memory": LEAN,
    "a buffer of 12 values a thread": LEAN.replace("  __shared__ float kept[4096];", "  float kept[48];").replace("kept[i]", "kept[i / blockDim.x]"),
    "the channel as half of the values twice": LEAN.replace("float kept[4096]", "float kept[2][2048]").replace("kept[i]", "kept[i / 2048][i % 2048]"),
    "scale and shift": LEAN.replace("y[k] = gamma[c] * ((kept[i] - m.mean) * r) + beta[c]", "y[k] = g * (kept[i] - m.mean) + b").replace("r = 1 / sqrtf(v + eps);", "r = 1 / sqrtf(v + eps);\n  float g = gamma[c] * r, b = beta[c];"),
    "two passes over what is kept": cuda("bn_lean", """
__device__ float block_sum(float v) {
  __shared__ float s[32];
  for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(0xffffffff, v, d);
  __syncthreads();
  if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = v;
  __syncthreads();
  v = 0;
  for (int w = 0; w < blockDim.x / 32; w++) v += s[w];
  return v;
}
__global__ void bn_lean(const float* x, const float* gamma, const float* beta,
                        float* y, float* mean, float* var, int N, int C, int S,
                        float eps) {
  __shared__ float kept[4096];
  int c = blockIdx.x, M = N * S;
  float a = 0, b = 0;
  for (int i = threadIdx.x; i < M; i += blockDim.x) a += kept[i] = x[(i / S * C + c) * S + i % S];
  float mu = block_sum(a) / M;
  for (int i = threadIdx.x; i < M; i += blockDim.x) b += (kept[i] - mu) * (kept[i] - mu);
  float v = block_sum(b) / M;
  for (int i = threadIdx.x; i < M; i += blockDim.x)
    y[(i / S * C + c) * S + i % S] = gamma[c] * (kept[i] - mu) * rsqrtf(v + eps) + beta[c];
  if (threadIdx.x == 0) mean[c] = mu, var[c] = v;
}
"""),
}

WRONG = [
    *wrong("blocked", BLOCKED, WRONG_BLOCKED),
    *wrong("generic", GENERIC, WRONG_GENERIC),
    *wrong("generic_backward", GENERIC_BACKWARD, WRONG_GENERIC_BACKWARD),
    *wrong("row_sums", ROW_SUMS, WRONG_ROW_SUMS),
    *wrong("row_sums", TREE, WRONG_TREE),
    *wrong("forward", FORWARD, WRONG_FORWARD),
    *wrong("backward", BACKWARD, WRONG_BACKWARD),
    *wrong("lean", LEAN, WRONG_LEAN),
]
RIGHT = [
    *right("blocked", RIGHT_BLOCKED),
    *right("generic", RIGHT_GENERIC),
    *right("generic_backward", RIGHT_GENERIC_BACKWARD),
    *right("row_sums", RIGHT_ROW_SUMS),
    *right("forward", RIGHT_FORWARD),
    *right("backward", RIGHT_BACKWARD),
    *right("lean", RIGHT_LEAN),
]
