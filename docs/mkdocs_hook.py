"""Hooks of the documentation site: pages from outside docs/, and docstrings written for Sphinx.

Documents link to each other as files of the repository. On the site, README.md is the first page, and every other file
outside docs/ that a page links to is published under repository/.
"""

from __future__ import annotations

import re
from os.path import relpath
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(r"(^ *```.*?^ *```)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)")
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(~?)\.*([\w.]+)`")
NAMES = re.compile(r"^ +\w+(, \w+)+(?=: )", re.MULTILINE)  # an entry for several parameters or attributes

_sources: dict[str, Path] = {}  # address on the site → file of the repository


def address(path: Path) -> str:
    """Where a file of the repository is on the site, as MkDocs names sources."""
    if path == ROOT / "README.md":
        return "index.md"
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    return f"repository/{path.relative_to(ROOT).as_posix()}"


def prose(text: str) -> list[str]:
    """The text in turns: outside code blocks, a code block, outside, …"""
    return FENCE.split(text)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Publish the README, and what pages link to outside docs/."""
    waiting = [ROOT / "README.md", *(Path(file.abs_src_path or "") for file in files.documentation_pages())]
    while waiting:
        path = waiting.pop()
        uri = address(path)
        if uri not in files.src_uris:
            files.append(File.generated(config, uri, abs_src_path=str(path)))
        _sources[uri] = path
        if path.suffix == ".md":
            links = [link for text in prose(path.read_text("utf-8"))[::2] for link in LINK.findall(text)]
            targets = {(path.parent / link).resolve() for link in links}
            waiting += [target for target in targets if target.is_file() and address(target) not in _sources]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where their files are on the site."""
    source = _sources[page.file.src_uri]

    def led(link: re.Match[str]) -> str:
        target = address((source.parent / link[1]).resolve())
        return f"]({Path(relpath(target, Path(page.file.src_uri).parent)).as_posix()}"

    return "".join(part if index % 2 else LINK.sub(led, part) for index, part in enumerate(prose(markdown)))


class Roles(griffe.Extension):
    """Sphinx's markup in docstrings as Markdown: a role (``:meth:`~Session.click```) is code, a line ``::`` goes.

    Names that share an entry are kept in one word: griffe takes what follows a space for a type.
    """

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            text = ROLE.sub(lambda role: f"`{role[2].rpartition('.')[2] if role[1] else role[2]}`", obj.docstring.value)
            text = NAMES.sub(lambda names: names[0].replace(", ", ",\N{NO-BREAK SPACE}"), text)
            obj.docstring.value = re.sub("^::$", "", text, flags=re.MULTILINE)
