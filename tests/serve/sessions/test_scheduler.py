"""Sessions take turns."""

import asyncio
import threading

import pytest

from mfp.serve.errors import TooManyError, UnavailableError
from mfp.serve.sessions.scheduler import Turns


def test_keys_in_turn_and_each_in_order():
    async def main():
        turns, done, first = Turns(1, 10), [], threading.Event()
        calls = [asyncio.create_task(turns.run("a", first.wait))]
        await asyncio.sleep(0)
        for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
            calls.append(asyncio.create_task(turns.run(name[0], lambda name=name: done.append(name))))
        await asyncio.sleep(0)
        assert turns.waiting == 6
        first.set()
        await asyncio.gather(*calls)
        await turns.close()
        return done

    assert asyncio.run(main()) == ["b1", "c1", "a1", "b2", "a2", "a3"]


def test_one_at_a_time_of_a_key_several_of_others():
    async def main():
        turns, both = Turns(2, 10), threading.Barrier(2, timeout=10)
        await asyncio.gather(turns.run("a", both.wait), turns.run("b", both.wait))  # would wait for ever, one by one
        at_work, most = [], []

        def work():
            at_work.append(1)
            most.append(len(at_work))
            at_work.pop()

        await asyncio.gather(*(turns.run("a", work) for _ in range(10)))
        await turns.close()
        return max(most)

    assert asyncio.run(main()) == 1


def test_results_errors_and_waits():
    async def main():
        turns = Turns(1, 10)
        result, waited = await turns.run("a", lambda: 7)
        with pytest.raises(ZeroDivisionError):
            await turns.run("a", lambda: 1 / 0)
        await turns.close()
        with pytest.raises(UnavailableError, match="shutting down"):
            await turns.run("a", lambda: 7)
        return result, waited

    result, waited = asyncio.run(main())
    assert result == 7
    assert waited >= 0


def test_too_many_of_one_key_and_who_gives_up():
    async def main():
        turns, done, first = Turns(1, 2), [], threading.Event()
        running = asyncio.create_task(turns.run("a", first.wait))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(turns.run("a", lambda n=n: done.append(n))) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyError, match="2 requests of this session wait"):
            await turns.run("a", lambda: done.append("more"))
        other = asyncio.create_task(turns.run("b", lambda: done.append("b")))
        waiting[0].cancel()
        await asyncio.sleep(0)
        first.set()
        await asyncio.gather(running, waiting[1], other)
        await turns.close()
        return done

    assert asyncio.run(main()) == ["b", 1]


def test_closing_waits_for_what_was_taken():
    async def main():
        turns, done, first = Turns(1, 10), [], threading.Event()
        calls = [asyncio.create_task(turns.run("a", first.wait))]
        calls += [asyncio.create_task(turns.run("b", lambda: done.append("b")))]
        await asyncio.sleep(0)
        closing = asyncio.create_task(turns.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        first.set()
        await asyncio.gather(closing, *calls)
        return done

    assert asyncio.run(main()) == ["b"]
