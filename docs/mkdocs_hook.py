"""Hooks of the documentation site: pages from outside docs/, and docstrings written for Sphinx.

Documents link to each other as files of the repository. On the site, README.md is the first page, and every other file
outside docs/ that a page links to is published under repository/.
"""

import re
from os.path import dirname, relpath
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"^ *```.*?^ *```|\]\((?!\w+:|#)([^)\s#]+)", re.MULTILINE | re.DOTALL)  # no links in blocks of code
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(?:~(?:[\w.]*\.)?|\.*)([\w.]+)`")
NAMES = re.compile(r"^ +\w+(, \w+)+(?=: )", re.MULTILINE)  # an entry for several parameters or attributes

_sources: dict[str, Path] = {}  # address on the site → file of the repository


def address(path: Path) -> str:
    """Where a file of the repository is on the site, as MkDocs names sources."""
    name = path.relative_to(ROOT).as_posix()
    return "index.md" if name == "README.md" else name[5:] if name.startswith("docs/") else f"repository/{name}"


def on_files(files: Files, config: Any) -> Files:
    """Publish the README, and what pages link to outside docs/."""
    waiting = [ROOT / "README.md", *(Path(file.abs_src_path or "") for file in files.documentation_pages())]
    while waiting:
        path = waiting.pop()
        uri = address(path)
        if uri not in files.src_uris:
            files.append(File.generated(config, uri, abs_src_path=str(path)))
        _sources[uri] = path
        if path.suffix == ".md":
            targets = {(path.parent / link).resolve() for link in LINK.findall(path.read_text("utf-8")) if link}
            waiting += [target for target in targets if target.is_file() and address(target) not in _sources]
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to where their files are on the site."""
    uri = page.file.src_uri

    def led(link: re.Match[str]) -> str:
        if link[1] is None:
            return link[0]
        return "](" + Path(relpath(address((_sources[uri].parent / link[1]).resolve()), dirname(uri))).as_posix()

    return LINK.sub(led, markdown)


class Roles(griffe.Extension):
    """Sphinx's markup in docstrings as Markdown: a role (``:meth:`~Session.click```) is code, a line ``::`` goes.

    Names that share an entry are kept in one word: griffe takes what follows a space for a type.
    """

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            text = ROLE.sub(r"`\1`", obj.docstring.value)
            text = NAMES.sub(lambda names: names[0].replace(", ", ",\N{NO-BREAK SPACE}"), text)
            obj.docstring.value = re.sub("^::$", "", text, flags=re.MULTILINE)
