"""Wrong answers to e20 that have been seen, each with what it does and what a teacher would say; and right variants."""

import math
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = ("attn_lab.training.evaluation.evaluate",)


def pairs(batched, window):
    return list(zip(batched[:, :-1].split(window, dim=1), batched[:, 1:].split(window, dim=1)))


def nats(model, inputs, targets, reduction="sum"):
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), reduction=reduction)


@contextmanager
def resting(model):
    """In eval mode, without gradients, and put back."""
    was = model.training
    model.eval()
    with torch.no_grad():
        yield
    model.train(was)


def total(model, batched, window):
    with resting(model):
        return sum(nats(model, *pair).item() for pair in pairs(batched, window))


def n_targets(batched):
    return batched.shape[0] * (batched.shape[1] - 1)


def mean_of_window_means(model, batched, window):
    with resting(model):
        means = [nats(model, *pair, "mean").item() for pair in pairs(batched, window)]
    return math.exp(sum(means) / len(means))


def mean_of_perplexities(model, batched, window):
    with resting(model):
        each = [math.exp(nats(model, *pair, "mean").item()) for pair in pairs(batched, window)]
    return sum(each) / len(each)


def weighted_mean_of_perplexities(model, batched, window):
    with resting(model):
        each = [(math.exp(nats(model, *p, "mean").item()), p[1].shape[1]) for p in pairs(batched, window)]
    return sum(x * n for x, n in each) / sum(n for _, n in each)


def base_2(model, batched, window):
    return 2 ** (total(model, batched, window) / n_targets(batched))


def loss_returned(model, batched, window):
    return total(model, batched, window) / n_targets(batched)


def per_position_of_a_row(model, batched, window):
    return math.exp(total(model, batched, window) / (batched.shape[1] - 1))


def per_token_of_the_text(model, batched, window):
    return math.exp(total(model, batched, window) / batched.numel())


def per_full_windows(model, batched, window):
    size = batched.shape[0] * min(window, batched.shape[1] - 1)
    return math.exp(total(model, batched, window) / (size * len(pairs(batched, window))))


def last_window_lost(model, batched, window):
    whole = [p for p in pairs(batched, window) if p[0].shape[1] == window] or pairs(batched, window)
    with resting(model):
        return math.exp(sum(nats(model, *p).item() for p in whole) / sum(p[1].numel() for p in whole))


def window_ignored(model, batched, window):
    return math.exp(total(model, batched, batched.shape[1]) / n_targets(batched))


def last_position_only(model, batched, window):
    found = pairs(batched, window)
    with resting(model):
        each = [F.cross_entropy(model(x)[:, -1], y[:, -1]).item() for x, y in found]
    return math.exp(sum(each) / len(each))


def inputs_as_targets(model, batched, window):
    with resting(model):
        summed = sum(nats(model, x, x).item() for x, _ in pairs(batched, window))
    return math.exp(summed / n_targets(batched))


def softmax_twice(model, batched, window):
    with resting(model):
        summed = sum(
            F.cross_entropy(model(x).softmax(-1).flatten(0, 1), y.flatten(), reduction="sum").item()
            for x, y in pairs(batched, window)
        )
    return math.exp(summed / n_targets(batched))


def in_training_mode(model, batched, window):
    with torch.no_grad():
        summed = sum(nats(model, *pair).item() for pair in pairs(batched, window))
    return math.exp(summed / n_targets(batched))


def mode_not_put_back(model, batched, window):
    model.eval()
    return math.exp(total(model, batched, window) / n_targets(batched))


def always_back_to_training(model, batched, window):
    result = math.exp(total(model, batched, window) / n_targets(batched))
    model.train()
    return result


def gradients_kept(model, batched, window):
    was = model.training
    model.eval()
    summed = sum(nats(model, *pair) for pair in pairs(batched, window))
    model.train(was)
    return math.exp(summed.item() / n_targets(batched))


