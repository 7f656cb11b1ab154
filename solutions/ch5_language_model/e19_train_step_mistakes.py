"""Wrong answers to e19 that have been seen, each with what it does and what a teacher would say; and right variants."""

import torch
import torch.nn.functional as F
from torch import nn

from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = ("attn_lab.training.loop.train_epoch",)


def loss_of(logits, targets, reduction="mean"):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)


def finish(model, loss, optimizer, clip):
    """The rest of a right step, from its loss."""
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return loss.detach()


def begin(model, optimizer):
    model.train()
    optimizer.zero_grad()


def accumulates(model, inputs, targets, optimizer, clip):
    model.train()
    return finish(model, loss_of(model(inputs), targets), optimizer, clip)


def clears_at_the_end(model, inputs, targets, optimizer, clip):
    model.train()
    loss = finish(model, loss_of(model(inputs), targets), optimizer, clip)
    optimizer.zero_grad()
    return loss


def clears_after_backward(model, inputs, targets, optimizer, clip):
    model.train()
    loss = loss_of(model(inputs), targets)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.zero_grad()
    optimizer.step()
    return loss.detach()


def mode_left(model, inputs, targets, optimizer, clip):
    optimizer.zero_grad()
    return finish(model, loss_of(model(inputs), targets), optimizer, clip)


def in_eval_mode(model, inputs, targets, optimizer, clip):
    model.eval()
    optimizer.zero_grad()
    return finish(model, loss_of(model(inputs), targets), optimizer, clip)


