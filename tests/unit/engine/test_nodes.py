"""Which processes are alive: a lock says so, and it goes with its process."""

import subprocess
import sys
from pathlib import Path

from bookline.engine.locks import Locks

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
