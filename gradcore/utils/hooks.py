"""torch.utils.hooks: the handle by which a hook is taken off. It must not know what hooks are for."""

from gradcore.recorder.hooks import RemovableHandle

__all__ = ["RemovableHandle"]