def not_clipped(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    loss = loss_of(model(inputs), targets)
    loss.backward()
    optimizer.step()
    return loss.detach()


def clipped_after_the_step(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    loss = loss_of(model(inputs), targets)
    loss.backward()
    optimizer.step()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    return loss.detach()


def clipped_by_value(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    loss = loss_of(model(inputs), targets)
    loss.backward()
    nn.utils.clip_grad_value_(model.parameters(), clip)
    optimizer.step()
    return loss.detach()


def clipped_one_by_one(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    loss = loss_of(model(inputs), targets)
    loss.backward()
    for weight in model.parameters():
        nn.utils.clip_grad_norm_(weight, clip)
    optimizer.step()
    return loss.detach()


def always_scaled_to_clip(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    loss = loss_of(model(inputs), targets)
    loss.backward()
    norm = torch.stack([weight.grad.norm() for weight in model.parameters()]).norm()
    for weight in model.parameters():
        weight.grad.mul_(clip / norm)
    optimizer.step()
    return loss.detach()


def weights_clipped(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    loss = loss_of(model(inputs), targets)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for weight in model.parameters():
            weight.clamp_(-clip, clip)
    return loss.detach()


def step_before_backward(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    loss = loss_of(model(inputs), targets)
    optimizer.step()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    return loss.detach()


def no_step(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    loss = loss_of(model(inputs), targets)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    return loss.detach()


def by_hand(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    loss = loss_of(model(inputs), targets)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    with torch.no_grad():
        for weight in model.parameters():
            weight -= optimizer.param_groups[0]["lr"] * weight.grad
    return loss.detach()


def attached(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    loss = loss_of(model(inputs), targets)
    finish(model, loss, optimizer, clip)
    return loss


def loss_of_the_new_weights(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    finish(model, loss_of(model(inputs), targets), optimizer, clip)
    return loss_of(model(inputs), targets).detach()


def summed(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    return finish(model, loss_of(model(inputs), targets, "sum"), optimizer, clip)


def summed_over_positions(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    return finish(model, loss_of(model(inputs), targets, "sum") / len(inputs), optimizer, clip)


def last_position_only(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    return finish(model, F.cross_entropy(model(inputs)[:, -1], targets[:, -1]), optimizer, clip)


def softmax_twice(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    return finish(model, loss_of(model(inputs).softmax(-1), targets), optimizer, clip)


def targets_in_another_order(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    return finish(model, loss_of(model(inputs), targets.t()), optimizer, clip)


def inputs_as_targets(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    return finish(model, loss_of(model(inputs), inputs), optimizer, clip)


MISTAKES = (
    Mistake(
        "lets the gradients of all steps add up",
        "backward() adds to what is there: call optimizer.zero_grad() in every step.",
        caught_by="test_gradients_do_not_accumulate",
        train_step=accumulates,
    ),
    Mistake(
        "clears the gradients at the end of a step, and not at its beginning",
        "Clear them before backward(): then it does not matter what somebody left there before the first step.",
        caught_by="test_gradients_from_elsewhere_do_not_count",
        train_step=clears_at_the_end,
    ),
    Mistake(
        "clears the gradients between backward and the step",
        "The step needs the gradients: zero_grad() comes before backward().",
        caught_by="test_one_step_goes_down_the_gradient",
        train_step=clears_after_backward,
    ),
    Mistake(
        "leaves the model in the mode in which it finds it",
        "Call model.train() in the step: after an evaluation the model is in eval mode, and trains without dropout.",
        caught_by="test_the_model_is_in_training_mode",
        train_step=mode_left,
    ),
    Mistake(
        "trains in eval mode",
        "Training wants model.train(): dropout does nothing in eval mode.",
        caught_by="test_the_model_is_in_training_mode",
        train_step=in_eval_mode,
    ),
    Mistake(
        "does not clip the gradient, or does so before backward, when there is none yet",
        "Between backward() and step(): clip_grad_norm_(model.parameters(), clip).",
        caught_by="test_a_long_gradient_is_shortened",
        train_step=not_clipped,
    ),
    Mistake(
        "clips the gradient when the step is already taken",
        "Clip before optimizer.step(): afterwards it changes nothing but a gradient that nobody needs.",
        caught_by="test_a_long_gradient_is_shortened",
        train_step=clipped_after_the_step,
    ),
    Mistake(
        "clips each number of the gradient, not its norm",
        "clip is the norm of the whole gradient: cutting number by number turns its direction; use clip_grad_norm_.",
        caught_by="test_a_long_gradient_is_shortened",
        train_step=clipped_by_value,
    ),
    Mistake(
        "clips the norm of each parameter by itself",
        "The norm is that of all gradients together: hand model.parameters() to clip_grad_norm_ in one call.",
        caught_by="test_a_long_gradient_is_shortened",
        train_step=clipped_one_by_one,
    ),
    Mistake(
        "scales every gradient to the norm `clip`, the short ones too",
        "Clipping only shortens: the factor is min(1, clip / norm).",
        caught_by="test_one_step_goes_down_the_gradient",
        train_step=always_scaled_to_clip,
    ),
    Mistake(
        "clips the weights, not the gradient",
        "It is the gradient that must not be too long: the weights may be what they are.",
        caught_by="test_a_long_gradient_is_shortened",
        train_step=weights_clipped,
    ),
    Mistake(
        "takes the step before backward",
        "The step goes by the gradients, so it comes last: backward, clip, step.",
        caught_by="test_one_step_goes_down_the_gradient",
        train_step=step_before_backward,
    ),
    Mistake(
        "never takes a step",
        "backward() only computes gradients: optimizer.step() is what changes the weights.",
        caught_by="test_one_step_goes_down_the_gradient",
        train_step=no_step,
    ),
    Mistake(
        "takes the step without the optimizer that it was given",
        "Call optimizer.step(): it may be another than plain SGD, and it remembers the steps before.",
        caught_by="test_the_step_is_the_optimizer_s",
        train_step=by_hand,
    ),
    Mistake(
        "returns a loss that still hangs on its graph",
        "Return loss.detach(): a list of losses would keep every batch's graph in memory.",
        caught_by="test_the_loss_comes_back",
        train_step=attached,
    ),
    Mistake(
        "runs the model again and returns the loss after the step",
        "Return the loss that you took the gradient of: a second run costs as much as the first.",
        caught_by="test_the_model_is_in_training_mode",
        train_step=loss_of_the_new_weights,
    ),
    Mistake(
        "sums the loss over the tokens",
        "The mean, not the sum: else the step grows with the size of the batch.",
        caught_by="test_the_loss_comes_back",
        train_step=summed,
    ),
    Mistake(
        "sums the loss over the positions of a text",
        "Divide by the number of all tokens, b times n: the last window is shorter, and its step must not be.",
        caught_by="test_the_loss_comes_back",
        train_step=summed_over_positions,
    ),
    Mistake(
        "learns from the last position of each text only",
        "Every position is a prediction: flatten (b n v) to (b n) v, and the targets alike.",
        caught_by="test_the_loss_comes_back",
        train_step=last_position_only,
    ),
    Mistake(
        "takes the softmax before the loss, which takes it again",
        "cross_entropy wants logits: it takes the log-softmax itself.",
        caught_by="test_the_loss_comes_back",
        train_step=softmax_twice,
    ),
    Mistake(
        "flattens logits and targets in different orders",
        "Both in the order (b n): a transposed target belongs to another token, and no error says so.",
        caught_by="test_the_loss_comes_back",
        train_step=targets_in_another_order,
    ),
    Mistake(
        "compares with the inputs, not with the targets",
        "The loss is of the targets: a model that predicts its own input has learned to copy.",
        caught_by="test_the_loss_comes_back",
        train_step=inputs_as_targets,
    ),
)


def classes_second(model, inputs, targets, optimizer, clip):
    model.train()
    loss = F.cross_entropy(model(inputs).transpose(1, 2), targets)
    model.zero_grad()
    return finish(model, loss, optimizer, clip)


def clipping_by_hand(model, inputs, targets, optimizer, clip):
    begin(model, optimizer)
    log_p = model(inputs).log_softmax(-1).gather(-1, targets[..., None])
    loss = -log_p.mean()
    loss.backward()
    with torch.no_grad():
        norm = sum((weight.grad**2).sum() for weight in model.parameters()) ** 0.5
        if norm > clip:
            for weight in model.parameters():
                weight.grad *= clip / norm
    optimizer.step()
    return loss.detach()


def zeros_in_place(model, inputs, targets, optimizer, clip):
    optimizer.zero_grad(set_to_none=False)
    loss = loss_of(model.train()(inputs), targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=clip, norm_type=2.0)
    optimizer.step()
    return loss.data.clone()


VARIANTS = (
    Variant("the classes as second axis, and the model clears its gradients", train_step=classes_second),
    Variant("loss and clipping written out", train_step=clipping_by_hand),
    Variant("gradients set to zero, not to None", train_step=zeros_in_place),
)


class Bigram(nn.Module):
    """A small model with dropout that is no chance; it keeps the modes in which it ran."""

    def __init__(self, seed):
        super().__init__()
        self.embedding, self.decoder, self.modes = nn.Embedding(6, 4), nn.Linear(4, 6), []
        fill_parameters(self, seed)

    def forward(self, ids):
        self.modes.append(self.training)
        x = self.embedding(ids) * 2
        return self.decoder(x * torch.tensor([2.0, 0.0, 2.0, 0.0]) if self.training else x)


def observe(answer, seed):
    """Three steps in a row, in any mode, with a clip that is reached or not, with momentum or not, after strangers."""
    model = Bigram(seed).train(seed % 2 == 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=(0.0, 0.9)[seed % 3 == 2])
    counted, backwards = [], []
    optimizer.register_step_post_hook(lambda *_: counted.append(1))
    model.decoder.bias.register_hook(lambda gradient: backwards.append(gradient.clone()))
    b, n = ((2, 3), (3, 3), (1, 4), (4, 1))[seed % 4]
    source = torch.Generator().manual_seed(seed)
    inputs, targets = torch.randint(6, (3, b, n), generator=source), torch.randint(6, (3, b, n), generator=source)
    if seed % 5 == 4:
        for weight in model.parameters():
            weight.grad = torch.ones_like(weight)

    def steps():
        losses = [
            answer.train_step(model, x, y, optimizer, (0.1, 100.0)[seed % 7 < 2]) for x, y in zip(inputs, targets)
        ]
        return {
            "losses": [loss.detach() if isinstance(loss, torch.Tensor) else loss for loss in losses],
            "attached": [isinstance(loss, torch.Tensor) and loss.requires_grad for loss in losses],
            "weights": [weight.detach() for weight in model.parameters()],
            "gradients left": [
                weight.grad if weight.grad is None else weight.grad.clone() for weight in model.parameters()
            ],
            "modes": [*model.modes, model.training],
            "steps": len(counted),
            "backward passes": len(backwards),
        }

    return behaviour(steps)
