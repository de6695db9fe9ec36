"""torch.nn: neural networks. It must not know any derivative."""

from gradcore.nn import functional, init, modules, parameter, utils
from gradcore.nn.modules.activation import (
    CELU, ELU, GELU, GLU, SELU, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyReLU, LogSigmoid, LogSoftmax, Mish,
    PReLU, ReLU, ReLU6, RReLU, Sigmoid, SiLU, Softmax, Softmax2d, Softmin, Softplus, Softshrink, Softsign, Tanh,
    Tanhshrink, Threshold,
)  # fmt: skip
from gradcore.nn.modules.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from gradcore.nn.modules.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from gradcore.nn.modules.conv import Conv1d, Conv2d, Conv3d
from gradcore.nn.modules.distance import CosineSimilarity, PairwiseDistance
from gradcore.nn.modules.dropout import Dropout
from gradcore.nn.modules.flatten import Flatten, Unflatten
from gradcore.nn.modules.linear import Identity, Linear
from gradcore.nn.modules.loss import (
    BCELoss, BCEWithLogitsLoss, CosineEmbeddingLoss, CrossEntropyLoss, GaussianNLLLoss, HingeEmbeddingLoss, HuberLoss,
    KLDivLoss, L1Loss, MarginRankingLoss, MSELoss, MultiLabelSoftMarginLoss, NLLLoss, PoissonNLLLoss, SmoothL1Loss,
    SoftMarginLoss, TripletMarginLoss, TripletMarginWithDistanceLoss,
)  # fmt: skip
from gradcore.nn.modules.module import Module
from gradcore.nn.modules.normalization import LayerNorm
from gradcore.nn.modules.padding import (
    CircularPad1d, CircularPad2d, CircularPad3d, ConstantPad1d, ConstantPad2d, ConstantPad3d, ReflectionPad1d,
    ReflectionPad2d, ReflectionPad3d, ReplicationPad1d, ReplicationPad2d, ReplicationPad3d, ZeroPad1d, ZeroPad2d,
    ZeroPad3d,
)  # fmt: skip
from gradcore.nn.modules.pooling import (
    AvgPool1d, AvgPool2d, AvgPool3d, LPPool1d, LPPool2d, LPPool3d, MaxPool1d, MaxPool2d, MaxPool3d,
)  # fmt: skip
from gradcore.nn.modules.sparse import Embedding
from gradcore.nn.parameter import Buffer, Parameter
