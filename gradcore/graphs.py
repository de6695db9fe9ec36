"""CUDA graphs as torch.cuda has them: what a stream is given, captured once and launched as one. It must not know CuPy.

A replay does to the same memory what was captured, without Python: inputs are written into the tensors that were captured as
inputs, results are read from those that were captured as results.
"""

from __future__ import annotations

import functools
import gc
import warnings
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from gradcore import backends, generator
from gradcore.autograd import grad
from gradcore.autograd.function import Function, once_differentiable
from gradcore.captured import Inputs, watched
from gradcore.graph.modes import no_grad
from gradcore.nn.modules.module import Module
from gradcore.streams import Stream, StreamContext, current_stream
from gradcore.tensor import Tensor
from gradcore.transforms.trees import flat

Handle = tuple[int, int]


def _backend() -> ModuleType:
    backends.for_device("cuda")
    return import_module("gradcore.backends.graphs")


def is_current_stream_capturing() -> bool:
    """Say whether work that is given now is captured; never where there is no CUDA."""
    return bool(backends.captures) and bool(_backend().capturing())


def graph_pool_handle() -> Handle:
    """Return the name of a memory pool, for graphs that may share one: such as are never under way at the same time."""
    return _backend().new_handle()  # type: ignore[no-any-return]


class CUDAGraph:
    """Work of a device that was captured: `with cuda.graph(g): ...`, then `g.replay()`.

    Its memory is its own: results stay valid until the next replay. What it reads must be kept by the caller.
    """

    def __init__(self, keep_graph: bool = False) -> None:
        self._capture: Any = None
        self._done = False
        self._inputs: Inputs | None = None

    def capture_begin(
        self, pool: Handle | None = None, capture_error_mode: str = "relaxed", check_input_liveness: bool = False
    ) -> None:
        """Capture from now on what the current stream is given. Raises RuntimeError on the default stream.

        Other than torch's, the mode is "relaxed" unless another is asked for, since the memory pool may have to grow. With
        `check_input_liveness`, replays raise RuntimeError where a tensor that an operation had got has been freed.
        """
        if capture_error_mode not in ("global", "thread_local", "relaxed"):
            raise RuntimeError(
                f"Unknown capture error mode. Expected `global`, `thread_local`, or `relaxed`, got {capture_error_mode}"
            )
        if self._capture is not None:
            raise RuntimeError("this CUDAGraph has captured already; call its reset() first")
        if is_current_stream_capturing():
            raise RuntimeError("another capture is under way on this thread: graphs do not nest")
        if current_stream().cuda_stream == 0:
            raise RuntimeError(
                "CUDA graphs must be captured on a non-default stream. (However, after capture, it's ok to replay them on "
                "the default stream.)"
            )
        generator.default(backends.for_device("cuda"), current_stream().device_index).source.prepare()
        capture = _backend().Capture(_backend().pool_of(pool), capture_error_mode)
        capture.begin()
        self._capture = capture
        self._inputs = Inputs() if check_input_liveness else None
        if self._inputs is not None:
            self._inputs.start()

    def capture_end(self) -> None:
        """Capture no more. Raises RuntimeError if something has made the graph impossible."""
        if self._capture is None or self._done:
            raise RuntimeError("capture_end() was called, but nothing is being captured")
        if self._inputs is not None:
            self._inputs.stop()
        try:
            self._capture.end()
        except Exception as error:
            self._capture = None
            raise RuntimeError(f"the work that was captured cannot be made a CUDA graph ({error})") from error
        self._done = True

    def replay(self) -> None:
        """Give all of it to the current stream again. Raises RuntimeError if nothing was captured."""
        if not self._done:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        if self._inputs is not None:
            self._inputs.check()
        self._capture.launch()

    def reset(self) -> None:
        """Forget the graph and give up its memory."""
        self._capture, self._done, self._inputs = None, False, None

    def pool(self) -> Handle:
        """Return the name of its memory pool. Raises RuntimeError before a capture."""
        if self._capture is None:
            raise RuntimeError("Called CUDAGraph::pool() without a preceding successful capture.")
        return self._capture.pool.handle  # type: ignore[no-any-return]


