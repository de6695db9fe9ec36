"""Names of torch's that programs ask for and gradcore has not, and what to do instead. It must not know what there is."""

from __future__ import annotations

from typing import Final

_THREADS: Final = "NumPy multiplies matrices with its BLAS's threads: set OMP_NUM_THREADS before it is imported"
_AUTOCAST: Final = "there is no automatic mixed precision: move modules and tensors by .to(dtype)"
_EAGER: Final = "operations run one by one, so leave it out: it changes no numbers"

REASONS: Final = {
    "GradScaler": _AUTOCAST,
    "amp": _AUTOCAST,
    "autocast": _AUTOCAST,
    "compile": f"{_EAGER}; on a GPU, gradcore.cuda.graphed_step makes one launch of a training step",
    "distributed": "there is one process",
    "distributions": "write log_prob and samples with gradcore.randn, normal, multinomial and the like",
    "fx": _EAGER,
    "get_num_threads": _THREADS,
    "hub": "save and load take safetensors and npz",
    "jit": _EAGER,
    "multiprocessing": "Python's own is there; arrays are shared by multiprocessing.shared_memory",
    "onnx": "there is no graph before a program runs",
    "profiler": "gradcore.autograd.profiler has profile and record_function",
    "quasirandom": "scipy.stats.qmc draws such numbers: gradcore.from_numpy takes them",
    "set_default_tensor_type": "set_default_dtype and set_default_device say the same",
    "set_float32_matmul_precision": "matrices are multiplied in the precision of their dtype",
    "set_num_threads": _THREADS,
    "signal": "hann_window and its like are functions of gradcore; gradcore.from_numpy takes those of scipy.signal.windows",
    "sparse": "there are dense tensors only",
}


def why(namespace: str, name: str) -> str:
    """What to add to the message that there is no such name, if anything is known."""
    reason = None if namespace else REASONS.get(name)
    return "" if reason is None else f": {reason}"
