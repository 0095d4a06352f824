"""Photographs that are opened: their names, their pixels, their size on the screen, and the list of those before."""

from __future__ import annotations

import base64
import io
import json

import cv2
import numpy as np
import pytest

from mfp.engine.image import decode_image
from mfp.serve.uploads import MEDIA_TYPES

from .test_lines import text_of


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def webp(pixels):
    return cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()  # 101: without loss


def palette(pixels):
    image = pytest.importorskip("PIL.Image")
    indexed = image.fromarray(pixels[..., 2::-1]).quantize(16)
    data = io.BytesIO()
    indexed.save(data, "PNG", transparency=bytes(range(0, 256, 16)))
    return data.getvalue()


@pytest.mark.parametrize("write", [png, webp, palette])
def test_alpha_is_drawn_as_the_network_sees_it(open_page, write):
    g = np.random.default_rng(5)
    pixels = g.integers(0, 256, (90, 130, 4), np.uint8)
    pixels[:30, :, 3] = 0
    pixels[60:, :, 3] = 255
    file = write(pixels)
    page = open_page()
    page.drop("cut.webp" if write is webp else "cut.png", "image/webp" if write is webp else "image/png", file)
    page.wait_ready()
    seen = page.run(
        """(() => {
            const bitmap = stage.photograph.levels[0];
            const { width, height } = bitmap;
            const canvas = Object.assign(document.createElement("canvas"), { width, height });
            canvas.getContext("2d").drawImage(bitmap, 0, 0);
            return canvas.toDataURL("image/png").split(",")[1];
        })()"""
    )
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(seen), np.uint8), cv2.IMREAD_UNCHANGED)
    assert shown.shape[2] == 3 or (shown[..., 3] == 255).all()
    assert np.array_equal(shown[..., 2::-1], decode_image(file))


def test_a_large_photograph_with_alpha(open_page):
    """Larger than a texture's tile."""
    ramp = np.arange(2100, dtype=np.uint32)
    pixels = np.zeros((30, 2100, 4), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = ramp % 251, ramp // 251, 77
    page = open_page()
    page.drop("wide.png", "image/png", png(pixels))
    page.wait_ready()
    last = page.run(
        """(() => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 2100, height: 30 });
            canvas.getContext("2d").drawImage(stage.photograph.levels[0], 0, 0);
            return Array.from(canvas.getContext("2d").getImageData(2047, 0, 2, 1).data);
        })()"""
    )
    assert last == [77, 2047 // 251, 2047 % 251, 255, 77, 2048 // 251, 2048 % 251, 255]


def corners(pixels):
    """The colours near a photograph's corners."""
    height, width = pixels.shape[:2]
    return [pixels[y, x].tolist() for y in (4, height - 5) for x in (4, width - 5)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "WEBP with alpha"])
def test_all_orientations_are_drawn_as_the_network_sees_them(open_page, kind):
    """Of equal sides too, where the size does not tell."""
    quarters = np.zeros((40, 40, 3), np.uint8)
    quarters[:20, :20], quarters[:20, 20:], quarters[20:, :20] = (250, 10, 10), (10, 250, 10), (10, 10, 250)
    image = pytest.importorskip("PIL.Image")
    page = open_page()
    for orientation in range(1, 9):
        exif = image.Exif()
        exif[0x0112] = orientation
        alpha = np.full((40, 40, 1), 255, np.uint8)
        alpha[0, 0] = 0
        pixels = np.dstack([quarters, alpha]) if "alpha" in kind else quarters
        file = io.BytesIO()
        options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True, "exact": True}
        image.fromarray(pixels).save(file, kind.split()[0], exif=exif, **options)
        drawn = page.tab.evaluate(
            """async (text) => {
                const { Photograph } = await import("/static/photograph.js");
                const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
                const { levels, width, height } = await Photograph.decode(new Blob([bytes]), { width: 40, height: 40 });
                const canvas = Object.assign(document.createElement("canvas"), { width, height });
                canvas.getContext("2d").drawImage(levels[0], 0, 0);
                return Array.from(canvas.getContext("2d").getImageData(0, 0, width, height).data);
            }""",
            base64.b64encode(file.getvalue()).decode(),
        )
        drawn = np.array(drawn, np.uint8).reshape(40, 40, 4)[..., :3]
        seen = decode_image(file.getvalue())
        assert np.allclose(corners(drawn), corners(seen), atol=8), orientation


def test_a_small_photograph_fills_the_stage(open_page):
    page = open_page()
    page.drop("small.png", "image/png", png(np.full((30, 40, 3), 90, np.uint8)))
    page.wait_ready()
    view = page.run("({ ...stage.view.screen, margin: stage.view.margin, scale: stage.view.scale })")
    free = view["height"] - view["margin"]["top"] - view["margin"]["bottom"]
    assert 30 * view["scale"] == pytest.approx(min(free, 30 * (view["width"] - 40) / 40), abs=1)
    page.click(20, 15)
    page.wait_clicks(1)
    page.screenshot("desktop_light_small")


def test_names_and_the_list_of_what_was_opened(open_page, server):
    page = open_page()
    assert page.tab.locator("#recent").is_hidden()
    page.drop("beach ö.png", "image/png", png(np.full((60, 80, 3), 90, np.uint8)))
    page.wait_ready()
    beach = page.state()["id"]
    page.click(40, 30)
    page.wait_clicks(1)
    page.drop("x" * 300 + ".png", "image/png", png(np.full((60, 80, 3), 50, np.uint8)))
    page.tab.wait_for_function("(id) => mfp.session.id && mfp.session.id !== id", arg=beach)
    long = page.state()
    assert long["name"] == "x" * 251 + ".png"

    other = open_page(path=f"#session={beach}")  # another browser
    other.wait_ready()
    assert other.tab.locator("#photo-name").inner_text() == "beach ö.png, 80 × 60"
    name, data = other.download("#download-coco")
    assert name == "beach ö_coco.json"
    assert json.loads(data)["images"][0]["file_name"] == "beach ö.png"

    server.ask(f"sessions/{long['id']}", "DELETE")
    page.tab.click("#home")
    page.tab.wait_for_selector("#recent", state="visible")
    assert page.tab.url == server.url
    names = page.tab.locator(".recent-link b")
    assert names.all_inner_texts() == ["x" * 251 + ".png", "beach ö.png"]  # the newest first
    page.tab.wait_for_selector(".gone")  # the server was asked
    assert "no longer on this server" in page.tab.locator(".recent-entry").first.inner_text()
    page.screenshot("desktop_light_recent")
    page.tab.locator(".gone button").click()
    assert names.all_inner_texts() == ["beach ö.png"]
    page.tab.reload()
    page.tab.click(".recent-link")
    page.wait_ready()
    page.wait_clicks(1)
    assert page.state()["id"] == beach
    page.tab.go_back()
    page.tab.wait_for_selector("#recent", state="visible")


def test_several_files_at_once(open_page):
    page = open_page()
    files = [
        {"name": f"{name}.png", "mimeType": "image/png", "buffer": png(np.full((20, 20, 3), 9, np.uint8))}
        for name in ("one", "two", "three")
    ]
    page.tab.evaluate("document.querySelector('#file').multiple = true")
    page.tab.set_input_files("#file", files)
    page.wait_ready()
    assert page.tab.title() == "one.png · mfp"
    assert "Opening one.png; the other 2 files are not opened" in text_of(page, "files")
    taken = page.tab.locator("#file").get_attribute("accept").split(",")
    assert sorted(taken) == sorted(MEDIA_TYPES.values())