class graph:
    """In a `with` block, capture into `cuda_graph` what a stream is given, `stream` or one kept for this purpose."""

    default_capture_stream: Stream | None = None

    def __init__(
        self,
        cuda_graph: CUDAGraph,
        pool: Handle | None = None,
        stream: Stream | None = None,
        capture_error_mode: str = "relaxed",
        check_input_liveness: bool = False,
    ) -> None:
        if stream is None and graph.default_capture_stream is None:
            graph.default_capture_stream = Stream()
        self.capture_stream = stream or graph.default_capture_stream
        self.cuda_graph, self.pool, self.settings = cuda_graph, pool, (capture_error_mode, check_input_liveness)

    def __enter__(self) -> None:
        backends.for_device("cuda").synchronize()
        gc.collect()
        backends.for_device("cuda").free_memory()
        self._stream = StreamContext(self.capture_stream)
        self._stream.__enter__()
        try:
            self.cuda_graph.capture_begin(self.pool, *self.settings)
        except BaseException:
            self._stream.__exit__()
            raise

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            self.cuda_graph.capture_end()
        except RuntimeError:
            if error is None:
                raise
        finally:
            self._stream.__exit__()
            if error is not None:
                self.cuda_graph.reset()
        if "cudaErrorStreamCapture" in str(error):
            raise RuntimeError(_backend().refusal("what the host waits for (item(), if, synchronize())")) from error


# -- whole steps ------------------------------------------------------------------------------------------------------


class _Captured:
    """What is known of calls with inputs of certain sizes: how many there were, then the graph with its ends."""

    def __init__(self) -> None:
        self.calls = 0
        self.graph: CUDAGraph | None = None
        self.inputs: list[Tensor] = []
        self.results: tuple[list[Any], Any] = ([], None)


def _of_device(op: Any, tensors: list[Tensor]) -> None:
    """Raise RuntimeError for an operation on tensors of the host, which no replay would do again."""
    if tensors and not any(x.is_cuda for x in tensors):
        raise RuntimeError(_backend().refusal(f"{op.name}, which got tensors of the host,"))


class GraphedStep:
    """A function whose calls are replays of a graph; see `graphed_step`."""

    def __init__(self, function: Callable[..., Any], warmup: int, limit: int) -> None:
        functools.update_wrapper(self, function)
        self.function, self.warmup, self.limit = function, warmup, limit
        self.known: dict[Any, _Captured] = {}
        self.stream: Stream | None = None
        self.last: Stream | None = None

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if backends.why_not("cuda") is not None:
            return self.function(*args, **keywords)
        leaves, shape = flat((args, keywords))
        captured = self._captured(leaves, repr(shape))
        if captured is None:
            return self.function(*args, **keywords)
        here = current_stream()
        for other in {self.stream, self.last} - {None, here}:
            here.wait_stream(other)  # type: ignore[arg-type]
        self.last = here
        if captured.graph is None:
            if captured.calls < self.warmup:
                captured.calls += 1
                return self._on_its_stream(here, lambda: self.function(*args, **keywords))
            self._capture(captured, leaves, shape)
        with no_grad():
            for mine, given in zip(captured.inputs, (x for x in leaves if isinstance(x, Tensor)), strict=True):
                if mine is not given:
                    mine.copy_(given, non_blocking=True)
            captured.graph.replay()  # type: ignore[union-attr]
            found, form = captured.results
            return form.tree(x.clone() if isinstance(x, Tensor) else x for x in found)

    def _captured(self, leaves: list[Any], shape: str) -> _Captured | None:
        """What is known of calls like this one; None, with a warning, for one more kind of them than are kept."""
        key = (
            shape,
            tuple((x.shape, x.dtype, x.device, x.requires_grad) if isinstance(x, Tensor) else (type(x), x) for x in leaves),
        )
        try:
            if key not in self.known and len(self.known) < self.limit:
                self.known[key] = _Captured()
            if key in self.known:
                return self.known[key]
            why = f"it was called with inputs of more than {self.limit} kinds"
        except TypeError as error:
            why = str(error)
        warnings.warn(f"{self.function.__name__} runs without a graph: {why}", RuntimeWarning, stacklevel=3)
        return None

    def _on_its_stream(self, here: Stream, run: Callable[[], Any]) -> Any:
        """Run on a stream of its own, as a capture must be; memory that the step keeps then belongs to that."""
        if self.stream is None:
            self.stream = Stream()
        self.stream.wait_stream(here)
        with StreamContext(self.stream):
            out = run()
        here.wait_stream(self.stream)
        return out

    def _capture(self, captured: _Captured, leaves: list[Any], shape: Any) -> None:
        static = [x.detach().clone().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x for x in leaves]
        made = CUDAGraph()
        if self.stream is None:
            self.stream = Stream()
        with graph(made, stream=self.stream), watched(_of_device, lambda results: None):
            args, keywords = shape.tree(static)
            found, form = flat(self.function(*args, **keywords))
        captured.inputs = [x for x in static if isinstance(x, Tensor)]
        captured.results = [x.detach() if isinstance(x, Tensor) else x for x in found], form
        captured.graph = made


