"""Equations: `$…$` and `$$…$$` in a page or a docstring become MathML in the build, so no script sets them later."""

import re
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert
from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor

# No space inside a single dollar: "$5 and $6" stays money. Backslashes and underscores are LaTeX's.
EQUATION = r"\$\$(?P<display>.+?)\$\$|(?<![\\$])\$(?=\S)(?P<inline>[^$]*?[^$\s\\])\$(?!\d)"


class Equation(InlineProcessor):
    """One equation; the source stays with it, for those who copy it."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[Element | str, int, int]:
        """The equation's MathML, put aside so that no other pattern reads it."""
        display = m["display"] is not None
        latex = " ".join((m["display"] if display else m["inline"]).split())
        mathml = convert(latex, display="block" if display else "inline")
        wrapped = f'<span class="equation">{mathml}</span>' if display else mathml
        return self.md.htmlStash.store(wrapped), m.start(0), m.end(0)


class MathML(Extension):
    """The Markdown extension."""

    def extendMarkdown(self, md: Markdown) -> None:
        """After code in backticks (190), where a dollar is a dollar, and before escapes (180)."""
        md.inlinePatterns.register(Equation(EQUATION, md), "mathml", 185)
