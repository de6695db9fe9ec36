"""That a compiler for each generation of devices takes the fused kernels. It needs no GPU.

NVRTC compiles for devices that need not be there: `pip install -e ".[kernels]"`. Where CI_KERNELS is set, a missing NVRTC is
an error, not a skip.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.test_kernels import CALLS, ELEMENTWISE, OTHERS

ROOT = Path(__file__).resolve().parents[1]
DEMANDED = os.environ.get("CI_KERNELS", "0") not in ("", "0")
ARCHITECTURES = ("sm_75", "sm_80", "sm_90")

# In a process of its own, because the double may stand where CuPy is imported here.
COMPILE = '''
import sys
from cupy._core import core
from cupy.cuda import compiler
from gradcore.backends import cupy
from gradcore.backends.kernels import launch

TYPES = launch.NAMES
OPTIONS = core.assemble_cupy_compiler_options(()) + ("-ftz=true", "--device-as-default-execution-space")


def elementwise(kernel, char, mask="bool"):
    """An elementwise kernel as CuPy writes it, but for views: the operation over references to elements."""
    aliases = {"T": TYPES[char], "S": launch.WIDE[char], "M": mask}
    params = [p for p in kernel.params if p.name != "_ind"]
    const = ["const " if p.is_const else "" for p in params]
    taken = "".join(f"{c}{p.ctype}* _{p.name}, " for c, p in zip(const, params))
    each = " ".join(f"{c}{p.ctype}& {p.name} = _{p.name}[i];" for c, p in zip(const, params))
    types = "".join(f"typedef {aliases[t]} {t};" for t in sorted({p.ctype for p in params}))
    return f"""#include <cupy/complex.cuh>
#include <cupy/carray.cuh>
#include <cupy/float16.cuh>
{launch.headers(char)}{types}
{kernel.preamble}
extern "C" __global__ void {kernel.name}({taken}long long n) {{
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) {{ {each} {kernel.operation} }}
}}"""


def build(name, source, architecture):
    done = compiler._NVRTCProgram(source, name + ".cu", method="cubin").compile(OPTIONS + ("-arch=" + architecture,))
    assert len(done[0]) > 500


if sys.argv[1] == "broken":
    kernel = next(k for k in launch.raw_kernels if k.name == "gradcore_softmax")
    build("broken", kernel.text("f").replace("A top", "A tpo"), "sm_90")
built = 0
for char in TYPES:
    for architecture in sys.argv[1:]:
        for kernel in launch.elementwise_kernels:
            build(kernel.name, elementwise(kernel, char), architecture)
        for kernel in launch.raw_kernels:
            build(kernel.name, kernel.text(char), architecture)
        masked = next(k for k in launch.elementwise_kernels if k.name == "gradcore_masked")
        for mask in (TYPES[char], "long long", "complex<float>"):
            build(masked.name, elementwise(masked, char, mask), architecture)
        built += len(launch.elementwise_kernels) + len(launch.raw_kernels)
print("built", built)
'''


def compiled(*architectures: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COMPILE, *architectures]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def nvrtc() -> Callable[..., subprocess.CompletedProcess[str]]:
    ask = "from cupy.cuda import compiler; from cupy_backends.cuda.libs import nvrtc; print(nvrtc.getVersion())"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = 'needs CuPy and NVRTC, no GPU: pip install -e ".[kernels]"'
        if DEMANDED:
            pytest.fail(f"CI_KERNELS is set, but {reason}\n{done.stderr[-500:]}")
        pytest.skip(reason)
    return compiled


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles(architecture: str, nvrtc: Callable[..., Any]) -> None:
    done = nvrtc(architecture)
    assert done.returncode == 0, done.stderr[-3000:]
    kernels = len(ELEMENTWISE) + 1 + len(CALLS) + len(OTHERS) + 3  # the three of attention come in two sizes
    assert int(done.stdout.split()[-1]) == 4 * kernels


@pytest.mark.oracle
def test_a_broken_kernel_would_be_seen(nvrtc: Callable[..., Any]) -> None:
    done = nvrtc("broken")
    assert done.returncode != 0
    assert 'identifier "top" is undefined' in done.stderr
