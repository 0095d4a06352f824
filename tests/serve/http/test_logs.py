"""The server's own lines."""

import json
import logging

import pytest

from mfp.serve.http import logs


@pytest.fixture
def written(caplog):
    """``written(formatter)``: the lines so far, by a formatter."""
    caplog.set_level(logging.INFO, "mfp.serve")
    return lambda formatter: [formatter.format(record) for record in caplog.records]


def test_a_line_has_what_was_noted(written):
    with logs.line("request", path="/x") as fields:
        logs.note(session="abc", stages={"network": 1.5})
        fields["status"] = 200
    logs.note(session="nobody's")
    (line,) = map(json.loads, written(logs.JsonFormatter()))
    assert line["ms"] >= 0
    assert {name: line[name] for name in ("level", "event", "path", "session", "status")} == {
        "level": "info",
        "event": "request",
        "path": "/x",
        "session": "abc",
        "status": 200,
    }
    assert line["stages"] == {"network": 1.5}
    (text,) = written(logs.TextFormatter())
    assert 'info request path=/x session=abc stages={"network": 1.5} status=200' in text


@pytest.mark.parametrize("path", ["/a\n12:00:00 info forged", "/\x1b[2J", "/ü ü", "/\u2028"])
def test_strangers_cannot_write_lines(written, path):
    with logs.line("request", path=path):
        pass
    for formatter in (logs.TextFormatter(), logs.JsonFormatter()):
        (text,) = written(formatter)
        assert len(text.splitlines()) == 1
        assert text.isprintable()


def test_unexpected_errors_have_their_traceback(written):
    try:
        raise ValueError("why")
    except ValueError as error:
        logs.log.error("unexpected error", exc_info=error)
    (line,) = map(json.loads, written(logs.JsonFormatter()))
    assert line["traceback"].endswith("ValueError: why")
    assert written(logs.TextFormatter())[0].endswith("ValueError: why")
