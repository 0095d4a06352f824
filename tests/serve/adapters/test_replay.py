"""Requests that bring the image and all clicks each time."""

import threading

import cv2
import numpy as np
import pytest

from mfp import Session
from mfp.engine.errors import ClickError, ImageError, OptionError
from mfp.engine.image import decode_image
from mfp.serve.adapters.replay import MAX_IMAGES, Replay


def png(pixels):
    return cv2.imencode(".png", np.ascontiguousarray(pixels[:, :, ::-1]))[1].tobytes()


@pytest.fixture(scope="module")
def photos(photograph):
    coffee = photograph("coffee")[::4, ::4]
    return [coffee, coffee[::-1], coffee[:, ::-1]]


def answer(replay, data, clicks):
    with replay.image(data) as image:
        return image.predict(clicks)


def expected(network, pixels, clicks, **options):
    session = Session(network, pixels, **options)
    for click in clicks:
        session.click(*click)
    return session.mask


class Decoder:
    def __init__(self):
        self.calls = 0

    def __call__(self, data):
        self.calls += 1
        return decode_image(data)


CLICKS = [(70.0, 50.0, True), (20.0, 20.0, False), (90.0, 40.0, True), (30.0, 70.0, True)]


def test_answers_are_those_of_a_session_and_an_image_is_decoded_once(toy, photos):
    decoder = Decoder()
    replay = Replay(toy, decoder, size=64, flip=False)
    for count in (1, 2, 4, 3):
        found = answer(replay, png(photos[0]), CLICKS[:count])
        assert found.mask == expected(toy, photos[0], CLICKS[:count], size=64, flip=False)
        assert 0 <= found.score <= 1
    assert decoder.calls == 1
    assert answer(replay, png(photos[0]), []).mask.area == 0


def test_images_used_least_recently_are_let_go(toy, photos):
    decoder = Decoder()
    pixels = photos[0].shape[0] * photos[0].shape[1]
    replay = Replay(toy, decoder, max_pixels=2 * pixels, size=64)
    first, second, third = map(png, photos)
    for data in (first, second, first, third):  # the second goes
        answer(replay, data, CLICKS[:1])
    assert (len(replay), decoder.calls) == (2, 3)
    answer(replay, first, CLICKS[:2])
    assert decoder.calls == 3
    found = answer(replay, second, CLICKS[:2])
    assert (len(replay), decoder.calls) == (2, 4)
    assert found.mask == expected(toy, photos[1], CLICKS[:2], size=64)


def test_images_are_counted_too(toy):
    replay = Replay(toy, size=64)
    for shade in range(MAX_IMAGES + 3):
        answer(replay, png(np.full((1, 1, 3), shade, np.uint8)), [])
    assert len(replay) == MAX_IMAGES


def test_an_image_larger_than_all_room_is_answered(toy, photos):
    replay = Replay(toy, max_pixels=1, size=64)
    for data in map(png, photos):
        answer(replay, data, CLICKS[:1])
        assert len(replay) == 1


def test_what_fails_leaves_nothing(toy, photos):
    replay = Replay(toy, size=64)
    for data in (b"", b"text", png(photos[0])[:100]):
        with pytest.raises(ImageError):
            answer(replay, data, CLICKS)
    assert len(replay) == 0
    good = png(photos[0])
    with pytest.raises(ClickError):
        answer(replay, good, [*CLICKS[:1], (1e4, 0.0, True)])
    with pytest.raises(OptionError, match="at most 200"):
        answer(replay, good, CLICKS * 51)
    assert answer(replay, good, CLICKS).mask == expected(toy, photos[0], CLICKS, size=64)


def test_threads_get_their_own_answers(toy, photos):
    replay = Replay(toy, max_pixels=2 * photos[0].shape[0] * photos[0].shape[1], size=64)
    wanted = {
        (number, start): expected(toy, photos[number], CLICKS[start : start + 2], size=64)
        for number in range(3)
        for start in (0, 2)
    }
    wrong, done = [], []

    def work(number, start):  # two annotators an image, and one image more than is kept
        for count in (1, 2, 1, 2):
            found = answer(replay, png(photos[number]), CLICKS[start : start + count])
            if count == 2 and found.mask != wanted[number, start]:
                wrong.append((number, start))
        done.append((number, start))

    threads = [threading.Thread(target=work, args=key) for key in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted(wanted)
    assert not wrong
