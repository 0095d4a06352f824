"""Networks that ship with the package, by name. Nothing is downloaded.

``networks/NAME.onnx`` computes in FP32, ``NAME_fp16.onnx`` in FP16, and ``NAME.pth`` holds the weights of both, for
PyTorch and to go on training from. ``python -m mfp.export.pack`` writes the three; docs/lite0.md says what they are.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).with_name("networks")
DEFAULT = "lite0"  # of commands that are given no network


def names() -> list[str]:
    """What can be named in place of a file."""
    return sorted(file.stem for file in FOLDER.glob("*.onnx"))


def default_output(source: str | Path, name: str) -> Path:
    """Where a file that is made of a network goes where nobody says: beside it, or of a packaged one into this folder.

    Args:
        source: as of :func:`find`.
        name: of the new file.
    """
    folder = find(source).parent
    return Path(name) if folder.resolve() == FOLDER.resolve() else folder / name


def find(source: str | Path, ending: str = ".onnx", precision: str | None = None) -> Path:
    """The file that is meant: a packaged one where the source is nothing but its name, else the source itself.

    Args:
        source: a name of :func:`names`, or a path.
        ending: ``".onnx"`` or ``".pth"``.
        precision: of the packaged files of this name, the one in this precision, where there is one.
    """
    if str(source) in names():
        for stem in (f"{source}_{precision}", source):
            file = FOLDER / f"{stem}{ending}"
            if file.is_file():
                return file
    return Path(source)
