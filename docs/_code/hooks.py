"""What the site's build does beside its plugins.

Equations become MathML, an exercise's page shows its stub, the walkthrough and the chapters become notebooks, the
search leaves out what nobody searches for, and pictures become lighter.
"""

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import Abort
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from PIL import Image  # matplotlib brings it along

HERE = str(Path(__file__).parent)
UNSEARCHED = ("course/kill_matrix.md", "course/public_mistakes.md")  # long lists, with a search of the browser's own
EXERCISE = re.compile(r"course/(?P<chapter>ch\d+_\w+)/(?P<name>e\d\d)_\w+\.md")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Before any page is read."""
    if HERE not in sys.path:  # here, not above: MkDocs puts the path back after it has loaded this file
        sys.path.append(HERE)  # the pages' code draws with `figures`, which lies beside this file
    from mathml import MathML

    _require_penn_treebank()
    config.markdown_extensions.append(MathML())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The notebooks are files of the site, so that a link to one is checked like any other."""
    from notebooks import all_notebooks

    repository = f"git+{config.repo_url}" if config.repo_url else ""
    for name, text in all_notebooks(repository).items():
        files.append(File.generated(config, f"notebooks/{name}", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """What a page gets that is made from something else: its stub, its notebook."""
    path = page.file.src_uri
    if path in UNSEARCHED:
        page.meta["search"] = {"exclude": True}
    if exercise := EXERCISE.fullmatch(path):
        markdown = markdown.replace("## An example\n", f"{_to_do(exercise['name'])}\n## An example\n", 1)
        return _with_notebook(markdown, f"../../notebooks/{exercise['chapter']}.ipynb", "This chapter as a notebook")
    if path == "walkthrough.md":
        from notebooks import INSTEAD

        return _with_notebook(INSTEAD.sub("", markdown), "notebooks/walkthrough.ipynb", "This page as a notebook")
    return markdown


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A search loads the whole index: numbers on axes and source beside its description stay out of it."""
    for tag in ('<figure class="figure"', '<details class="mkdocstrings-source"', '<h2 id="the-code"'):
        html = html.replace(tag, tag.replace(" ", " data-search-exclude ", 1))
    return html


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """The theme's search is a dialog without a name."""
    return output.replace('role="dialog"', 'role="dialog" aria-label="Search"')


def on_post_build(config: MkDocsConfig) -> None:
    """Pictures with 256 colours instead of millions: a third of the weight, and no difference to the eye."""
    for file in Path(config.site_dir).rglob("*.png"):
        with Image.open(file) as opened:
            picture = opened.convert("RGBA")
        if picture.getextrema()[-1] == (255, 255):  # nothing in it is transparent
            picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)


def _to_do(number: str) -> str:
    """The file as a learner gets it, and how to get a verdict."""
    from attn_lab.course.catalogue import find
    from attn_lab.course.stubs import stub

    exercise = find(number)
    path = exercise.answer(Path("exercises")).as_posix()
    lines = "\n".join(f"    {line}".rstrip() for line in stub(exercise).rstrip().splitlines())
    return (
        f'??? example "The file as you get it: {path}"\n    ```python\n{lines}\n    ```\n\n'
        f"Your verdict, as often as you like ([how to read it](../../start/first_exercise.md#3-ask-for-a-verdict)):\n\n"
        f"```sh\nattn-lab check {number}\n```\n"
    )


def _with_notebook(markdown: str, link: str, text: str) -> str:
    """A link below the page's title."""
    title, _, rest = markdown.partition("\n")
    return f"{title}\n\n[{text}]({link}){{ .notebook download }}, for Jupyter and Colab.\n{rest}"


def _require_penn_treebank() -> None:
    """Stops the build where the walkthrough's text is not to be had; each of its blocks would fail otherwise."""
    from attn_lab.corpora import CorpusError, ptb

    try:
        ptb.files()
    except (OSError, CorpusError) as error:
        raise Abort(
            f"the walkthrough runs on the Penn Treebank, which is not to be had: {error}. "
            "Set ATTN_LAB_DATA to a folder that holds its three files, or build with a network"
        ) from None