def root_of_the_loss(model, batched, window):
    return math.sqrt(total(model, batched, window) / n_targets(batched))


def mean_of_powers(model, batched, window):
    with resting(model):
        return sum(nats(model, *p, "none").exp().sum().item() for p in pairs(batched, window)) / n_targets(batched)


MISTAKES = (
    Mistake(
        "averages the means of the windows",
        "A short last window would count as much as a full one: add up the losses of all tokens, and divide once.",
        caught_by="test_every_token_counts_once_and_equally",
        perplexity=mean_of_window_means,
    ),
    Mistake(
        "averages the perplexities of the windows",
        "First the mean of the losses, then exp, once: the mean of powers is not the power of the mean.",
        caught_by="test_every_token_counts_once_and_equally",
        perplexity=mean_of_perplexities,
    ),
    Mistake(
        "averages the perplexities of the windows, by their lengths",
        "The weights are right, and the order is not: first the mean of the losses, then exp, once.",
        caught_by="test_every_token_counts_once_and_equally",
        perplexity=weighted_mean_of_perplexities,
    ),
    Mistake(
        "averages exp(loss) over the targets",
        "First the mean of the losses, then exp, once: of powers the one word that was least expected is nearly all.",
        caught_by="test_every_token_counts_once_and_equally",
        perplexity=mean_of_powers,
    ),
    Mistake(
        "raises 2 to the loss",
        "PyTorch's losses are in nats, with the natural logarithm: the way back is exp. 2 belongs to bits.",
        caught_by="test_whoever_knows_nothing_hesitates_between_all_words",
        perplexity=base_2,
    ),
    Mistake(
        "returns the loss",
        "Perplexity is exp of the loss.",
        caught_by="test_whoever_knows_nothing_hesitates_between_all_words",
        perplexity=loss_returned,
    ),
    Mistake(
        "takes the root of the loss",
        "The root belongs to a squared error. Perplexity is exp of the loss.",
        caught_by="test_whoever_knows_nothing_hesitates_between_all_words",
        perplexity=root_of_the_loss,
    ),
    Mistake(
        "divides by the targets of one row, not of all rows",
        "The sum is over all rows, so the number is too: targets.numel(), added up.",
        caught_by="test_whoever_knows_nothing_hesitates_between_all_words",
        perplexity=per_position_of_a_row,
    ),
    Mistake(
        "divides by the tokens of the text, not by the targets",
        "The first token of a row is nobody's target: count the targets that you summed over.",
        caught_by="test_whoever_knows_nothing_hesitates_between_all_words",
        perplexity=per_token_of_the_text,
    ),
    Mistake(
        "counts the last window as if it were full",
        "Count the targets that there are, targets.numel(): the last window may have fewer than the others.",
        caught_by="test_whoever_knows_nothing_hesitates_between_all_words",
        perplexity=per_full_windows,
    ),
    Mistake(
        "leaves out the short last window",
        "Its tokens are text as well: with another window, another text would be judged.",
        caught_by="test_every_token_counts_once_and_equally",
        perplexity=last_window_lost,
    ),
    Mistake(
        "lets the model read the whole text at once",
        "The model sees `window` tokens at a time, as it did in training: go through the windows one by one.",
        caught_by="test_each_window_begins_anew",
        perplexity=window_ignored,
    ),
    Mistake(
        "judges the last position of each window only",
        "Every position predicts its successor: flatten (b n v) to (b n) v, and the targets alike.",
        caught_by="test_every_token_counts_once_and_equally",
        perplexity=last_position_only,
    ),
    Mistake(
        "compares with the inputs, not with the targets",
        "windows yields the targets too, shifted by one: it is them that the model is to predict.",
        caught_by="test_every_token_counts_once_and_equally",
        perplexity=inputs_as_targets,
    ),
    Mistake(
        "takes the softmax before the loss, which takes it again",
        "cross_entropy wants logits: it takes the log-softmax itself.",
        caught_by="test_every_token_counts_once_and_equally",
        perplexity=softmax_twice,
    ),
    Mistake(
        "does not switch to eval mode",
        "model.eval() before the first window: dropout is for training, and makes a model look worse than it is.",
        caught_by="test_runs_in_eval_mode_and_puts_the_mode_back",
        perplexity=in_training_mode,
    ),
    Mistake(
        "leaves the model in eval mode",
        "Remember model.training, and put it back with model.train(was_training): else the next epoch has no dropout.",
        caught_by="test_runs_in_eval_mode_and_puts_the_mode_back",
        perplexity=mode_not_put_back,
    ),
    Mistake(
        "puts the model into training mode afterwards, whatever it was in before",
        "Put back what was there: model.train(was_training).",
        caught_by="test_runs_in_eval_mode_and_puts_the_mode_back",
        perplexity=always_back_to_training,
    ),
    Mistake(
        "keeps gradients that nobody asks for",
        "Evaluate under torch.no_grad(): otherwise the graphs of all windows may pile up in memory.",
        caught_by="test_no_gradients_are_kept",
        perplexity=gradients_kept,
    ),
)


