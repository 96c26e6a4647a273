"""Which processes are alive: a lock says so, and it goes with its process."""

import errno
import fcntl
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bookline.engine import locks
from bookline.engine.locks import GRACE_SECONDS, Locks

HOLD = """
import sys
from pathlib import Path
from bookline.engine.locks import Locks
node = Locks(Path(sys.argv[1]))
node.open()
print(node.node_id, flush=True)
sys.stdin.read()
"""


async def test_an_open_node_is_alive_and_a_closed_one_is_not(tmp_path: Path) -> None:
    one, other = Locks(tmp_path), Locks(tmp_path)
    one.open()
    other.open()

    assert await one.living() == await other.living() == {one.node_id, other.node_id}

    other.close()
    assert await one.living() == {one.node_id}
    one.close()
    one.close()  # twice does no harm


def test_each_start_has_an_id_of_its_own(tmp_path: Path) -> None:
    assert len({Locks(tmp_path).node_id for _ in range(100)}) == 100


async def test_a_killed_process_is_dead_at_once(tmp_path: Path) -> None:
    here = Locks(tmp_path)
    here.open()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as there:
        assert there.stdout is not None
        node_id = there.stdout.readline().decode().strip()
        alive_before = await here.living()

        there.kill()
        there.wait(10)

    assert node_id in alive_before
    assert await here.living() == {here.node_id}
    assert not (tmp_path / node_id).exists()
    here.close()


async def test_only_one_is_in_the_block(tmp_path: Path) -> None:
    async with (
        Locks(tmp_path / "nodes").only_one("chore") as first,
        Locks(tmp_path / "nodes").only_one("chore") as second,
    ):
        assert (first, second) == (True, False)

    async with Locks(tmp_path / "nodes").only_one("chore") as again:
        assert again


async def test_none_is_taken_for_dead_at_its_birth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one looks between the making of the file and its lock."""
    born, other = Locks(tmp_path), Locks(tmp_path)
    other.open()
    real, looks = fcntl.flock, [tmp_path / born.node_id]

    def flock(file: Any, how: int) -> None:
        if looks:
            assert not locks._is_locked(looks.pop())
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    born.open()

    assert await other.living() == {born.node_id, other.node_id}
    born.close()
    other.close()


async def test_a_folder_that_is_removed_makes_nobody_dead(tmp_path: Path) -> None:
    folder = tmp_path / "nodes"
    one, other = Locks(folder), Locks(folder)
    one.open()
    other.open()
    both = await one.living()

    shutil.rmtree(folder)

    assert await one.living() == both
    await other.living()
    assert {path.name for path in folder.iterdir()} == both
    assert await Locks(folder).living() > both
    one.close()
    other.close()


async def test_a_file_that_could_not_be_put_back_is_put_back_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder was removed, and the disk was full just then."""
    folder = tmp_path / "nodes"
    here, other = Locks(folder), Locks(folder)
    here.open()
    shutil.rmtree(folder)

    with monkeypatch.context() as full:
        full.setattr(fcntl, "flock", _no_space)
        with pytest.raises(OSError, match="No space"):
            await here.living()

    assert await here.living() == {here.node_id}
    assert await other.living() == {here.node_id, other.node_id}
    here.close()


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_one_that_never_comes_back_is_dead_after_a_while(tmp_path: Path) -> None:
    now = 0.0
    here, gone = Locks(tmp_path, lambda: now), Locks(tmp_path)
    here.open()
    gone.open()
    await here.living()
    (tmp_path / gone.node_id).unlink()

    now = GRACE_SECONDS + 0.1

    assert await here.living() == {here.node_id}
    here.close()
    gone.close()
