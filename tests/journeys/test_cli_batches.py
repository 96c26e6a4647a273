"""Batches on the command line: a library file from the first row to the last answer."""

import json
import signal
from pathlib import Path

from test_cli import (  # noqa: F401 - fixtures
    NO_BOOK,
    ORWELL,
    Run,
    embedded,
    environment,
    order,
    port_of,
    process,
    run_in,
    sandbox,
    served,
)

EXPORT = (
    "Title,Author,ISBN,My Rating\n"
    f"1984,George Orwell,{ORWELL},5\n"
    "Lord of the Flies,William Golding,,4\n"
    "Lord of the Flies,Bill Golding,,3\n"
    f"Nobody knows it,Nobody,{NO_BOOK},2\n"
)


def batch_id_of(stderr: str) -> str:
    return next(word for word in stderr.split() if word.startswith("batch-")).rstrip(":")


def test_what_did_not_arrive_comes_back_as_it_came_and_can_be_answered(
    served: Run,  # noqa: F811
    tmp_path: Path,
) -> None:
    path = tmp_path / "shelf.csv"
    path.write_text(EXPORT)

    done = served("import", "--file", str(path))

    assert done.returncode == 1, done.stderr
    assert "1 failed, 1 to review" in done.stderr
    head, unsure, unknown = done.stdout.splitlines()
    assert head == "Title,Author,ISBN,My Rating,code,reason"
    assert unsure.startswith("Lord of the Flies,Bill Golding,,3,REVIEW,")
    assert unknown.startswith(f"Nobody knows it,Nobody,{NO_BOOK},2,BOOK_NOT_FOUND,")
    batch_id = batch_id_of(done.stderr)
    assert "shelf.csv" in served("batch", batch_id).stdout
    assert batch_id in served("batch").stdout
    items = json.loads(served("batch", batch_id, "items", "--state", "review", "--json").stdout)
    assert [item["index"] for item in items["items"]] == [2]
    assert served("batch", batch_id, "failed").stdout == done.stdout

    reviewed = served("review", batch_id, given="nonsense\n")
    assert reviewed.returncode == 1
    assert "Lord of the Flies by Bill Golding  (line 4, 1 left)" in reviewed.stderr
    assert "William Golding" in reviewed.stderr
    assert "ISBN must be" in reviewed.stderr
    assert served("review", batch_id, given="1\n").returncode == 0
    assert served("review", batch_id).returncode == 0
    assert served("batch", batch_id, "retry").returncode == 0
    again = served("batch", batch_id, "watch")
    assert again.returncode == 1
    assert "1 failed" in again.stderr
    assert "review" not in again.stderr


def test_a_wrong_batch_or_action_is_told_by_its_exit_code(served: Run) -> None:  # noqa: F811
    done = served("import", "--file", "-", "--no-watch", given=f"{ORWELL}\n")
    batch_id = done.stdout.strip()

    assert done.returncode == 0
    assert served("batch", batch_id, "watch").returncode == 0
    assert served("batch", batch_id, "cancel").returncode == 1
    assert served("batch", "batch-1-none").returncode == 3
    assert served("batch", batch_id, "dance").returncode == 2
    assert served("import", ORWELL, "--file", "-").returncode == 2
    assert served("import", "--file", "-", given="nothing").returncode == 2


def test_a_file_is_imported_without_a_server(embedded: Run) -> None:  # noqa: F811
    done = embedded("import", "--file", "-", "--json", given=f"{ORWELL}\n9780142437247\n")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert lines[-1]["type"] == "summary"
    ends = {line["data"]["index"] for line in lines if line["type"] == "batch_item"}
    assert ends == {0, 1}
    assert embedded("import", "--file", "-", given=f"{ORWELL}\n").stderr.endswith(
        "0 items imported, 1 there already\n"
    )


def test_ctrl_c_says_what_is_kept_and_how_to_watch_it_again(
    sandbox: dict[str, str],  # noqa: F811
    tmp_path: Path,
) -> None:
    order(sandbox, kind="delay", route="openlibrary", isbn=ORWELL, ms=5_000, times=1)
    (tmp_path / "list.txt").write_text(f"{ORWELL}\n9780142437247\n")
    env = environment(sandbox, tmp_path)
    with process(["serve"], env, tmp_path) as server:
        env = {**env, "BOOKLINE_PORT": port_of(server.until("is ready"))}
        command = ["import", "--file", "list.txt", "--source", "openlibrary"]
        with process(command, env, tmp_path) as importing:
            said = importing.until("batch-")
            code, out, err = importing.end(signal.SIGINT)
        batch_id = batch_id_of(said)
        watched = run_in(env, tmp_path)("batch", batch_id, "watch")

    assert (code, out) == (130, "")
    assert f"all 2 items of {batch_id} are kept" in err
    assert f"bookline batch {batch_id} watch" in err
    assert watched.returncode == 0, watched.stderr


def test_a_batch_that_was_left_running_is_cancelled_without_a_server(
    sandbox: dict[str, str],  # noqa: F811
    tmp_path: Path,
) -> None:
    order(sandbox, kind="delay", route="openlibrary", isbn=ORWELL, ms=60_000, times=1)
    (tmp_path / "list.txt").write_text(f"{ORWELL}\n")
    env = environment(sandbox, tmp_path)
    command = ["import", "--file", "list.txt", "--source", "openlibrary"]
    with process(command, env, tmp_path) as importing:
        batch_id = batch_id_of(importing.until("batch-"))
        looks = (run_in(env, tmp_path)("batch", batch_id, "--json").stdout for _ in range(30))
        assert any('"running": 1' in look for look in looks)
        importing.end(signal.SIGINT)

    done = run_in(env, tmp_path)("batch", batch_id[:25], "cancel")

    assert "1 cancelled" in done.stdout, done.stderr
    assert "status    cancelled" in done.stdout
