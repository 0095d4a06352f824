"""Compiler of the kernels for the current GPU, with a disk cache beside CuPy's own."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
FILES = ("click_block.h", "mfp_ops.h", "click_steps.h", "click.cu", "crop.cu", "modulate.cu", "paste.cu")

# CuPy's own compilation would add -ftz=true: numbers below 1e-38 would count as zero there, and nowhere else. Whether
# a pixel's probability is exactly zero decides about its window.
OPTIONS = ("-std=c++17", "-ftz=false", "-prec-div=true", "-prec-sqrt=true")

_REPLACED = ('#include "', "#pragma once")


@cache
def source() -> str:
    """Source of all kernels as one text for NVRTC, with the includes between the files inlined."""
    texts = [(FOLDER / name).read_text("utf-8") for name in FILES]
    return "\n".join(line for text in texts for line in text.splitlines() if not line.startswith(_REPLACED)) + "\n"


def cubin() -> bytes:
    """Binary of the kernels for the GPU that is current in this thread, from the cache or else compiled."""
    import cupy

    capability = cupy.cuda.Device().compute_capability
    key = repr((source(), OPTIONS, capability, cupy.cuda.nvrtc.getVersion())).encode()
    folder = Path(os.environ.get("CUPY_CACHE_DIR") or os.path.expanduser("~/.cupy/kernel_cache"))
    file = folder / f"mfp-{hashlib.sha256(key).hexdigest()}.cubin"
    return _read(file) or _write(file, compiled(capability))


def compiled(capability: str) -> bytes:
    """Compile the kernels with NVRTC; needs no GPU.

    Args:
        capability: compute capability without its point, ``"90"``. If the GPU is newer than this NVRTC, the result is
            code that the driver translates.

    Raises:
        RuntimeError: NVRTC refuses the source.
    """
    from cupy.cuda import nvrtc

    nearest = max((known for known in nvrtc.getSupportedArchs() if known <= int(capability)), default=0)
    is_known = nearest == int(capability)
    target = f"-arch={'sm' if is_known else 'compute'}_{nearest}"
    program = nvrtc.createProgram(source(), "mfp.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*OPTIONS, target))
        code: bytes = nvrtc.getCUBIN(program) if is_known else nvrtc.getPTX(program)
    except nvrtc.NVRTCError as error:
        raise RuntimeError(f"NVRTC could not compile the kernels: {nvrtc.getProgramLog(program)}") from error
    finally:
        nvrtc.destroyProgram(program)
    return code


def _read(file: Path) -> bytes | None:
    """Read the content that :func:`_write` stored, or None if it is missing or incomplete."""
    try:
        stored = file.read_bytes()
    except OSError:
        return None
    digest, code = stored[:32], stored[32:]
    return code if hashlib.sha256(code).digest() == digest else None


def _write(file: Path, code: bytes) -> bytes:
    """Store the code for the next start. A folder that is not writable is no error: the code is then compiled again."""
    partial = file.with_name(f".{os.urandom(8).hex()}.tmp")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(hashlib.sha256(code).digest() + code)
        os.replace(partial, file)
    with suppress(OSError):
        partial.unlink(missing_ok=True)
    return code
