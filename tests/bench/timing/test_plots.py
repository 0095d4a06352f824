"""Pictures of latency records: what they show, and that it can be read."""

import itertools
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

matplotlib = pytest.importorskip("matplotlib")

from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.text import Text  # noqa: E402

from mfp.bench.plot_style import INK, STYLE  # noqa: E402
from mfp.bench.timing import plots  # noqa: E402
from mfp.bench.timing.results import by_backbone, figures  # noqa: E402

LONG = "A Processor With a Rather Long Name(R) and $Signs$ in It @ 2.40GHz, 192 cores"
PAGES = ("#ffffff", "#0d1117")  # GitHub's, light and dark


@pytest.fixture(scope="module", params=["cpu", "cuda:0"])
def rows(request, latency_record):
    return figures(latency_record(device=request.param))


def drawn(name, rows):
    with matplotlib.rc_context(STYLE):
        figure = plots.PICTURES[name](rows, LONG)
        figure.canvas.draw()
    return figure


def test_pictures_are_written_and_the_same_every_time(latency_record, tmp_path):
    rows = figures(latency_record())
    first = plots.draw_all(rows, LONG, tmp_path / "run.of_today")
    assert [path.name for path in first] == [
        f"run.of_today_{name}.{ending}" for name in ("latency", "stages", "clicks") for ending in ("png", "svg")
    ]
    contents = {path: path.read_bytes() for path in first}
    for path, content in contents.items():
        if path.suffix == ".svg":
            assert ElementTree.fromstring(content).tag.endswith("svg")
        else:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
            assert image.shape[1:] == (1400, 4)  # twice 700 pixels, and transparent:
            assert image[0, 0, 3] == 0
    plots.draw_all(rows, LONG, tmp_path / "run.of_today")
    assert {path: path.read_bytes() for path in first} == contents


@pytest.mark.parametrize("name", list(plots.PICTURES))
def test_every_text_can_be_read(name, rows):
    figure = drawn(name, rows)
    texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    assert len(texts) > 3 * len(rows) or name == "clicks"
    boxes = [(text, text.get_window_extent()) for text in texts]
    for text, box in boxes:
        assert text.get_fontsize() * 700 / (72 * plots.WIDTH) >= 12, text  # pixels, shown 700 wide
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    for (a, box), (b, other) in itertools.combinations(boxes, 2):
        assert not box.shrunk(0.98, 0.98).overlaps(other.shrunk(0.98, 0.98)), f"{a} is over {b}"


def test_bars_end_at_the_medians(rows):
    figure = drawn("latency", rows)
    for axes, mine in zip(figure.axes, by_backbone(rows).values(), strict=True):
        assert [bar.get_width() for bar in axes.patches] == [row.later.p50 for row in mine]
        assert axes.get_xlim()[1] > max(row.later.p99 for row in mine)


def test_stages_add_up(rows):
    figure = drawn("stages", rows)
    for axes in figure.axes[::2]:  # shares
        ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
        assert max(ends) == pytest.approx(100)


def test_every_click_is_a_dot(rows):
    figure = drawn("clicks", rows)
    dots = [line.get_xdata() for axes in figure.axes for line in axes.lines if line.get_marker() == "o"]
    assert [list(found) for found in dots] == [row.samples for row in rows]


def luminance(colour):
    """Of WCAG 2."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return np.dot(linear, (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("page", PAGES)
def test_colours_stand_out_from_light_and_dark_pages(page):
    def contrast(colour):
        low, high = sorted((luminance(colour), luminance(page)))
        return (high + 0.05) / (low + 0.05)

    assert contrast(INK) > 4
    for colour in (plots.AUTHORS, plots.ENGINE, plots.HALF):
        assert contrast(colour) > 3
    for colour in plots.STAGE_COLOURS.values():
        assert contrast(colour) > 2


@given(st.floats(0.01, 1e5), st.floats(1.07, 1e4))
def test_an_axis_has_ticks(low, ratio):
    ticks = plots._ticks(low, low * ratio)
    assert 2 <= len(ticks) <= 12
    assert ticks == sorted(ticks)
    assert low <= ticks[0]
    assert ticks[-1] <= low * ratio
