"""A batch takes what live traffic leaves, and gives way to it."""

import asyncio

import pytest

from include.batch import room
from include.batch.room import Room
from include.errors import ComponentError


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(room, "POLL_S", 0.02)
    monkeypatch.setattr(room, "MEMORY_S", 0.06)


def flights(slots: int, most: int | None, others: list[int], seconds: float = 0.3) -> tuple[int, int]:
    """How many flew at most, and how many were done, with ``others`` beside them."""

    async def fly() -> tuple[int, int]:
        flying, highest, done = 0, 0, 0

        async def one() -> None:
            nonlocal flying, highest, done
            while True:
                async with space.place():
                    flying += 1
                    highest = max(highest, flying)
                    await asyncio.sleep(0.01)
                    flying -= 1
                    done += 1

        space = Room(slots, most, lambda: others[0] + flying)
        tasks = [asyncio.create_task(space.watch()), *(asyncio.create_task(one()) for _ in range(slots + 2))]
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return highest, done

    return asyncio.run(fly())


@pytest.mark.parametrize(
    ("slots", "most", "others", "highest"),
    [
        (4, None, 0, 3),
        (4, 2, 0, 2),
        (4, 100, 0, 3),
        (1, None, 0, 1),
        (4, None, 1, 2),
        (4, None, 3, 0),
        (4, None, 9, 0),
        (1, None, 1, 0),
    ],
)
def test_it_takes_what_is_left_but_one(slots: int, most: int | None, others: int, highest: int) -> None:
    flew, done = flights(slots, most, [others])
    assert flew == highest and bool(done) == bool(highest)


def test_it_gives_way_when_others_come_and_goes_on_when_they_have_gone() -> None:
    async def story() -> None:
        others = [0]
        space = Room(4, None, lambda: others[0])
        watch = asyncio.create_task(space.watch())
        for others[0], allowed in ((0, 3), (3, 0), (0, 3)):
            async with asyncio.timeout(30):
                while space.allowed != allowed:
                    await asyncio.sleep(0.01)
        watch.cancel()

    asyncio.run(story())


def test_a_gateway_that_does_not_say_how_busy_it_is_ends_it_after_a_while(monkeypatch) -> None:
    monkeypatch.setattr(room, "PATIENCE_S", 0.1)

    def silent() -> int:
        raise ComponentError("no answer")

    async def watched() -> None:
        await asyncio.wait_for(Room(4, None, silent).watch(), 10)

    with pytest.raises(ComponentError):
        asyncio.run(watched())
