"""Pixels at exactly the radius: every implementation decides about them alike (spec section 4, "Distances").

Clicks are drawn so that pixels lie on rims. The clicked pixel is 0 and the newest click positive (or 1 and negative):
the window then becomes a cone, and the result shows for each pixel whether it lies inside.
"""

import ctypes
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from mfp.kernels import block as layout
from mfp.kernels import reference
from mfp.kernels.clicks import Click

SIZE = HEIGHT, WIDTH = 72, 80
VALUE = np.float32(0.3217)  # of all pixels but the clicked one; no cone has it
TRIPLES = (6, 8), (10, 0), (5, 12), (8, 15), (7, 24), (20, 21), (3, 4), (25, 10), (26, 7), (1, 1)

IMPLEMENTATIONS = {}  # name → function(map, clicks, r_max) → modulated map


def implementation(name):
    def keep(function):
        IMPLEMENTATIONS[name] = function
        return function

    return keep


@st.composite
def click_lists(draw):
    """A newest click, and others so that pixels lie on the rim of its window or of a disk that is cut from it."""
    kind = draw(st.sampled_from(["whole", "halves", "sixteenths", "fractions"]))
    if kind == "fractions":
        place = st.floats(20, 50, width=32)
    else:
        parts = {"whole": 1, "halves": 2, "sixteenths": 16}[kind]
        place = st.integers(20 * parts, 50 * parts).map(lambda n: n / parts)
    y, x = draw(place), draw(place)
    positive = draw(st.booleans())
    clicks = []
    for _ in range(draw(st.integers(1, 3))):
        dy, dx = draw(st.sampled_from(TRIPLES))
        dy, dx = (dx, dy) if draw(st.booleans()) else (dy, dx)
        dy, dx = draw(st.sampled_from([1, -1])) * dy, draw(st.sampled_from([1, -1])) * dx
        how = draw(st.sampled_from(["twice away", "mirrored at a pixel", "between two pixels", "at a distance"]))
        if how == "twice away":  # as far from the newest as the rim from its centre, for whole numbers
            other = y + 2 * dy, x + 2 * dx
        elif how == "mirrored at a pixel":  # that pixel lies exactly half-way
            other = 2 * (math.trunc(y) + dy) - y, 2 * (math.trunc(x) + dx) - x
        elif how == "between two pixels":  # the disk that is cut goes through that pixel and the newest click
            other = (math.trunc(y) + dy / 4 + y) / 2, (math.trunc(x) + dx / 4 + x) / 2
        else:
            other = y + dy / 2, x + dx / 2
        other_y, other_x = (float(np.float32(side)) for side in other)
        opposes = draw(st.sampled_from([True, True, True, False]))
        clicks.append(Click(other_x, other_y, positive != opposes, len(clicks)))
    return [*clicks, Click(x, y, positive, len(clicks))]


def cone_map(clicks):
    newest = clicks[-1]
    probability = np.full(SIZE, VALUE)
    probability[int(np.float32(newest.y)), int(np.float32(newest.x))] = 0 if newest.positive else 1
    return probability


# --- the reference, by exact fractions -------------------------------------------------------------------------------


def exact_squared(a, b):
    """Squared distance of two places by the first rule, rounded from a fraction: float."""
    offsets = [np.float32(p) - np.float32(q) for p, q in zip(a, b, strict=True)]
    return float(sum(Fraction(float(offset)) ** 2 for offset in offsets))


def exact_members(clicks, r_max):
    """Boolean map of the window by the rules, one pixel after the other, without NumPy's arithmetic on arrays."""
    newest = clicks[-1]
    centre = newest.y, newest.x
    opposite = [(click.y, click.x) for click in clicks[:-1] if click.positive != newest.positive]
    gaps = [float(np.float32(math.sqrt(exact_squared(place, centre)))) for place in opposite]
    radius = max(min(gaps) / 2, 10.0) if gaps else r_max
    cuts = [(place, gap) for place, gap in zip(opposite, gaps, strict=True) if gap < 10]
    inside = np.zeros(SIZE, bool)
    for pixel in np.ndindex(SIZE):
        inside[pixel] = exact_squared(pixel, centre) <= radius * radius and not any(
            exact_squared(pixel, place) <= gap * gap for place, gap in cuts
        )
    return inside


@settings(max_examples=15)
@given(click_lists(), st.sampled_from([10.0, 12.5, 25.0]))
def test_the_reference_follows_its_rules(clicks, r_max):
    expected = exact_members(clicks, r_max)
    assume(expected.sum() > 1)  # a cone over one pixel is flat
    probability = cone_map(clicks)
    np.testing.assert_array_equal(reference.modulate(probability, clicks, r_max=r_max) != probability, expected)


# --- the others, by the reference ------------------------------------------------------------------------------------


@implementation("training twin")
def training(probability, clicks, r_max, dtype=np.float64):
    torch = pytest.importorskip("torch")
    from mfp.training.modulation import modulate

    points = np.array([[(click.y, click.x) for click in clicks]], np.float32)
    signs, index = np.array([[click.positive for click in clicks]]), np.array([[click.index for click in clicks]])
    parts = probability[None].astype(dtype), points, signs, index
    return modulate(*map(torch.from_numpy, parts), r_max=r_max)[0].numpy()


@implementation("training twin, float32")
def training_in_float32(probability, clicks, r_max):
    return training(probability, clicks, r_max, np.float32)


@implementation("operators that the kernels are timed against")
def operators(probability, clicks, r_max):
    torch = pytest.importorskip("torch")
    from mfp.bench.kernel_timing.torch_modulation import modulate

    return modulate(torch.from_numpy(probability), clicks, r_max=r_max).numpy()