def graphed_step(function: Callable[..., Any] | None = None, *, warmup: int = 3, limit: int = 8) -> Any:
    """Return `function`, a whole training step say, so that its calls replay a CUDA graph, with one launch.

    Its first `warmup` calls run as they are, and so do all where there is no CUDA; then one is captured. Tensors among the
    arguments are copied in, those among the results copied out. Inputs of other shapes, dtypes or settings get graphs of
    their own, up to `limit`; more run as they are, with a warning. The function must be the same work of the device every
    time: no value that the host reads, no tensors of the host, optimizers with `capturable=True`. What else it does on
    the host is done when it is captured, not by replays. Raises ValueError for a `warmup` of less than 1.
    """
    if warmup < 1:
        raise ValueError("graphed_step: a first call must run as it is, since replays would make anew what it makes to keep")
    if function is None:
        return functools.partial(graphed_step, warmup=warmup, limit=limit)
    return GraphedStep(function, warmup, limit)


# -- parts of a program, with gradients -------------------------------------------------------------------------------


class _Part:
    """A callable whose forward and backward are graphs: the tensors at their ends."""

    def __init__(self, function: Any, sample: Any) -> None:
        self.function = function
        given, self.form = flat(tuple(sample))
        if not all(isinstance(x, Tensor) for x in given):
            raise AssertionError(
                "In the beta API, sample_args for each callable must contain only Tensors. Other types are not allowed."
            )
        if isinstance(function, Module):
            _check(function)
        self.inputs = [x.detach().clone().requires_grad_(x.requires_grad) for x in given]
        self.parameters = list(function.parameters()) if isinstance(function, Module) else []
        self.forward, self.backward = CUDAGraph(), CUDAGraph()

    def run(self) -> list[Tensor]:
        found, self.result_form = flat(self.function(*self.form.tree(self.inputs)))
        return found

    def gradients(self, results: list[Tensor], seeds: list[Tensor | None], allow_unused: bool) -> list[Tensor | None]:
        """Of all inputs and parameters, None for those that need none."""
        sources = [x for x in (*self.inputs, *self.parameters) if x.requires_grad]
        roots = [(r, s) for r, s in zip(results, seeds, strict=True) if s is not None]
        if not sources or not roots:
            return [None] * len(self.inputs + self.parameters)
        found = iter(grad([r for r, _ in roots], sources, [s for _, s in roots], allow_unused=allow_unused))
        return [next(found) if x.requires_grad else None for x in (*self.inputs, *self.parameters)]

    def capture(self, pool: Handle, stream: Stream) -> None:
        with graph(self.forward, pool, stream):
            self.results = self.run()

    def capture_backward(self, pool: Handle, stream: Stream, allow_unused: bool) -> None:
        self.seeds = [r.new_empty(r.shape) if r.requires_grad else None for r in self.results]
        with graph(self.backward, pool, stream):
            self.cotangents = self.gradients(self.results, self.seeds, allow_unused)

    def graphed(self) -> Callable[..., Any]:
        part = self

        class Graphed(Function):
            """The graphs as one operation."""

            @staticmethod
            def forward(ctx: Any, *tensors: Tensor) -> Any:
                for mine, given in zip(part.inputs, tensors, strict=False):
                    if mine._array is not given._array:
                        mine.detach().copy_(given, non_blocking=True)
                part.forward.replay()
                return tuple(result.detach() for result in part.results)

            @staticmethod
            @once_differentiable
            def backward(ctx: Any, *cotangents: Any) -> Any:
                for seed, given in zip(part.seeds, cotangents, strict=True):
                    if seed is not None and seed._array is not given._array:
                        seed.copy_(given, non_blocking=True)
                part.backward.replay()
                return tuple(None if c is None else c.detach() for c in part.cotangents)

        def call(*args: Any) -> Any:
            results = Graphed.apply(*flat(args)[0], *part.parameters)
            return part.result_form.tree(results if isinstance(results, tuple) else (results,))

        return call