def weighted_means(model, batched, window):
    was = model.training
    model.eval()
    with torch.inference_mode():
        parts = [(nats(model, *p, "mean"), p[1].numel()) for p in pairs(batched, window)]
    model.train(was)
    return math.exp(sum(x.item() * n for x, n in parts) / sum(n for _, n in parts))


def by_log_softmax(model, batched, window):
    with resting(model):
        log_p = torch.cat(
            [model(x).log_softmax(-1).gather(-1, y[..., None])[..., 0] for x, y in pairs(batched, window)], dim=1
        )
    return log_p.mean().neg().exp().item()


def by_losses_of_tokens(model, batched, window):
    with resting(model):
        losses = [loss for p in pairs(batched, window) for loss in nats(model, *p, "none").tolist()]
    return math.exp(math.fsum(losses) / len(losses))


VARIANTS = (
    Variant("means weighted by the windows' sizes, in inference mode", perplexity=weighted_means),
    Variant("log-probabilities side by side, and one mean", perplexity=by_log_softmax),
    Variant("a list of all tokens' losses", perplexity=by_losses_of_tokens),
)


class Reader(nn.Module):
    """A small model with a context, and with dropout that is no chance; it keeps how it was run."""

    def __init__(self, seed):
        super().__init__()
        self.embedding, self.decoder = nn.Embedding(6, 4), nn.Linear(4, 6)
        self.training_seen, self.gradients_seen = set(), set()
        fill_parameters(self.double(), seed)

    def forward(self, ids):
        self.training_seen.add(self.training)
        self.gradients_seen.add(torch.is_grad_enabled() and not torch.is_inference_mode_enabled())
        x = self.embedding(ids).cumsum(dim=1) * 2
        return self.decoder(x * torch.tensor([2.0, 0.0, 2.0, 0.0]) if self.training else x)


def observe(answer, seed):
    """Windows that fit and windows that do not, one row or more, in either mode; how the model was run counts too."""
    model = Reader(seed).train(seed % 2 == 0)
    b, length, window = ((2, 8, 3), (3, 4, 3), (1, 7, 4), (4, 6, 100), (2, 5, 1))[seed % 5]
    batched = torch.randint(6, (b, length), generator=torch.Generator().manual_seed(seed))

    def judged(rows):
        return {
            "perplexity": answer.perplexity(model, rows, window),
            "mode afterwards": model.training,
            "modes": sorted(model.training_seen),
            "gradients": sorted(model.gradients_seen),
            "gradients afterwards": torch.is_grad_enabled(),
            "left behind": [(weight.grad is None, weight.requires_grad) for weight in model.parameters()],
        }

    with torch.enable_grad():  # and back to what it was, whatever the answer does
        return behaviour(judged, batched)
