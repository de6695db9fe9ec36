"""torch.optim: optimizers and schedules of their learning rates. It must not know any network."""

from gradcore.optim import lr_scheduler, swa_utils
from gradcore.optim.adagrad import Adadelta, Adagrad
from gradcore.optim.adam import Adam, Adamax, AdamW
from gradcore.optim.lbfgs import LBFGS
from gradcore.optim.nadam import NAdam, RAdam
from gradcore.optim.optimizer import Optimizer
from gradcore.optim.rmsprop import RMSprop
from gradcore.optim.rprop import ASGD, Rprop
from gradcore.optim.sgd import SGD

__all__ = [
    "ASGD", "LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "Optimizer", "RAdam", "RMSprop",
    "Rprop", "lr_scheduler", "swa_utils",
]  # fmt: skip
