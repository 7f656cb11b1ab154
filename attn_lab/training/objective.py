"""What a run's steps minimise, made ready: compiled if asked, in its precision, over all processes."""

import warnings
from collections.abc import Callable

from accelerate import Accelerator
from torch import Tensor, nn

from attn_lab.training.compiled import compiled, graph_safe
from attn_lab.training.losses import loss_of


def training_loss(
    model: nn.Module, kind: str, accelerator: Accelerator, compile_it: bool
) -> Callable[[Tensor, Tensor], Tensor]:
    """The model's loss of that kind; its gradients are averaged over the processes.

    A compiled loss is the plain one: the compiler joins the softmax's passes itself, and the chunked one's hand-written
    gradient it cannot read before torch 2.5.

    Raises:
        ValueError: it is to be compiled, and this machine cannot.
    """
    if not compile_it:
        return _prepared(loss_of(model, kind), accelerator)
    return graph_safe(_prepared(compiled(loss_of(model, "plain"), accelerator.device), accelerator))


def _prepared(loss: nn.Module, accelerator: Accelerator) -> nn.Module:
    with warnings.catch_warnings():  # of an option that torch renames, under a name that accelerate does not know yet
        warnings.filterwarnings("ignore", message=r"`broadcast_buffers` is deprecated", category=FutureWarning)
        return accelerator.prepare_model(loss)
