"""What makes the mutants: cosmic-ray's operators, less those that make only noise, and three of our own."""

import re
from collections.abc import Iterator
from itertools import pairwise, permutations
from typing import Any

import cosmic_ray.plugins
import parso
from cosmic_ray.operators.operator import Example, Operator

ARITHMETIC = ("Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow")
SETS = ("BitAnd", "BitOr", "BitXor")
ORDER = ("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE")
IDENTITY = ("Is", "IsNot")

# Not among them, since what they make dies of a TypeError in whatever test comes first, and would only lift the score:
# a set's operator for one of arithmetic, and the other way round; shifts; `is` for `==`; `~`, `+` or `not` for a minus.
# VariableReplacer and VariableInserter draw random numbers, so that no two runs would agree.
CORE = (
    *(f"ReplaceBinaryOperator_{a}_{b}" for kind in (ARITHMETIC, SETS) for a, b in permutations(kind, 2)),
    *(f"ReplaceComparisonOperator_{a}_{b}" for kind in (ORDER, IDENTITY) for a, b in permutations(kind, 2)),
    *(f"ReplaceUnaryOperator_Delete_{a}" for a in ("USub", "Invert", "Not")),
    "NumberReplacer",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "AddNot",
    "ZeroIterationForLoop",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ExceptionReplacer",
    "RemoveDecorator",
)


class DeleteStatement(Operator):
    """A line that is forgotten: an assignment or a call becomes `pass`. cosmic-ray has no such operator."""

    KINDS = ("expr_stmt", "atom_expr", "power", "await")

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Every simple statement that is an assignment or a call."""
        if node.type == "simple_stmt" and node.children[0].type in self.KINDS and not self._is_annotation(node):
            yield node.start_pos, node.end_pos

    @staticmethod
    def _is_annotation(node: Any) -> bool:
        """Such as `table: Tensor`, which does nothing when the program runs."""
        last = node.children[0].children[-1]
        return last.type == "annassign" and len(last.children) == 2

    def mutate(self, node: Any, index: int) -> Any:
        """`pass` in its place, with the comments before it."""
        node.children[0] = parso.parse(f"{node.get_first_leaf().prefix}pass")
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """As cosmic-ray asks for them."""
        return (Example("f(x)\n", "pass\n"), Example("x = 1\n", "pass\n"))


class DeleteKeywordArgument(Operator):
    """An option that is forgotten: `f(x, dim=1)` becomes `f(x, )`. cosmic-ray has no such operator either."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Every `name=value` of a call."""
        for child in self._options(node):
            yield child.start_pos, child.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Without it, and without the comma behind it."""
        place = node.children.index(self._options(node)[index])
        behind = node.children[place + 1 : place + 2]
        has_comma = bool(behind) and getattr(behind[0], "value", "") == ","
        del node.children[place : place + 1 + has_comma]
        return node

    @staticmethod
    def _options(node: Any) -> list[Any]:
        if node.type not in ("arglist", "trailer"):
            return []
        return [c for c in node.children if c.type == "argument" and getattr(c.children[1], "value", "") == "="]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """As cosmic-ray asks for them."""
        return (
            Example("f(x, y=1)", "f(x,)"),
            Example("f(y=1)", "f()"),
            Example("f(x, y=1, z=2)", "f(x, z=2)"),
            Example("f(x, y=1, z=2)", "f(x, y=1,)", occurrence=1),
        )


class SwapAxes(Operator):
    """Axes that are mixed up: two neighbours in what an einops pattern makes, "b i (h d)" becomes "b i (d h)"."""

    AXIS = re.compile(r"[a-z]\w*")

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Every pair of neighbours behind an arrow."""
        for _ in self._pairs(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """With that pair the other way round."""
        first, second = self._pairs(node)[index]
        text = node.value
        between = text[first.end() : second.start()]
        node.value = text[: first.start()] + second[0] + between + first[0] + text[second.end() :]
        return node

    def _pairs(self, node: Any) -> list[tuple[re.Match[str], re.Match[str]]]:
        is_docstring = node.type == "string" and node.parent is not None and node.parent.type == "simple_stmt"
        if node.type != "string" or is_docstring or " -> " not in node.value:
            return []
        axes = list(self.AXIS.finditer(node.value, node.value.index(" -> ")))
        return list(pairwise(axes))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """As cosmic-ray asks for them."""
        return (Example("'b i -> b i'", "'b i -> i b'"),)


def operators() -> dict[str, Operator]:
    """All that are used, by their names."""
    core = {name: cosmic_ray.plugins.get_operator(f"core/{name}")() for name in CORE}
    return core | {operator.__name__: operator() for operator in (DeleteStatement, DeleteKeywordArgument, SwapAxes)}
