"""torch.utils.dlpack: memory shared with other libraries, by capsules too. It must not know any operation."""

from __future__ import annotations

import enum
from typing import Any

from gradcore.ops.creation import from_dlpack
from gradcore.tensor import Tensor

__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]


class DLDeviceType(enum.IntEnum):
    """The kinds of devices of the DLPack protocol."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3
    kDLOpenCL = 4
    kDLVulkan = 7
    kDLMetal = 8
    kDLVPI = 9
    kDLROCM = 10
    kDLROCMHost = 11
    kDLExtDev = 12
    kDLCUDAManaged = 13
    kDLOneAPI = 14
    kDLWebGPU = 15
    kDLHexagon = 16
    kDLMAIA = 17


def to_dlpack(tensor: Tensor) -> Any:
    """Return a capsule of the tensor's memory, to be given to one `from_dlpack`."""
    return tensor.detach().__dlpack__()
