"""Wrong answers to e11 that have been seen, each with what it does and what a teacher would say; and right variants."""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from attn_lab.checks import oracles
from attn_lab.checks.cases import PositionsCase
from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.checks.setting import EXACT
from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = ("attn_lab.PositionalEncoding", "attn_lab.positions.sinusoids")


class Positions(nn.Module):
    """A right answer, in steps that can go wrong one at a time."""

    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.keep(self.table(max_len, d_model).to(torch.get_default_dtype()))

    def keep(self, table):
        self.register_buffer("pe", table, persistent=False)

    def exponents(self, d_model):
        return torch.arange(0, d_model, 2, dtype=torch.float64) / d_model

    def angles(self, max_len, d_model):
        return torch.arange(max_len, dtype=torch.float64)[:, None] * 10000.0 ** -self.exponents(d_model)

    def table(self, max_len, d_model):
        angles = self.angles(max_len, d_model)
        return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :d_model]

    def rows(self, x):
        if x.shape[1] > len(self.pe):
            raise ValueError(f"at most {len(self.pe)} positions; got {x.shape[1]}")
        return self.pe[: x.shape[1]]

    def forward(self, x):
        return self.dropout(x + self.rows(x))


class AlongTheBatch(Positions):
    def rows(self, x):
        if x.shape[0] > len(self.pe):
            raise ValueError(f"at most {len(self.pe)} positions; got {x.shape[0]}")
        return self.pe[: x.shape[0], None]


class AlongTheBatchUnchecked(Positions):
    def rows(self, x):
        return self.pe[: x.shape[0], None]


class Halves(Positions):
    def table(self, max_len, d_model):
        angles = self.angles(max_len, d_model)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)[:, :d_model]


class SineAndCosineSwapped(Positions):
    def table(self, max_len, d_model):
        angles = self.angles(max_len, d_model)
        return torch.stack([angles.cos(), angles.sin()], dim=-1).flatten(1)[:, :d_model]


class Base1000(Positions):
    def angles(self, max_len, d_model):
        return torch.arange(max_len, dtype=torch.float64)[:, None] * 1000.0 ** -self.exponents(d_model)


class Multiplied(Positions):
    def angles(self, max_len, d_model):
        return torch.arange(max_len, dtype=torch.float64)[:, None] * 10000.0 ** self.exponents(d_model)


class FromOne(Positions):
    def angles(self, max_len, d_model):
        return torch.arange(1, max_len + 1, dtype=torch.float64)[:, None] * 10000.0 ** -self.exponents(d_model)


class ColumnByColumn(Positions):
    """The exponent of column i is `share` i / d, so that the two of a pair do not turn together."""

    share = 1.0

    def table(self, max_len, d_model):
        column = torch.arange(d_model, dtype=torch.float64)
        angles = torch.arange(max_len, dtype=torch.float64)[:, None] / 10000.0 ** (self.share * column / d_model)
        return torch.where(column % 2 == 0, angles.sin(), angles.cos())


class ColumnDoubled(ColumnByColumn):
    share = 2.0


class PairNotDoubled(Positions):
    def exponents(self, d_model):
        return super().exponents(d_model) / 2


class Float32(Positions):
    def angles(self, max_len, d_model):
        frequency = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        return torch.arange(max_len)[:, None] * frequency


class StaysFloat64(Positions):
    def keep(self, table):
        super().keep(table.double())

    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super().__init__(d_model, dropout, max_len)
        self.pe = self.table(max_len, d_model)


class AlwaysFloat32(Positions):
    def keep(self, table):
        super().keep(self.table(*table.shape).float())


class Parameter(Positions):
    def keep(self, table):
        self.pe = nn.Parameter(table)


class FrozenParameter(Positions):
    def keep(self, table):
        self.pe = nn.Parameter(table, requires_grad=False)


class Saved(Positions):
    def keep(self, table):
        self.register_buffer("pe", table)


class PlainAttribute(Positions):
    def keep(self, table):
        self.pe = table


class OddWidthCrashes(Positions):
    def table(self, max_len, d_model):
        table = torch.zeros(max_len, d_model, dtype=torch.float64)
        angles = self.angles(max_len, d_model)
        table[:, 0::2], table[:, 1::2] = angles.sin(), angles.cos()
        return table


class LengthUnchecked(Positions):
    def rows(self, x):
        return self.pe[: x.shape[1]]


class LastRowRefused(Positions):
    def rows(self, x):
        if x.shape[1] >= len(self.pe):
            raise ValueError(f"fewer than {len(self.pe)} positions; got {x.shape[1]}")
        return self.pe[: x.shape[1]]


class Scaled(Positions):
    def forward(self, x):
        return super().forward(x * math.sqrt(x.shape[-1]))


