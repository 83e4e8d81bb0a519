"""Break the library on purpose, a line at a time: some test must fail.

Takes minutes; run by `make mutants`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.mutants

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "bnlib"

MUTANTS = [  # module, right, wrong
    # One mean is missing, twice there, of the wrong values, or not a mean.
    ("_formula", "return centred - rest, mean", "return centred, mean"),
    ("_formula", "    centred = x - mean\n", "    centred = x\n"),
    ("_formula", "dtype=wide, keepdims", "dtype=terms.dtype, keepdims"),
    ("_formula", "terms, axes) / count", "terms, axes)"),
    ("_formula", "axes) / count", "axes) / max(count - 1, 1)"),
    ("_formula", "var = mean_over(xp, x * x,", "var = mean_over(xp, abs(x),"),
    (
        "_formula",
        "inv_std = 1 / xp.sqrt(var + eps)",
        "inv_std = 1 / (xp.sqrt(var) + eps)",
    ),
    ("_formula", "inv_std = 1 / xp.sqrt(var + eps)", "inv_std = 1 / xp.sqrt(var)"),
    ("_formula", "inv_std = 1 / xp.sqrt(var + eps)", "inv_std = 1 / (var + eps)"),
    (
        "_formula",
        "if bool(xp.any(var + eps == 0)):",
        "if eps == 0 and bool(xp.any(var == 0)):",
        "arguments",
    ),
    ("_formula", "if centred else (x, None)", "if True else (x, None)"),
    ("_formula", "y = y * xp.reshape(gamma,", "y = y + xp.reshape(gamma,"),
    ("_formula", "y = y + xp.reshape(beta,", "y = y * xp.reshape(beta,"),
    (
        "_formula",
        "wide = cast(xp, x, dtype)\n    xhat, mean",
        "wide = x\n    xhat, mean",
    ),
    # Backward.
    ("_formula", "dx = d - xhat * mean_over(xp, d * xhat, index.reduced)", "dx = d"),
    ("_formula", "dx = d - xhat *", "dx = d + xhat *"),
    ("_formula", "dx = d - xhat *", "dx = d - 2 * xhat *"),
    ("_formula", "dx = dx - mean_over(xp, d, index.reduced)", "pass"),
    ("_formula", "    if centred:\n        dx", "    if True:\n        dx"),
    ("_formula", "dx * inv_std, x.shape", "dx, x.shape"),
    ("_formula", "d = affine(xp, dy,", "d = dy if xp else affine(xp, dy,"),
    ("_formula", "        d = d * r\n", ""),
    ("_formula", "scaled = xhat * r + xp", "scaled = xhat + xp"),
    (
        "_formula",
        "scaled = xhat * r + xp.reshape(cache.d, index.kept)",
        "scaled = xhat * r",
    ),
    ("_formula", "dy * scaled, cache.gamma", "dy * x, cache.gamma"),
    ("_formula", "total = sum_over(", "total = mean_over("),
    (
        "_formula",
        "parameter.shape), parameter.dtype)",
        "parameter.shape), terms.dtype)",
    ),
    ("_formula", "inv_std, x.shape), x.dtype)", "inv_std, x.shape), dtype)"),
    (
        "_formula",
        'check_shape("dy", dy, x.shape, "the shape of x")',
        "pass",
        "arguments",
    ),
    ("_formula", "not in (norm, *others)", "in ()", "arguments"),
    # Running statistics and inference.
    (
        "batch",
        "factor = cache.count / (cache.count - 1) if unbiased",
        "factor = 1.0 if unbiased",
    ),
    ("batch", "if unbiased else 1.0", "if not unbiased else 1.0"),
    (
        "batch",
        "mean = (1 - momentum) * mean + momentum *",
        "mean = momentum * mean + (1 - momentum) *",
    ),
    ("batch", "var = (1 - momentum) * var", "var = var"),
    ("batch", "for i in range(batches.shape[0])", "for i in range(1)", "ghost"),
    (
        "batch",
        "mean = (1 - momentum) * mean",
        "mean *= 1 - momentum\n        mean = mean",
    ),
    (
        "batch",
        "y = (wide - per_channel(mean)) * per_channel(inv_std)",
        "s = per_channel(inv_std)\n    y = wide * s - s * per_channel(mean)",
    ),
    ("batch", "    inv_std = 1 / xp.sqrt(var + eps)", "    inv_std = 1 / xp.sqrt(var)"),
    ("batch", "scale = inv_std if g is None else g * inv_std", "scale = inv_std"),
    ("batch", "sum_over(xp, dy * xhat, others)", "sum_over(xp, dy * wide, others)"),
    (
        "batch",
        "reduced=tuple(a for a in range(len(shape)) if a != axis)",
        "reduced=(0,)",
        "formula",
    ),
    ("batch", "if index.count == 1:", "if False:", "arguments"),
    (
        "batch",
        "allow_empty=True)\n    xp, wide, g, b",
        "allow_empty=False)\n    xp, wide, g, b",
    ),
    ("_arguments", "if bool(xp.any(var < 0)):", "if False:", "arguments"),
    (
        "_arguments",
        "if not bool(xp.all(xp.isfinite(array))):",
        "if False:",
        "arguments",
    ),
    ("_arguments", "return axis % ndim", "return axis", "formula"),
    ("_arguments", "return xp.float32 if narrow else dtype", "return dtype", "formula"),
    (
        "_arguments",
        "return xp.float32 if narrow else dtype",
        "return xp.float32",
        "formula",
    ),
    # Which entries belong together.
    (
        "layer",
        "reduced=tuple(range(axis, x.ndim))",
        "reduced=tuple(range(axis))",
        "formula",
    ),
    ("layer", "1 if a < axis else n", "n if a < axis else 1", "formula"),
    (
        "group",
        "view = (batch, groups, channels // groups,",
        "view = (batch, channels // groups, groups,",
        "formula",
    ),
    (
        "group",
        "reduced=tuple(range(2, len(view)))",
        "reduced=tuple(range(3, len(view)))",
    ),
    (
        "instance",
        "reduced=tuple(range(2, x.ndim))",
        "reduced=(0, *range(2, x.ndim))",
        "formula",
    ),
    ("instance", "reduced=tuple(range(2, x.ndim))", "reduced=(2,)", "formula"),
    (
        "ghost",
        "view = (batch // size, size, *rest)",
        "view = (size, batch // size, *rest)",
    ),
    (
        "ghost",
        "range(1, len(view)) if a != axis + 1",
        "range(len(view)) if a != axis + 1",
    ),
    ("rms", "centred=False", "centred=True", "formula"),
    (
        "standardisation",
        "if a != axis),\n        parameter",
        "if a > axis),\n        parameter",
    ),
    ("standardisation", "if index.count < 2:", "if False:", "arguments"),
    ("spectral", "dy - along * outer) / sigma", "dy - along * outer)"),
    ("spectral", "u = xp.matmul(matrix, v)", "u = 2 * xp.matmul(matrix, v)"),
    (
        "spectral",
        "xp.moveaxis(xp.reshape(outer, moved), 0, cache.axis)",
        "xp.reshape(outer, dy.shape)",
    ),
    ("filter_response", "centred=False", "centred=True", "formula"),
    ("filter_response", "range(2, x.ndim)", "range(3, x.ndim)", "formula"),
    # The rest.
    ("renorm", "std / std_r, 1 / r_max, r_max", "std_r / std, 1 / r_max, r_max"),
    ("renorm", "-d_max, d_max", "0, d_max"),
    (
        "renorm",
        "shift = mean_over(",
        "shift = cache.mean - mean_r if xp else mean_over(",
    ),
    ("renorm", "index.statistics) / std_r,", "index.statistics) / std,"),
    ("renorm", "r=r, d=d)", "r=None, d=None)"),
    ("fold", "(bias - mean) * scale", "bias - mean * scale"),
    ("fold", "scale = 1 / xp.sqrt(var + eps)", "scale = 1 / xp.sqrt(var)"),
    ("fold", "scale = scale * g", "scale = scale * abs(g)"),
    ("moments", " + delta**2 * ((n_a / n) * (n_b / n))", ""),
    (
        "moments",
        "mean = mean_a + delta * (n_b / n)",
        "mean = mean_a + delta * (n_a / n)",
    ),
    ("moments", "if n_a == 0 or n_b == 0:", "if False:"),
    ("moments", "cast(xp, other, accumulation_dtype(xp, name, other))", "other"),
    ("weight", "dw - direction * along", "dw"),
    ("weight", "(length / norm)", "length", "formula"),
    ("nn", "1 / int(batches) if", "0.1 if"),
    ("nn", "if not self.training and self.running_mean is not None:", "if False:"),
    (
        "nn",
        "        if self.running_mean is not None:\n",
        "        if self.running_mean is not None and self.momentum is not None:\n",
    ),
    ("nn", "return {name: array.copy() for", "return {name: array for"),
    ("nn", "return value.copy()", "return value"),
    ("nn", "np.finfo(np.float64 if", "np.finfo(np.float32 if"),
    # Kernels, whose loops run without being compiled.
    *(
        (f"cpu/{module}", right, wrong, "kernels")
        for module, right, wrong in [
            ("tier", "mean.reshape(shape) if centred else None", "mean.reshape(shape)"),
            ("tier", "_flat(beta, 0, shape, x)", "_flat(beta, 1, shape, x)"),
            ("tier", "and math.isfinite(np.vdot(parameter, parameter))", ""),
            ("tier", "if not (x.dtype.type(eps) or var.all()):", "if False:"),
            ("threads", "min(i + size, total)", "i + size"),
            ("layout", "np.moveaxis(a, axis, -1)", "np.moveaxis(a, axis, 0)"),
            ("fused/channels", "q += d * d\n", "q += d\n"),
            ("fused/channels", "q[j] += d * d", "q[j] += d"),
            ("fused/channels", "exact = pivot[c] + rest", "exact = pivot[c]"),
            ("fused/channels", "- rest * rest, 0.0)", ", 0.0)"),
            ("fused/channels", "(np.float64(mean[c]) - exact) * scale", "0"),
            ("fused/channels", "np.isfinite(first), first", "True, first"),
            ("fused/channels", "(sums[1, c] - rest * sums[0, c])", "sums[1, c]"),
            ("fused/channels", "-slope * rest - scale", "-scale"),
            ("fused/channels", "- scale * sums[0, c] / count", ""),
            ("fused/channels", "slope = -scale", "slope = scale"),
            (
                "fused/channels",
                "sums.sum(0)\n        forward",
                "sums[0]\n        forward",
            ),
            ("fused/rows", "mean[r], var[r] = exact, v", "mean[r], var[r] = v, exact"),
            ("fused/rows", "one((np.float64(m) - exact) * inv_std)", "one(0)"),
            ("fused/rows", "np.isfinite(row[0])", "True"),
            ("fused/rows", "max(q / row.size - rest * rest, 0.0)", "q / row.size"),
            (
                "fused/rows",
                "first = r * parts % gamma.size\n        if",
                "first = 0\n        if",
            ),
            ("fused/rows", "terms[2] = -rest * scale", "terms[2] = 0"),
            (
                "fused/rows",
                "(scale * s / count if centred else 0.0)",
                "scale * s / count",
            ),
            (
                "fused/rows",
                "gradients[:, left:right] += sums",
                "gradients[:, left:right] = sums",
            ),
            ("fused/rows", "along = (q - rest * s)", "along = q"),
            ("blocked/sums", "if whole < length:", "if False:"),
            ("blocked/sums", "part = np.add.reduce(a[i:j], axis=0)", "part = a[i]"),
            (
                "blocked/sums",
                "return not (mean * mean <= NEAR * var).all()",
                "return False",
            ),
            (
                "blocked/channels",
                "v, m = second - shift * shift, shift",
                "v, m = second, shift",
            ),
            ("blocked/channels", "beta[part] - shift * scale", "beta[part]"),
            ("blocked/channels", "centre = rest / count", "centre = centre * 0"),
            ("blocked/channels", "-slope * centre - total / count", "-slope * centre"),
            (
                "blocked/rows",
                "scale, shift = inv_std, -shift * inv_std",
                "scale, shift = inv_std, -shift",
            ),
            ("blocked/rows", "rest = rest / count if centred else 0.0", "rest = 0.0"),
            ("blocked/rows", "gradients[i] += norm.apply", "gradients[i] = norm.apply"),
            ("blocked/rows", "sums[i][:, part] += norm", "sums[i][:, part] = norm"),
            ("blocked/rows", "% len(sets)", "* 0"),
        ]
    ),
]


def run(where, names):
    """Run tests against the package in a folder; 0 is passed, 1 failed."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
            *("-c", TESTS.parent / "pyproject.toml", "--rootdir", where),
            *(TESTS / f"test_{name}.py" for name in names),
        ],
        cwd=where,
        env=os.environ
        | {
            "PYTHONPATH": str(where),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_DISABLE_JIT": "1",  # else each mutant is compiled
        },
        capture_output=True,
        text=True,
    )


@pytest.fixture
def package(tmp_path):
    copy = tmp_path / "bnlib"
    ignored = shutil.ignore_patterns("check", "__pycache__")
    return shutil.copytree(PACKAGE, copy, ignore=ignored)


def test_unchanged(package):
    names = {m[3] if m[3:] else m[0].strip("_") for m in MUTANTS}
    result = run(package.parent, sorted(names))
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m[0]}: {m[2].strip()}")
def test_mutant_dies(mutant, package):
    module, right, wrong, *tests = mutant
    path = package / f"{module}.py"
    source = path.read_text()
    assert source.count(right) == 1, "the source has changed; mend the mutant"
    path.write_text(source.replace(right, wrong))
    result = run(package.parent, tests or [module.strip("_")])
    assert result.returncode == 1, result.stdout