def _check(module: Module) -> None:
    """Raise torch's AssertionError for a module of which a graph would leave something out."""
    if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
        raise AssertionError(
            "Modules must not have hooks registered at the time they are passed. However, registering hooks on modules "
            "after passing them through make_graphed_callables is allowed."
        )
    if any(buffer.requires_grad for buffer in module.buffers()):
        raise AssertionError(
            "In any :class:`~torch.nn.Module` passed to :func:`~make_graphed_callables`, only parameters may be trainable. "
            "All buffers must have ``requires_grad=False``."
        )


def make_graphed_callables(
    callables: Any,
    sample_args: Any,
    num_warmup_iters: int = 3,
    allow_unused_input: bool = False,
    pool: Handle | None = None,
) -> Any:
    """Return functions or modules whose forward and backward are replays of CUDA graphs.

    `sample_args` are a tuple of tensors of the sizes to come, for several callables a tuple of such tuples. Several must be
    called in the order in which they stand, and their backwards in the opposite one. A module runs without its graphs in
    another mode (`train()`, `eval()`) than it was captured in. Results are overwritten by the next call. Raises
    AssertionError for other arguments than tensors, and for modules with hooks or with buffers that ask for gradients.
    """
    several = isinstance(callables, tuple)
    parts = [
        _Part(function, sample)
        for function, sample in zip(
            callables if several else (callables,), sample_args if several else (sample_args,), strict=True
        )
    ]
    stream, handle = Stream(), graph_pool_handle() if pool is None else pool
    stream.wait_stream(current_stream())
    with StreamContext(stream):
        for part in parts:
            for _ in range(num_warmup_iters):
                results = part.run()
                part.gradients(results, [r.new_zeros(r.shape) if r.requires_grad else None for r in results], True)
    current_stream().wait_stream(stream)
    for part in parts:
        part.capture(handle, stream)
    for part in reversed(parts):
        part.capture_backward(handle, stream, allow_unused_input)
    made = tuple(_in_place_of(part) for part in parts)
    return made if several else made[0]


def _in_place_of(part: _Part) -> Any:
    graphed, module = part.graphed(), part.function
    if not isinstance(module, Module):
        return graphed
    plain, training = module.forward, module.training

    def forward(*args: Any) -> Any:
        return graphed(*args) if module.training == training else plain(*args)

    module.forward = forward  # type: ignore[method-assign]
    return module
