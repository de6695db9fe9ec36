"""From a primitive's declaration to recorded operations on Tensors. It must not know any particular operation."""

from gradcore.recorder.primitive import Primitive, primitive, registry, renamed
from gradcore.recorder.value import Value, adopt, meta, take_plainly, wrap

__all__ = ["Primitive", "Value", "adopt", "meta", "primitive", "registry", "renamed", "take_plainly", "wrap"]