@implementation("the authors' way")
def authors(probability, clicks, r_max):
    torch = pytest.importorskip("torch")
    from mfp.bench.timing.baseline_modulation import modulate

    points = np.full((1, 2 * len(clicks), 3), -1, np.float32)
    for i, click in enumerate(clicks):
        points[0, i if click.positive else len(clicks) + i] = click.y, click.x, click.index
    return modulate(torch.from_numpy(probability[None, None]), torch.from_numpy(points), 7, r_max)[0, 0].numpy()


@pytest.fixture(scope="module")
def cpp(host_cuda, made_once):
    """``cpp(fused)``: the C++ engine's loops for this processor, as the library is, or with products and sums fused."""

    def build(name, *flags):
        source = host_cuda.HERE / "steps.cpp"
        flags = "-O3", "-march=native", "-shared", "-fPIC", *flags
        path = made_once(name, lambda folder: host_cuda.compile_cpp(source, folder / f"{name}.so", *flags))
        return ctypes.CDLL(str(path)).mfp_modulate_on_host

    return {False: build("steps"), True: build("steps_fused", "-ffp-contract=fast")}.get


def in_cpp(function, probability, clicks, r_max):
    names = {"prev": np.float32, "modulated": np.float32, "image": np.float32, "keys": np.uint32}
    memory = {name: np.zeros(SIZE, kind) for name, kind in names.items()}
    memory["clicks"] = np.zeros((2, *SIZE), np.float32)
    memory["prev"][...] = probability
    memory["windows"], memory["placed"] = np.zeros(1, layout.WINDOW), np.zeros(len(clicks), layout.PLACED)
    lane, head = np.zeros((), layout.LANE), np.zeros((), layout.BLOCK)
    for name, array in memory.items():
        lane[name] = array.ctypes.data
    for name, value in {"batch": 1, "height": HEIGHT, "width": WIDTH, "capacity": len(clicks)}.items():
        lane[name] = value
    fields = {"r_max": r_max, "disk_radius": 5, "n_early": 7, "mapped": 1, "n_clicks": len(clicks)}
    fields["newest"] = len(clicks) - 1
    for name, value in fields.items():
        head[name] = value
    rows = np.array([(click.y, click.x, click.positive, click.index) for click in clicks], layout.CLICK)
    function(*(ctypes.c_void_p(array.ctypes.data) for array in (lane, head, rows)))
    return memory["modulated"], memory["clicks"]


RIM = [Click(60, 30, False, 0), Click(40, 20, True, 1)]  # √500 away: pixels at exactly half of it


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([Click(30, 70, False, 0), Click(10, 20, True, 1)], 100.0)  # √2900 / 2: 26.925823 or, one place off, 26.925825
@example([Click(29.5, 30, False, 0), Click(26, 30, True, 1)], 100.0)
@example(RIM, 100.0)
@given(click_lists(), st.sampled_from([10.0, 12.5, 25.0]))
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_operators_decide_like_the_reference(name, clicks, r_max):
    probability = cone_map(clicks)
    expected = reference.modulate(probability, clicks, r_max=r_max)
    found = IMPLEMENTATIONS[name](probability, clicks, r_max)
    np.testing.assert_array_equal(found != probability, expected != probability)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([Click(30, 70, False, 0), Click(10, 20, True, 1)], 100.0)
@example(RIM, 100.0)
@given(click_lists(), st.sampled_from([10.0, 12.5, 25.0]))
@pytest.mark.parametrize("fused", [False, True])
def test_cpp_decides_like_the_reference(cpp, fused, clicks, r_max):
    probability = cone_map(clicks)
    expected = reference.modulate(probability, clicks, r_max=r_max)
    found, disks = in_cpp(cpp(fused), probability, clicks, r_max)
    if not fused:  # disks are float32, as in the release: the library is compiled with -ffp-contract=off
        np.testing.assert_array_equal(disks, reference.encode_clicks(clicks, *SIZE))
    np.testing.assert_array_equal(found != probability, expected != probability)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([Click(30, 70, False, 0), Click(10, 20, True, 1)], 100.0)
@example(RIM, 100.0)
@given(click_lists(), st.sampled_from([10.0, 12.5, 25.0]))
def test_kernels_decide_like_the_reference(workbench, clicks, r_max):
    probability = cone_map(clicks)
    expected = reference.modulate(probability, clicks, r_max=r_max)
    found = workbench(SIZE, threads=32).modulate(probability, clicks, r_max=r_max)[0]
    np.testing.assert_array_equal(found != probability, expected != probability)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_gap_is_the_float32_next_to_the_root():
    """Also where both sides of a map's origin make differences that float32 cannot hold."""
    rng = np.random.default_rng(0)
    for a, b in zip(rng.uniform(-1, 600, (500, 2)), rng.uniform(-1, 3, (500, 2)), strict=True):
        found = reference.click_gaps(Click(a[1], a[0]), [Click(b[1], b[0], False)])
        assert found.dtype == np.float32
        assert found[0] == np.float32(math.sqrt(exact_squared(a, b)))
    assert reference.click_gaps(Click(0, 0), [Click(20, 50)])[0] == np.float32(math.sqrt(2900))


def test_cpp_refuses_to_be_compiled_loosely(host_cuda, tmp_path):
    with pytest.raises(RuntimeError, match="other masks under -ffast-math"):
        host_cuda.compile_cpp(host_cuda.HERE / "steps.cpp", tmp_path / "steps.o", "-ffast-math", "-c")
    host_cuda.compile_cpp(host_cuda.HERE / "steps.cpp", tmp_path / "steps.o", "-ffast-math", "-fno-fast-math", "-c")
