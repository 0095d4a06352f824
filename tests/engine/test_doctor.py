"""What the doctor finds, and that no missing or broken library keeps it from the others."""

from importlib import import_module
from importlib.util import find_spec

import pytest

from mfp.engine.doctor import array_work, examine
from mfp.engine.network import RUNTIMES


def test_it_knows_every_runtime():
    findings = examine()
    assert list(dict.fromkeys(finding.runtime for finding in findings)) == list(RUNTIMES)
    for finding in findings:
        assert finding.detail
        assert finding.usable == (not finding.remedy)


@pytest.mark.parametrize("library", ["onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "torch", "cupy"])
@pytest.mark.parametrize("fault", ["missing", "broken"])
def test_one_that_is_missing_or_broken_leaves_the_others(monkeypatch, library, fault):
    def find(name):
        return None if (name, fault) == (library, "missing") else True if name == library else find_spec(name)

    def load(name):
        if name == library:
            raise OSError("libnothing.so: cannot open shared object file")
        return import_module(name)

    monkeypatch.setattr("mfp.engine.doctor.find_spec", find)
    monkeypatch.setattr("mfp.engine.doctor.import_silenced", load)
    own = {name for name, entry in RUNTIMES.items() if entry.library == library} or {array_work().runtime}
    findings = [*examine(), array_work()]
    words = "not installed" if fault == "missing" else "libnothing"
    assert all(words in f.detail and not f.usable and f.remedy for f in findings if f.runtime in own)
    assert any(f.usable for f in findings if f.runtime not in own)
