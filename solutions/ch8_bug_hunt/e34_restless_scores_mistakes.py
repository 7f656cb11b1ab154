"""Repairs of e34 that hide the bug or break something else, each with what a teacher would say; and right variants."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import nn

from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

BREAKS = "test_an_evaluation_is_only_a_look"
NOT_ALLOWED = ("attn_lab.training.evaluation.evaluate", "attn_lab.training.loop.train_epoch")
N_PROBES = 12


class Base:
    """A right trainer; what is wrong with one overrides a method."""

    def __init__(self, model, optimizer, window):
        self.model, self.optimizer, self.window = model, optimizer, window

    def pairs(self, rows):
        return list(zip(rows[:, :-1].split(self.window, dim=1), rows[:, 1:].split(self.window, dim=1)))

    def loss(self, inputs, targets):
        return F.cross_entropy(self.model(inputs).flatten(0, 1), targets.flatten())

    def step(self, loss):
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def learn(self, rows):
        """A step for each window, in whatever mode the model is."""
        total = 0.0
        for inputs, targets in self.pairs(rows):
            loss = self.loss(inputs, targets)
            self.step(loss)
            total += loss.item() * targets.numel()
        return total / rows[:, 1:].numel()

    @torch.no_grad()
    def look(self, rows):
        """The loss, in whatever mode the model is."""
        return sum(self.loss(*pair).item() * pair[1].numel() for pair in self.pairs(rows)) / rows[:, 1:].numel()

    def train(self, rows):
        self.model.train()
        return self.learn(rows)

    def evaluate(self, rows):
        self.model.eval()
        loss = self.look(rows)
        self.model.train()
        return loss


class LeftInEval(Base):
    def __init__(self, model, optimizer, window):
        super().__init__(model, optimizer, window)
        model.train()

    def train(self, rows):
        return self.learn(rows)

    def evaluate(self, rows):
        self.model.eval()
        return self.look(rows)


class BackInEvalMode(Base):
    def evaluate(self, rows):
        self.model.eval()
        return self.look(rows)


class NoStepAtAll(Base):
    def train(self, rows):
        self.model.train()
        return self.look(rows)


class ChanceFixed(Base):
    def evaluate(self, rows):
        torch.manual_seed(0)
        return self.learn(rows)


class ChanceFixedInEval(Base):
    def evaluate(self, rows):
        torch.manual_seed(0)
        return super().evaluate(rows)


class WeightsPutBack(Base):
    def evaluate(self, rows):
        weights, steps = deepcopy(self.model.state_dict()), deepcopy(self.optimizer.state_dict())
        loss = self.learn(rows)
        self.model.load_state_dict(weights)
        self.optimizer.load_state_dict(steps)
        return loss


class NoStepButDropout(Base):
    def evaluate(self, rows):
        return self.look(rows)


class DropoutOffButSteps(Base):
    def evaluate(self, rows):
        self.model.eval()
        loss = self.learn(rows)
        self.model.train()
        return loss


class RateOfZero(Base):
    def evaluate(self, rows):
        rates = [group["lr"] for group in self.optimizer.param_groups]
        for group in self.optimizer.param_groups:
            group["lr"] = 0.0
        loss = self.learn(rows)
        for group, rate in zip(self.optimizer.param_groups, rates):
            group["lr"] = rate
        return loss


class DropoutOffForGood(Base):
    def evaluate(self, rows):
        for part in self.model.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        return super().evaluate(rows)


class FirstWindowOnly(Base):
    def evaluate(self, rows):
        return super().evaluate(rows[:, : self.window + 1])


class MeanOfWindows(Base):
    def evaluate(self, rows):
        self.model.eval()
        with torch.no_grad():
            losses = [self.loss(*pair).item() for pair in self.pairs(rows)]
        self.model.train()
        return sum(losses) / len(losses)


class GradientsOn(Base):
    def evaluate(self, rows):
        self.model.eval()
        total = sum(self.loss(*pair) * pair[1].numel() for pair in self.pairs(rows))
        self.model.train()
        return total.item() / rows[:, 1:].numel()


class AskedOnce(Base):
    """Evaluates once, and remembers the number."""

    kept = None

    def evaluate(self, rows):
        if self.kept is None:
            self.kept = self.learn(rows)
        return self.kept


MISTAKES = (
    Mistake(
        "leaves the model in eval mode",
        "The mode must be put back after the evaluation is done: else training has no dropout and no steps.",
        caught_by="test_training_goes_on_after_an_evaluation",
        Trainer=BackInEvalMode,
    ),
    Mistake(
        "switches to training mode once and for all, when it is made, and leaves the model in eval mode",
        "Each epoch of training wants training mode, and each evaluation eval mode: the one who needs it switches.",
        caught_by="test_training_goes_on_after_an_evaluation",
        Trainer=LeftInEval,
    ),
    Mistake(
        "takes no step in training either",
        "Training was right: it is the evaluation that must not take steps.",
        caught_by="test_it_trains",
        Trainer=NoStepAtAll,
    ),
    Mistake(
        "fixes the chance before each evaluation, and goes on to learn and drop in it",
        "A number that holds still may still be wrong: in which mode does each window meet the model?",
        caught_by=BREAKS,
        Trainer=ChanceFixed,
    ),
    Mistake(
        "fixes the chance before each evaluation",
        "An evaluation needs no chance; seeding in the midst of training makes every epoch drop the same places.",
        caught_by="test_training_goes_on_after_an_evaluation",
        Trainer=ChanceFixedInEval,
    ),
    Mistake(
        "learns from the text that it judges, and puts the old weights back afterwards",
        "The number is still that of a model that read half of the answers: an evaluation takes no step.",
        caught_by=BREAKS,
        Trainer=WeightsPutBack,
    ),
    Mistake(
        "takes no step in an evaluation, and leaves dropout on",
        "The model must be in eval mode while it is run, not only while the evaluation is called.",
        caught_by=BREAKS,
        Trainer=NoStepButDropout,
    ),
    Mistake(
        "switches dropout off in an evaluation, and still takes steps",
        "The weights must not change: a text that is learned from says nothing about texts that are not.",
        caught_by=BREAKS,
        Trainer=DropoutOffButSteps,
    ),
    Mistake(
        "takes the steps of an evaluation at a learning rate of 0",
        "A step of length 0 still has dropout on, and momentum that builds up: run the model in eval mode instead.",
        caught_by=BREAKS,
        Trainer=RateOfZero,
    ),
    Mistake(
        "switches dropout off for good",
        "Training needs its dropout after the evaluation as well: model.eval() and model.train() switch it.",
        caught_by="test_training_goes_on_after_an_evaluation",
        Trainer=DropoutOffForGood,
    ),
    Mistake(
        "evaluates the first window only",
        "Every token of the text counts once: go through all windows.",
        caught_by="test_an_evaluation_is_the_mean_over_all_tokens",
        Trainer=FirstWindowOnly,
    ),
    Mistake(
        "averages the means of the windows in an evaluation",
        "The last window may be short, and its mean must count for less: the sum over tokens, divided by their number.",
        caught_by="test_an_evaluation_is_the_mean_over_all_tokens",
        Trainer=MeanOfWindows,
    ),
    Mistake(
        "keeps gradients in an evaluation",
        "An evaluation needs none, and keeping them fills the memory: torch.no_grad(), or set_grad_enabled(False).",
        caught_by=BREAKS,
        Trainer=GradientsOn,
    ),
    Mistake(
        "remembers the first validation loss and gives it again",
        "The model changes from epoch to epoch, and its validation loss with it: it must be measured each time.",
        caught_by=BREAKS,
        Trainer=AskedOnce,
    ),
)


class Listed(Base):
    def evaluate(self, rows):
        self.model.eval()
        with torch.inference_mode():
            losses = [(self.loss(*pair), pair[1].numel()) for pair in self.pairs(rows)]
        self.model.train()
        return sum(loss.item() * n for loss, n in losses) / sum(n for _, n in losses)


class InTheEnd(Base):
    """The mode is put back whatever happens."""

    def evaluate(self, rows):
        self.model.eval()
        try:
            return self.look(rows)
        finally:
            self.model.train()


class AsItWas(Base):
    """The mode put back is the one before."""

    def evaluate(self, rows):
        before = self.model.training
        self.model.eval()
        loss = self.look(rows)
        self.model.train(before)
        return loss


class SwitchedByTheGenerator(Base):
    """The mode is set where it is needed: within the generator, at its first line."""

    def losses(self, rows, learn):
        self.model.train(learn)
        for inputs, targets in self.pairs(rows):
            with torch.set_grad_enabled(learn):
                loss = self.loss(inputs, targets)
            if learn:
                self.step(loss)
            yield loss.item() * targets.numel()
        self.model.train()

    def train(self, rows):
        return sum(self.losses(rows, True)) / rows[:, 1:].numel()

    def evaluate(self, rows):
        return sum(self.losses(rows, False)) / rows[:, 1:].numel()


VARIANTS = (
    Variant("a list in place of the generator", Trainer=Listed),
    Variant("the mode put back in a finally", Trainer=InTheEnd),
    Variant("the mode put back that was there before", Trainer=AsItWas),
    Variant("the mode set within the generator", Trainer=SwitchedByTheGenerator),
)


class Reader(nn.Module):
    """A small model that keeps how it was run."""

    def __init__(self, seed):
        super().__init__()
        self.embedding, self.dropout, self.decoder = nn.Embedding(6, 4), nn.Dropout(0.5), nn.Linear(4, 6)
        self.runs = []
        fill_parameters(self.double(), seed)

    def forward(self, ids):
        self.runs.append((self.training, torch.is_grad_enabled(), tuple(ids.shape)))
        return self.decoder(self.dropout(self.embedding(ids).cumsum(dim=1)))


def observe(answer, seed):
    """Training and evaluations in several orders, in windows that fit and that do not; how the model ran counts too."""
    b, length, window = ((2, 8, 3), (3, 4, 3), (1, 7, 4), (2, 6, 100), (2, 4, 1))[seed % 5]
    order = ("e", "tete", "eet", "ttee")[seed % 4]
    draw = torch.Generator().manual_seed(seed)
    rows, valid = (torch.randint(6, (b, length), generator=draw) for _ in range(2))
    model = Reader(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.5)

    def used(rows, valid):
        trainer = answer.Trainer(model, optimizer, window)
        seen = []
        for letter in order:
            seen += [trainer.train(rows) if letter == "t" else trainer.evaluate(valid), model.training]
        return {
            "seen": seen,
            "runs": model.runs,
            "weights": [weight.detach() for weight in model.parameters()],
            "momentum": [state["momentum_buffer"] for state in optimizer.state_dict()["state"].values()],
            "gradients": torch.is_grad_enabled(),
            "chance": torch.rand(3),
        }

    torch.manual_seed(seed)
    with torch.enable_grad(), FixedDropout():
        return behaviour(used, rows, valid)
