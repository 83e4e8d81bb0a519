"""The emulator gives NumPy's results, and names what is wrong with a kernel."""

import subprocess
import sys

import numpy as np
import pytest

from bnlib import emulator

F32 = np.float32


@pytest.fixture(autouse=True)
def needs_compiler(request):
    if emulator.compiler() is None and "without" not in request.node.name:
        pytest.skip("no C++ compiler")


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """One cache for the module, not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def values(*shape, dtype=F32, seed=0):
    return np.random.default_rng(seed).normal(2, 1.5, shape).astype(dtype)


def launch(source, grid, block, args, *, name="f", **options):
    return emulator.compile(source, name)(grid, block, args, **options)


def fails(match, source, grid, block, args, **options):
    with pytest.raises(emulator.EmulatorError, match=match) as caught:
        launch(source, grid, block, args, **options)
    assert not any("/" in word and ".py" in word for word in str(caught.value).split())


# ---- right kernels -------------------------------------------------------------------

SCALE = """
extern "C" __global__ void f(const float* __restrict__ x, float* y, float a, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * __ldg(&x[i]);
}
"""

SUM = """
#include <cuda_runtime.h>
extern "C" __global__ void __launch_bounds__(256)
f(const float* x, float* total, int n) {
  __shared__ float s[256], unused;
  int t = threadIdx.x;
  float v = 0.0f;
  for (int i = t; i < n; i += blockDim.x) v += x[i];
  s[t] = v;
  __syncthreads();
  for (int d = blockDim.x / 2; d > 0; d /= 2) {
    if (t < d) s[t] += s[t + d];
    __syncthreads();
  }
  if (t == 0) *total = s[0];
}
"""

WELFORD = """
struct Moments { float mean, m2, n; };
__device__ __forceinline__ Moments merge(Moments a, Moments b) {
  float n = a.n + b.n;
  if (n == 0.0f) return a;
  float d = b.mean - a.mean;
  return {a.mean + d * b.n / n, a.m2 + b.m2 + d * d * a.n * b.n / n, n};
}
template <typename T, int THREADS>
__global__ void norm(const T* __restrict__ x, T* __restrict__ y, int N, int C, int HW,
                     float eps) {
  __shared__ Moments part[THREADS / 32];
  int c = blockIdx.x, lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize;
  Moments m = {0.0f, 0.0f, 0.0f};
#pragma unroll 4
  for (int i = threadIdx.x; i < N * HW; i += THREADS) {
    Moments one = {float(x[(i / HW * C + c) * HW + i % HW]), 0.0f, 1.0f};
    m = merge(m, one);
  }
  for (int d = 16; d > 0; d >>= 1) {
    Moments o;
    o.mean = __shfl_xor_sync(0xffffffffu, m.mean, d);
    o.m2 = __shfl_xor_sync(0xffffffffu, m.m2, d);
    o.n = __shfl_xor_sync(0xffffffffu, m.n, d);
    m = merge(m, o);
  }
  if (lane == 0) part[warp] = m;
  __syncthreads();
  m = part[0];
  for (int w = 1; w < THREADS / 32; w++) m = merge(m, part[w]);
  float inv_std = rsqrtf(m.m2 / m.n + eps);
  for (int i = threadIdx.x; i < N * HW; i += THREADS) {
    int at = (i / HW * C + c) * HW + i % HW;
    y[at] = T((float(x[at]) - m.mean) * inv_std);
  }
}
"""


@pytest.mark.parametrize("orders", [1, 3, 5])
def test_elementwise(orders):
    x = values(10, 100)
    y = emulator.empty(x.shape, F32)
    report = launch(SCALE, 4, 256, (x, y, 2.5, x.size), orders=orders)
    np.testing.assert_array_equal(y, F32(2.5) * x)
    assert (report.read, report.written, report.ideal) == (4000, 4000, 8000)
    assert (report.moved, report.coalesced, report.orders) == (8000, 1.0, orders)


@pytest.mark.parametrize("threads", [32, 128, 256])
def test_block_reduction(threads):
    x, total = values(1000), emulator.empty(1, F32)
    launch(SUM, 1, threads, (x, total, x.size))
    np.testing.assert_allclose(total, x.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "dtype", "tolerance"),
    [("float", F32, 1e-5), ("half", np.float16, 2e-3), ("double", np.float64, 1e-5)],
)
def test_welford_by_shuffles_and_template(kind, dtype, tolerance):
    x = values(6, 3, 5, 7, dtype=dtype)
    y = emulator.empty(x.shape, dtype)
    launch(WELFORD, 3, 128, (x, y, 6, 3, 35, 1e-5), name=f"norm<{kind}, 128>")
    wide = x.astype(np.float64)
    axes = (0, 2, 3)
    want = (wide - wide.mean(axes, keepdims=True)) / np.sqrt(
        wide.var(axes, keepdims=True) + 1e-5
    )
    np.testing.assert_allclose(y, want, atol=tolerance)


def test_bfloat16_by_its_bits():
    x = values(6, 3, 5, 7)
    bits = (x.view(np.uint32) >> 16).astype(np.uint16)
    x = (bits.astype(np.uint32) << 16).view(F32).astype(np.float64)
    y = np.zeros_like(bits)
    launch(WELFORD, 3, 64, (bits, y, 6, 3, 35, 0.0), name="norm<__nv_bfloat16, 64>")
    got = (y.astype(np.uint32) << 16).view(F32)
    axes = (0, 2, 3)
    want = (x - x.mean(axes, keepdims=True)) / x.std(axes, keepdims=True)
    np.testing.assert_allclose(got, want, atol=0.02)


def test_float4_is_one_access_of_16_bytes():
    source = """extern "C" __global__ void f(const float* x, float* y, int n) {
      int i = blockIdx.x * blockDim.x + threadIdx.x;
      if (4 * i >= n) return;
      float4 v = reinterpret_cast<const float4*>(x)[i];
      v.x += 1.0f; v.w *= 2.0f;
      ((float4*)y)[i] = make_float4(v.x, v.y, v.z, v.w);
    }"""
    x = values(512)
    y = emulator.empty(512, F32)
    report = launch(source, 2, 64, (x, y, 512))
    want = x.reshape(-1, 4) * [1, 1, 1, 2] + [1, 0, 0, 0]
    np.testing.assert_allclose(y, want.reshape(-1), rtol=1e-6)
    assert report.arrays["x"].requests == report.arrays["y"].requests == 4
    assert report.coalesced == 1.0


def test_half_conversions_are_numpys():
    source = """extern "C" __global__ void f(const float* x, __half* y, float* z) {
      int i = blockIdx.x * blockDim.x + threadIdx.x;
      y[i] = __float2half(x[i]);
      z[i] = __half2float(y[i]);
    }"""
    special = [0, -0.0, 1e-8, 6e-8, 3e-5, 6.1e-5, 65504, 65519.9, 65520, 1e9, np.inf]
    x = np.concatenate([values(53), special]).astype(F32)
    y, z = emulator.empty(64, np.float16), emulator.empty(64, F32)
    launch(source, 2, 32, (x, y, z))
    with np.errstate(over="ignore"):
        want = x.astype(np.float16)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(z, want.astype(F32))


def test_half2():
    source = """extern "C" __global__ void f(const half2* x, half2* y) {
      y[threadIdx.x] = __hfma2(x[threadIdx.x], x[threadIdx.x], __float2half2_rn(1.f));
    }"""
    x = np.arange(64, dtype=np.float16) / 8
    y = emulator.empty(64, np.float16)
    report = launch(source, 1, 32, (x, y))
    np.testing.assert_array_equal(y, x * x + 1)
    assert report.arrays["y"].requests == 1


def test_atomics():
    source = """extern "C" __global__ void f(const float* x, float* sum, int* stats) {
      int i = blockIdx.x * blockDim.x + threadIdx.x;
      atomicAdd(sum, x[i]);
      atomicAdd(&stats[0], 1);
      atomicMax(&stats[1], i);
      atomicMin(&stats[2], -i);
      atomicCAS(&stats[3], 0, 7);
      atomicExch(&stats[4], 9);
    }"""
    x, total, stats = values(256), np.zeros(1, F32), np.zeros(5, np.int32)
    launch(source, 4, 64, (x, total, stats))
    np.testing.assert_allclose(total, x.sum(), rtol=1e-5)
    assert stats.tolist() == [256, 255, -255, 7, 9]


def test_transpose_in_2d_blocks():
    source = """extern "C" __global__ void f(const float* x, float* y, int h, int w) {
      __shared__ float tile[16][17];
      int i = blockIdx.x * 16 + threadIdx.x, j = blockIdx.y * 16 + threadIdx.y;
      if (i < w && j < h) tile[threadIdx.y][threadIdx.x] = x[j * w + i];
      __syncthreads();
      i = blockIdx.y * 16 + threadIdx.x; j = blockIdx.x * 16 + threadIdx.y;
      if (i < h && j < w) y[j * h + i] = tile[threadIdx.x][threadIdx.y];
    }"""
    x = values(40, 50)
    y = emulator.empty((50, 40), F32)
    launch(source, (4, 3), (16, 16), (x, y, 40, 50))
    np.testing.assert_array_equal(y, x.T)


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_dynamic_shared_memory_channels_last(where):
    declaration = "extern __shared__ __align__(16) float s[];"
    inside, outside = (declaration, "") if where == "inside" else ("", declaration)
    source = f"""{outside}
    extern "C" __global__ void f(const float* x, float* mean, int M, int C) {{
      {inside}
      float* sums = s + threadIdx.y * C;
      int c = threadIdx.x;
      float v = 0.f;
      for (int m = threadIdx.y; m < M; m += blockDim.y) v += x[m * C + c];
      sums[c] = v;
      __syncthreads();
      if (threadIdx.y) return;
      for (int r = 1; r < blockDim.y; r++) v += s[r * C + c];
      mean[c] = v / M;
    }}"""
    x, mean = values(30, 32), emulator.empty(32, F32)
    report = launch(source, 1, (32, 4), (x, mean, 30, 32), shared=4 * 32 * 4)
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-5)
    assert report.shared == 512


def test_votes_shuffles_and_counting_barriers():
    source = """extern "C" __global__ void f(int* y) {
      int t = threadIdx.x;
      y[t] = __ballot_sync(0xffffffff, t % 3 == 0);
      y[32 + t] = __any_sync(0xffffffff, t == 5) + 2 * __all_sync(0xffffffff, t < 32);
      y[64 + t] = __shfl_up_sync(0xffffffff, t, 1, 8);
      y[96 + t] = __shfl_sync(0xffffffff, t, 3, 16);
      y[128 + t] = __syncthreads_count(t < 7);
      y[160 + t] = __activemask() == 0xffffffffu;
    }"""
    y = emulator.empty(192, np.int32)
    launch(source, 1, 32, (y,))
    got, t = y.reshape(6, 32), np.arange(32)
    assert set(got[0]) == {sum(1 << i for i in range(0, 32, 3))}
    assert set(got[1]) == {3} and set(got[4]) == {7} and set(got[5]) == {1}
    np.testing.assert_array_equal(got[2], np.where(t % 8, t - 1, t))
    np.testing.assert_array_equal(got[3], t // 16 * 16 + 3)


def test_last_block_with_fence_is_no_race():
    source = """__device__ unsigned done = 0;
    extern "C" __global__ void f(const float* x, float* part, float* sum) {
      if (threadIdx.x) return;
      float v = 0;
      for (int i = 0; i < 8; i++) v += x[blockIdx.x * 8 + i];
      part[blockIdx.x] = v;
      __threadfence();
      if (atomicAdd(&done, 1) == gridDim.x - 1) {
        v = 0;
        for (int b = 0; b < gridDim.x; b++) v += part[b];
        *sum = v;
      }
    }"""
    x, part, total = values(32), emulator.empty(4, F32), emulator.empty(1, F32)
    launch(source, 4, 32, (x, part, total))
    np.testing.assert_allclose(total, x.sum(), rtol=1e-6)


def test_constants_and_printf(capsys):
    source = """__constant__ float table[3] = {1.f, 2.f, 4.f};
    extern "C" __global__ void f(float* y) {
      y[threadIdx.x] = table[threadIdx.x];
      if (threadIdx.x == 2) printf("%d: %g\\n", threadIdx.x, y[2]);
    }"""
    y = emulator.empty(3, F32)
    launch(source, 1, 3, (y,))
    assert y.tolist() == [1, 2, 4]
    assert capsys.readouterr().out == "2: 4\n"


def test_none_is_a_null_pointer():
    source = """extern "C" __global__ void f(const float* gain, float* y, float* last) {
      y[threadIdx.x] = gain ? gain[threadIdx.x] : 1.f;
      if (last) *last = y[31];
    }"""
    y = emulator.empty(32, F32)
    report = launch(source, 1, 32, (None, y, None))
    np.testing.assert_array_equal(y, 1)
    assert list(report.arrays) == ["y"]
    careless = source.replace("if (last) ", "")
    fails("Thread 0 of block 0 writes through a null", careless, 1, 32, (None, y, None))


def test_report_of_uncoalesced_reads():
    source = """extern "C" __global__ void f(const float* x, float* y) {
      int i = threadIdx.x;
      float v = x[i * 8];
      y[i] = v;
    }"""
    x, y = values(256), emulator.empty(32, F32)
    report = launch(source, 1, 32, (x, y))
    assert report.arrays["x"].coalesced == 1 / 8
    assert report.arrays["x"].moved == 1024
    text = str(report)
    assert "line 3: a warp touches 32 sectors a request where 4 would do" in text
    assert "12%" in text and "total" in text


# ---- planted faults ------------------------------------------------------------------

HEAD = 'extern "C" __global__ void f(const float* x, float* y, int n) {\n'
INDEX = "int i = blockIdx.x * blockDim.x + threadIdx.x;\n"


def source(*body):
    return HEAD + "\n".join(body) + "\n}"


def xy(n=64):
    return values(n), emulator.empty(n, F32), n


def test_race_in_shared_memory():
    broken = SUM.replace("s[t] = v;\n  __syncthreads();", "s[t] = v;")
    fails(
        r"The result depends on the order of the threads: total\[0\] is \S+ or \S+ At "
        r"s\[\d+\], thread \d+ .* in line \d+ \(`.*`\).*no __syncthreads\(\)",
        broken,
        1,
        64,
        (values(64), np.zeros(1, F32), 64),
    )


def test_missing_barrier_in_the_loop():
    broken = SUM.replace(
        "if (t < d) s[t] += s[t + d];\n    __syncthreads();",
        "if (t < d) s[t] += s[t + d];",
    )
    fails(
        r"At s\[\d+\], thread \d+ reads it in line 12 .* writes it in line 12",
        broken,
        1,
        64,
        (values(64), np.zeros(1, F32), 64),
    )


def test_lost_update_between_blocks():
    code = source(INDEX, "y[0] += x[i];")
    fails(
        r"At y\[0\], thread \d+ of block \d+ writes .*Nothing orders different blocks",
        code,
        64,
        1,
        (values(64), np.zeros(1, F32), 64),
    )


def test_missing_syncwarp():
    code = source(
        "__shared__ float s[32];",
        "s[threadIdx.x] = x[threadIdx.x];",
        "y[threadIdx.x] = s[31 - threadIdx.x];",
    )
    fails(r"there is no __syncwarp\(\) or __syncthreads", code, 1, 32, xy(32))
    launch(
        code.replace("y[threadIdx.x] =", "__syncwarp(); y[threadIdx.x] ="),
        1,
        32,
        xy(32),
    )


def test_out_of_bounds_read():
    code = source(INDEX, "if (i < n) y[i] = x[i + 1];")
    fails(
        r"Thread 31 of block 1 reads x\[64\], but its entries are 0 to 63: out of "
        r"bounds, in line 4 \(`if \(i < n\) y\[i\] = x\[i \+ 1\];`\)",
        code,
        2,
        32,
        xy(),
    )


def test_out_of_bounds_write_and_block_size():
    code = source(INDEX, "y[i] = x[0];")
    fails(r"Thread 0 of block 2 writes y\[64\]", code, 3, 32, xy())


def test_far_out_of_bounds_does_not_crash():
    code = source("y[0] = x[-1000000000 + n];")
    fails(r"reads x\[-999999936\]", code, 1, 1, xy())


def test_block_size_assumption_in_shared_memory():
    fails(
        r"index 256 of s, which is float ?\[256\]: out of bounds",
        SUM,
        1,
        512,
        (values(1000), np.zeros(1, F32), 1000),
    )


def test_inner_dimension_out_of_bounds():
    code = source(
        "__shared__ float s[4][8];",
        "s[threadIdx.x / 8][threadIdx.x % 8 + 1] = 1.f;",
    )
    fails(r"index 8 of .*out of bounds, in line 3", code, 1, 32, xy())


def test_divergent_barrier():
    code = source("if (threadIdx.x < 32) __syncthreads();")
    fails(
        r"Divergent barrier. In block 0, threads 0–31 wait at __syncthreads in line 2 "
        r"\(.*\), threads 32–63 have returned",
        code,
        1,
        64,
        xy(),
    )


def test_two_barriers_at_once():
    code = source(
        "if (threadIdx.x < 32) __syncthreads();",
        "else __syncthreads();",
    )
    fails(
        r"threads 0–31 wait at .* line 2 .*threads 32–63 wait at .* line 3",
        code,
        1,
        64,
        xy(),
    )


SHUFFLE = source(
    "y[threadIdx.x] = __shfl_down_sync(0xffffffff, x[threadIdx.x], 1, 24);"
)


def test_wrong_shuffle_width():
    fails(
        r"__shfl_down_sync with width 24 in line 2 .*must be 1, 2, 4",
        SHUFFLE,
        1,
        32,
        xy(),
    )


def test_shuffle_with_missing_lanes():
    code = source(
        "if (threadIdx.x >= 20) return;",
        "y[threadIdx.x] = __shfl_xor_sync(0xffffffff, x[threadIdx.x], 1);",
    )
    fails(
        r"__shfl_xor_sync in line 3 .*lanes 20–31 of warp 0 do not take part",
        code,
        1,
        32,
        xy(),
    )


def test_shuffle_in_a_block_that_is_no_multiple_of_32():
    code = SHUFFLE.replace("24", "32")
    fails(
        r"lanes 16–31 of warp 1 do not exist: the block has 48 threads",
        code,
        1,
        48,
        xy(),
    )


def test_shuffle_from_a_lane_outside_the_mask():
    code = source(
        "if (threadIdx.x < 16)",
        "  y[threadIdx.x] = __shfl_down_sync(0xffff, x[threadIdx.x], 8);",
    )
    fails(r"from lane 16, which its mask 0x0000ffff leaves out", code, 1, 32, xy())


def test_mask_that_leaves_oneself_out():
    code = source("y[threadIdx.x] = __shfl_sync(0xffff, x[threadIdx.x], 0);")
    fails(r"Thread 16 .*is lane 16 .*leaves itself out", code, 1, 32, xy(32))


def test_uninitialised_shared_memory():
    code = source(
        "__shared__ float s[64];",
        "if (threadIdx.x < 10) s[threadIdx.x] = 0.f;",
        "__syncthreads();",
        "y[threadIdx.x] = s[threadIdx.x];",
    )
    fails(
        r"Thread 10 of block 0 reads s\[10\], which nobody has written, in line 5",
        code,
        1,
        64,
        xy(),
    )


def test_shared_memory_does_not_outlive_its_block():
    code = source(
        "__shared__ float s;",
        "if (blockIdx.x == 0) s = x[0];",
        "y[blockIdx.x] = s;",
    )
    fails(r"Thread 0 of block 1 reads s, which nobody", code, 2, 1, xy(2), orders=1)


def test_reading_an_unwritten_output():
    code = source(INDEX, "y[i] += x[i];")
    fails(r"reads y\[0\], which nobody has written.*emulator.empty", code, 2, 32, xy())


def test_unwritten_output():
    code = source(INDEX, "if (i < n - 4) y[i] = x[i];")
    fails(
        r"y\[60\] was never written, nor were 3 other entries of 64", code, 2, 32, xy()
    )


def test_misaligned_float4():
    code = source("float4 v = *(const float4*)(x + 1);", "y[0] = v.x + v.w;")
    fails(r"reads 16 bytes of x at byte 4, .*misaligned address", code, 1, 1, xy())


def test_too_much_shared_memory():
    code = source("__shared__ float s[16384];", "s[0] = 1.f; y[0] = s[0];")
    fails(r"65,536 bytes of static shared memory with s in line 2", code, 1, 1, xy())
    fails(
        r"shared is 300000 bytes; a block has at most 232448",
        SCALE,
        1,
        1,
        (values(1), values(1), 1.0, 1),
        shared=300_000,
    )


def test_too_large_a_launch():
    fails(r"has 2048 threads; a GPU takes at most 1024", SCALE, 1, (64, 32), ())
    fails(r"block has 128 along z; a GPU takes 1 to 64", SCALE, 1, (1, 1, 128), ())
    fails(r"grid has 0 along x", SCALE, 0, 32, ())


def test_syntax_error_has_the_learners_line():
    code = source(INDEX, "__shared__ float s[2],\n t[3];", "y[i] = x[i] * scale;")
    fails(
        r"does not compile.\nline 6: .*scale.*\n    y\[i\] = x\[i\] \* scale;",
        code,
        1,
        32,
        xy(),
    )


def test_unknown_kernel_and_host_code():
    fails(r"no __global__ function g; it has: f", SCALE, 1, 1, (), name="g")
    fails(
        r"Line 2 .*a launch", SCALE.replace("extern", "f<<<1, 1>>>(); extern"), 1, 1, ()
    )
    fails(r"one brace \{ too many", SCALE + "{", 1, 1, ())
    fails(r"initial value", source("__shared__ float s = 0;"), 1, 1, ())


@pytest.mark.parametrize(
    ("args", "match"),
    [
        (
            (values(4, dtype=np.float64), values(4), 1.0, 4),
            "x has dtype float64; .*float32",
        ),
        ((values(4), values(4), 1.0), r"takes 4 arguments \(x, y, a, n\); got 3"),
        ((values(8)[::2], values(4), 1.0, 4), "x is not contiguous"),
        ((3.0, values(4), 1.0, 4), "x is a float; the kernel takes a pointer"),
        ((values(4), values(4), 1.0, 4.0), "n is 4.0; the kernel takes a int32"),
        ((values(4), values(4), np.float64(1), 4), "a is a float64; .* float32"),
        ((values(4), values(4), 1.0, 2**40), "n is 1099511627776, too large"),
    ],
)
def test_wrong_arguments(args, match):
    fails(match, SCALE, 1, 4, args)


def test_endless_loop():
    code = source("volatile int go = 1;", "while (go) { go = 1; }")
    fails(
        r"does not end in the time given. Thread 0 of block 0",
        code,
        1,
        32,
        xy(),
        seconds=0.3,
        orders=1,
    )


def test_endless_recursion_and_division_by_zero():
    code = """__device__ int deep(volatile int* p, int n) {
      volatile int here[100]; here[0] = n;
      return deep(here, n + 1) + here[0] + p[0]; }
    extern "C" __global__ void f(int* y) { volatile int a = 0; y[0] = deep(&a, 1); }"""
    fails("crashed .*call itself", code, 1, 1, (np.zeros(1, np.int32),))
    code = source("y[0] = n / (n - 64);")
    fails("divides an integer by zero in line 2", code, 1, 1, xy())


def test_failed_assert():
    fails(r"assert failed, `n == 3`, in line 2", source("assert(n == 3);"), 1, 1, xy())


def test_arrays_are_as_before_after_an_error():
    y = np.arange(64, dtype=F32)
    code = source(INDEX, "y[i] = 0.f; if (i == 40) y[n] = 1.f;")
    fails(r"y\[64\]", code, 2, 32, (values(64), y, 64))
    np.testing.assert_array_equal(y, np.arange(64))


# ---- without a compiler --------------------------------------------------------------


def test_without_a_compiler_one_line_says_so(monkeypatch):
    monkeypatch.setattr("bnlib.emulator._build.compiler", lambda: None)
    with pytest.raises(emulator.EmulatorError, match=r"pip install ziglang") as caught:
        emulator.compile(SCALE, "f")
    assert caught.value._render_traceback_()[0] == "EmulatorError"


def test_bnlib_is_imported_without_the_emulator():
    code = "import bnlib, sys; assert 'bnlib.emulator' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
