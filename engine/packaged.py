"""Networks that ship with the package, by name. Nothing is downloaded.

``networks/NAME.onnx`` computes in FP32, ``NAME_fp16.onnx`` in FP16, and ``NAME.pth`` holds the weights of both, for
PyTorch and further training. ``python -m mfp.export.pack`` writes the three; docs/lite0.md describes them.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).with_name("networks")
DEFAULT = "lite0"  # network of commands that are given none


def names() -> list[str]:
    """Names that can be given in place of a file."""
    return sorted(file.stem for file in FOLDER.glob("*.onnx"))


def default_output(source: str | Path, name: str) -> Path:
    """The default path of a file made from a network: beside it, or in the current folder for a packaged network.

    Args:
        source: name or path, as for :func:`find`.
        name: name of the new file.
    """
    folder = find(source).parent
    return Path(name) if folder.resolve() == FOLDER.resolve() else folder / name


def find(source: str | Path, ending: str = ".onnx", precision: str | None = None) -> Path:
    """The network file of a source: a packaged one if the source is only its name, else the source itself.

    Args:
        source: name from :func:`names`, or a path.
        ending: suffix of the file, ``".onnx"`` or ``".pth"``.
        precision: precision of the packaged file, chosen if the name has a file in it.
    """
    if str(source) in names():
        for stem in (f"{source}_{precision}", source):
            file = FOLDER / f"{stem}{ending}"
            if file.is_file():
                return file
    return Path(source)