class Product(Positions):
    def forward(self, x):
        return self.dropout(x * self.rows(x))


class PositionsAlone(Positions):
    def forward(self, x):
        return self.dropout(self.rows(x).expand(x.shape))


class InPlace(Positions):
    def forward(self, x):
        x += self.rows(x)
        return self.dropout(x)


class Detached(Positions):
    def forward(self, x):
        return super().forward(x.detach())


class DropsPositions(Positions):
    def forward(self, x):
        return x + self.dropout(self.rows(x).expand(x.shape))


class DropsText(Positions):
    def forward(self, x):
        return self.dropout(x) + self.rows(x)


class NeverDrops(Positions):
    def forward(self, x):
        return x + self.rows(x)


class DropsInEval(Positions):
    def forward(self, x):
        return F.dropout(x + self.rows(x), self.dropout.p)


class RowBehindTheText(Positions):
    """pe[n], where pe[:n] was meant."""

    def rows(self, x):
        super().rows(x)
        return self.pe[x.shape[1]]


class AlongTheBatchOfTheRightLength(Positions):
    def rows(self, x):
        super().rows(x)
        return self.pe[: x.shape[0], None]


class FloorOfTheLogarithm(Positions):
    def angles(self, max_len, d_model):
        frequency = torch.exp(torch.arange(0, d_model, 2, dtype=torch.float64) * (-math.log(10000.0) / d_model // 2))
        return torch.arange(max_len, dtype=torch.float64)[:, None] * frequency


class BaseAndExponentSwapped(Positions):
    def angles(self, max_len, d_model):
        return torch.arange(max_len, dtype=torch.float64)[:, None] * self.exponents(d_model) ** 1e-4


MISTAKES = (
    Mistake(
        "adds the positions along the batch",
        "The batch is the first axis and the text the second: take as many rows of the table as x.shape[1] says.",
        caught_by="test_every_text_gets_the_same_positions",
        PositionalEncoding=AlongTheBatch,
    ),
    Mistake(
        "adds the positions along the batch, and looks at no length",
        "That is for texts along the first axis; here the text is the second: take x.shape[1] rows of the table, and "
        "refuse a text that is longer than it.",
        caught_by="test_every_text_gets_the_same_positions",
        PositionalEncoding=AlongTheBatchUnchecked,
    ),
    Mistake(
        "adds the positions along the batch, though it looks at the length of the text",
        "The batch is the first axis and the text the second: take as many rows of the table as x.shape[1] says.",
        caught_by="test_every_text_gets_the_same_positions",
        PositionalEncoding=AlongTheBatchOfTheRightLength,
    ),
    Mistake(
        "adds a single row of the table, the one behind the text, to every position",
        "pe[n] is one row, pe[:n] the first n of them: the colon is missing.",
        caught_by="test_equals_the_formula",
        PositionalEncoding=RowBehindTheText,
    ),
    Mistake(
        "puts all sines first and all cosines behind them",
        "A pair stands side by side, sine at 2k and cosine at 2k + 1: fill table[:, 0::2] and table[:, 1::2].",
        caught_by="test_a_shift_is_a_rotation",
        PositionalEncoding=Halves,
    ),
    Mistake(
        "takes the cosine at even features and the sine at odd ones",
        "Even features are sines: position 0 reads 0, 1, 0, 1, and so on.",
        caught_by="test_equals_the_formula",
        PositionalEncoding=SineAndCosineSwapped,
    ),
    Mistake(
        "has the base 1000",
        "The base is 10000, with four zeros: the slowest wave then takes about 63,000 positions for a turn.",
        caught_by="test_equals_the_formula",
        PositionalEncoding=Base1000,
    ),
    Mistake(
        "multiplies the position by 10000^(2k / d)",
        "Divide by it: later pairs turn more slowly, not faster.",
        caught_by="test_equals_the_formula",
        PositionalEncoding=Multiplied,
    ),
    Mistake(
        "counts positions from 1",
        "The first position is 0, the first row of the table: its sines are 0 and its cosines are 1.",
        caught_by="test_equals_the_formula",
        PositionalEncoding=FromOne,
    ),
    Mistake(
        "gives feature i the exponent i / d",
        "The two features of a pair share the exponent 2k / d, so that they are sine and cosine of one angle.",
        caught_by="test_a_shift_is_a_rotation",
        PositionalEncoding=ColumnByColumn,
    ),
    Mistake(
        "gives feature i the exponent 2i / d",
        "In 2k / d the k counts pairs, not features: it is 0 0 1 1 2 2, and 2k goes from 0 to d, not to 2d.",
        caught_by="test_a_shift_is_a_rotation",
        PositionalEncoding=ColumnDoubled,
    ),
    Mistake(
        "gives pair k the exponent k / d",
        "The exponent is 2k / d: over all pairs it goes from 0 to nearly 1.",
        caught_by="test_equals_the_formula",
        PositionalEncoding=PairNotDoubled,
    ),
    Mistake(
        "writes -log(10000) / d // 2, which is rounded down",
        "From left to right, (-log(10000) / d) // 2 is a whole number, -1 for most widths: leave the // 2 out.",
        caught_by="test_equals_the_formula",
        PositionalEncoding=FloorOfTheLogarithm,
    ),
    Mistake(
        "swaps base and exponent: it takes (2k / d) to a fixed power",
        "The base is fixed and the exponent counts the pairs: 10000 ** (-2k / d).",
        caught_by="test_equals_the_formula",
        PositionalEncoding=BaseAndExponentSwapped,
    ),
    Mistake(
        "computes the angles in float32",
        "An angle of thousands leaves float32 few digits behind the point: say dtype=torch.float64 in every arange, "
        "and convert the finished table.",
        caught_by="test_late_positions_are_as_exact_as_early_ones",
        PositionalEncoding=Float32,
    ),
    Mistake(
        "keeps the table in float64",
        "Compute in float64, but keep table.to(torch.get_default_dtype()): else every sum becomes float64.",
        caught_by="test_float32_stays_float32",
        PositionalEncoding=StaysFloat64,
    ),
    Mistake(
        "keeps the table in float32 whatever the default dtype is",
        "Keep table.to(torch.get_default_dtype()): who has set it to float64 wants all its digits.",
        caught_by="test_equals_the_formula",
        PositionalEncoding=AlwaysFloat32,
    ),
    Mistake(
        "makes the table a parameter",
        "A parameter is trained, and these positions are fixed: use register_buffer.",
        caught_by="test_the_table_is_not_trained",
        PositionalEncoding=Parameter,
    ),
    Mistake(
        "makes the table a parameter without a gradient",
        "What is never trained is a buffer: as a parameter it is counted, saved and handed to the optimiser.",
        caught_by="test_the_table_is_not_trained",
        PositionalEncoding=FrozenParameter,
    ),
    Mistake(
        "saves the table with the weights",
        "Register it with persistent=False: it can be computed again, and a saved one would fix max_len for ever.",
        caught_by="test_the_table_is_not_saved",
        PositionalEncoding=Saved,
    ),
    Mistake(
        "keeps the table as a plain attribute",
        "A plain attribute stays behind when the module moves to a GPU: use register_buffer.",
        caught_by="test_the_table_is_the_buffer_pe",
        PositionalEncoding=PlainAttribute,
    ),
    Mistake(
        "crashes where the width is odd",
        "An odd width has a sine more than cosines: cut the cosines to the d_model // 2 columns left for them.",
        caught_by="test_the_shape_stays",
        PositionalEncoding=OddWidthCrashes,
    ),
    Mistake(
        "does not look at the length of the text",
        "Compare x.shape[1] with max_len and raise a ValueError that names both: a table of one row would broadcast.",
        caught_by="test_a_longer_text_is_refused",
        PositionalEncoding=LengthUnchecked,
    ),
    Mistake(
        "refuses a text of exactly max_len positions",
        "max_len is the longest text that is served: refuse more than max_len, not max_len itself.",
        caught_by="test_a_longer_text_is_refused",
        PositionalEncoding=LastRowRefused,
    ),
    Mistake(
        "multiplies x by √d first",
        "The factor √d belongs to the embedding, in the language model: here x is taken as it is.",
        caught_by="test_the_positions_are_added",
        PositionalEncoding=Scaled,
    ),
    Mistake(
        "multiplies x by the positions",
        "The positions are added: a product would wipe out x wherever a sine is 0.",
        caught_by="test_the_positions_are_added",
        PositionalEncoding=Product,
    ),
    Mistake(
        "returns the positions without x",
        "Return x + PE: the words must come along.",
        caught_by="test_the_positions_are_added",
        PositionalEncoding=PositionsAlone,
    ),
    Mistake(
        "changes x in place",
        "x is the caller's: write x + pe, which makes a new tensor, not x += pe.",
        caught_by="test_the_input_is_left_as_it_is",
        PositionalEncoding=InPlace,
    ),
    Mistake(
        "cuts the output off from x",
        "The embedding below learns through this sum: no detach() and no .data on x.",
        caught_by="test_equals_the_formula",
        PositionalEncoding=Detached,
    ),
    Mistake(
        "applies dropout to the positions alone",
        "Dropout acts on the sum: self.dropout(x + pe).",
        caught_by="test_dropout_acts_on_the_sum",
        PositionalEncoding=DropsPositions,
    ),
    Mistake(
        "applies dropout to x alone",
        "Dropout acts on the sum: self.dropout(x + pe).",
        caught_by="test_dropout_acts_on_the_sum",
        PositionalEncoding=DropsText,
    ),
    Mistake(
        "never drops",
        "Return self.dropout(x + pe): the dropout is made in __init__, but somebody has to call it.",
        caught_by="test_dropout_acts_on_the_sum",
        PositionalEncoding=NeverDrops,
    ),
    Mistake(
        "drops in evaluation too",
        "Call self.dropout, which knows whether it is in training; F.dropout(x, p) always drops.",
        caught_by="test_dropout_is_for_training",
        PositionalEncoding=DropsInEval,
    ),
)


class WithBatchAxis(Positions):
    """The table as (1 max_len d_model)."""

    def keep(self, table):
        super().keep(table[None])

    def rows(self, x):
        if x.shape[1] > self.pe.shape[1]:
            raise ValueError(f"at most {self.pe.shape[1]} positions; got {x.shape[1]}")
        return self.pe[:, : x.shape[1]]


class ByExponential(Positions):
    def table(self, max_len, d_model):
        frequency = torch.exp(torch.arange(0, d_model, 2, dtype=torch.float64) * (-math.log(10000.0) / d_model))
        angles = torch.outer(torch.arange(max_len, dtype=torch.float64), frequency)
        table = torch.empty(max_len, d_model, dtype=torch.float64)
        table[:, 0::2], table[:, 1::2] = angles.sin(), angles.cos()[:, : d_model // 2]
        return table


class CosineAsShiftedSine(Positions):
    def table(self, max_len, d_model):
        column = torch.arange(d_model, dtype=torch.float64)
        angles = torch.arange(max_len, dtype=torch.float64)[:, None] / 10000.0 ** (2 * (column // 2) / d_model)
        return torch.sin(angles + math.pi / 2 * (column % 2))


class ByPython(Positions):
    def table(self, max_len, d_model):
        speeds = [10000 ** (-2 * (i // 2) / d_model) for i in range(d_model)]
        waves = [math.cos if i % 2 else math.sin for i in range(d_model)]
        rows = [[wave(p * speed) for wave, speed in zip(waves, speeds)] for p in range(max_len)]
        return torch.tensor(rows, dtype=torch.float64)


VARIANTS = (
    Variant("the table with a batch axis", PositionalEncoding=WithBatchAxis),
    Variant("frequencies by exp and log, columns filled in turn", PositionalEncoding=ByExponential),
    Variant("the cosine as a sine, a quarter turn ahead", PositionalEncoding=CosineAsShiftedSine),
    Variant("number by number", PositionalEncoding=ByPython),
)


def observe(answer, seed):
    """Even and odd widths, b and n equal or not, tables too short and long, dropout in its modes, late positions."""
    torch.default_generator.manual_seed(seed)  # for an answer that draws for itself
    if seed == 23:  # the last, since it costs the most
        return late_positions(answer) | {"in float64": state_in_float64(answer)}
    b, n, d_model = ((2, 3, 6), (3, 3, 5), (1, 5, 8), (4, 2, 7), (2, 1, 1))[seed % 5]
    case = PositionsCase(b, n, d_model, spare=(0, 3, -1, 1, 0, 0)[seed % 6], seed=seed)
    max_len = 1 if seed % 7 == 6 else max(1, n + case.spare)
    # In float32, the default, where an answer's own way of rounding does not count.
    module = answer.PositionalEncoding(d_model, (0.0, 0.5, 0.5)[seed % 3], max_len).train(seed % 4 < 2)
    with FixedDropout():
        return {"forward": behaviour(module, case.tensor().float())} | state(module)


@cache
def truth():
    return oracles.sinusoids(5000, 32)[4990:]


def late_positions(answer):
    """Whether they are right, off as float32 would have them, or something else."""
    late = answer.PositionalEncoding(32, 0.0, 5000)(torch.zeros(1, 5000, 32)).detach()[0, 4990:]
    off = float((late - truth()).abs().max())
    return {"late positions": "right" if off < 1e-6 else "nearly right" if off < 1e-2 else late}


def state_in_float64(answer):
    """As it is made where float64 is the default dtype, before anything converts it."""
    noted = []

    def make():
        module = answer.PositionalEncoding(6, 0.0, 7)
        noted.append(state(module))
        return module

    EXACT.build(make)
    return noted[0]


def state(module):
    """What is trained, what is saved, what moves along."""
    return {
        "parameters": [(name, weight.requires_grad) for name, weight in module.named_parameters()],
        "buffers": [(name, str(buffer.dtype)) for name, buffer in module.named_buffers()],
        "saved": list(module.state_dict()),
    }
