import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.runtime.watch import Watcher

PATIENCE = 15.0
Change = Callable[[], Awaitable[None]]


@asynccontextmanager
async def watching(*patterns: Path, poll: float = 0.2) -> AsyncGenerator[Change, None]:
    """Gives a function that waits for the next change."""
    watcher = Watcher([str(pattern) for pattern in patterns], poll=poll)
    await watcher.look()
    async with following(watcher) as changed:
        yield changed


@asynccontextmanager
async def following(watcher: Watcher) -> AsyncGenerator[Change, None]:
    """Gives a function that waits for the next change that this watcher notices."""
    changes = watcher.changes()

    async def next_change() -> None:
        async with asyncio.timeout(PATIENCE):
            await anext(changes)

    try:
        yield next_change
    finally:
        await changes.aclose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "routes"
    made.mkdir()
    (made / "a.yaml").write_text("one")
    return made


async def test_the_kernels_word_is_enough(folder: Path) -> None:
    async with watching(folder, poll=600.0) as changed:
        waiting = asyncio.create_task(changed())
        for number in range(100):
            if waiting.done():
                break
            (folder / "a.yaml").write_text(f"edit {number}")
            await asyncio.wait([waiting], timeout=0.2)
        await waiting


async def test_an_edit_in_place_is_noticed(folder: Path) -> None:
    async with watching(folder) as changed:
        (folder / "a.yaml").write_text("two")
        await changed()


async def test_an_edit_that_restores_size_and_time_is_noticed(folder: Path) -> None:
    before = (folder / "a.yaml").stat()
    async with watching(folder) as changed:
        (folder / "a.yaml").write_text("two")
        os.utime(folder / "a.yaml", ns=(before.st_atime_ns, before.st_mtime_ns))
        await changed()


async def test_an_atomic_rename_of_the_same_size_and_time_is_noticed(folder: Path, tmp_path: Path) -> None:
    before = (folder / "a.yaml").stat()
    async with watching(folder) as changed:
        (tmp_path / "new").write_text("two")
        os.utime(tmp_path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
        (tmp_path / "new").replace(folder / "a.yaml")
        await changed()


async def test_new_and_deleted_files_are_noticed(folder: Path) -> None:
    async with watching(folder) as changed:
        (folder / "b.yaml").write_text("new")
        await changed()
        (folder / "a.yaml").unlink()
        await changed()


async def test_the_swap_of_a_mounted_config_map_is_noticed(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    for generation in ("..first", "..second", "..third"):
        (mount / generation).mkdir(parents=True)
        (mount / generation / "a.yaml").write_text(generation)
    (mount / "..data").symlink_to("..first")
    (mount / "a.yaml").symlink_to("..data/a.yaml")
    async with watching(mount) as changed:
        for generation in ("..second", "..third"):
            (mount / "..data_tmp").symlink_to(generation)
            (mount / "..data_tmp").rename(mount / "..data")
            await changed()


async def test_a_write_that_is_completed_later_is_noticed_again(folder: Path) -> None:
    async with watching(folder) as changed:
        with (folder / "a.yaml").open("w") as stream:
            stream.write("half")
            stream.flush()
            await changed()
            stream.write(" and half")
        await changed()


async def test_a_folder_that_is_removed_and_made_again_is_noticed_both_times(folder: Path) -> None:
    async with watching(folder) as changed:
        shutil.rmtree(folder)
        await changed()
        folder.mkdir()  # noqa: ASYNC240
        (folder / "a.yaml").write_text("back")
        await changed()
        (folder / "a.yaml").write_text("and alive")
        await changed()


async def test_a_glob_and_a_single_file_are_watched(folder: Path, tmp_path: Path) -> None:
    single = tmp_path / "single.yaml"
    async with watching(folder / "*.yaml", single) as changed:
        single.write_text("here")
        await changed()
        (folder / "z.yaml").write_text("new")
        await changed()


async def test_the_same_content_is_no_change(folder: Path) -> None:
    watcher = Watcher([str(folder)])
    assert await watcher.look()
    (folder / "a.yaml").write_text("one")
    (folder / "copy").write_text("one")
    (folder / "copy").replace(folder / "a.yaml")
    assert not await watcher.look()


async def test_what_an_editor_leaves_beside_a_file_is_no_change(folder: Path) -> None:
    watcher = Watcher([str(folder)])
    await watcher.look()
    for name in (".a.yaml.swp", ".#a.yaml", "a.yaml~", "notes.txt"):
        (folder / name).write_text("x")
    assert not await watcher.look()


async def test_a_file_that_can_no_longer_be_read_is_a_change(folder: Path) -> None:
    watcher = Watcher([str(folder)])
    await watcher.look()
    (folder / "a.yaml").unlink()
    (folder / "a.yaml").symlink_to(folder / "nowhere")
    assert await watcher.look()


async def test_a_named_file_is_watched_from_now_on(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("one")
    watcher = Watcher([str(folder)])
    await watcher.look()
    watcher.watch_also([str(secret)])
    assert not await watcher.look()
    secret.write_text("two")
    assert await watcher.look()


async def test_the_swap_of_a_mounted_secret_is_noticed_by_the_files_that_were_named(tmp_path: Path) -> None:
    mount = tmp_path / "prod" / "web"
    for generation in ("..first", "..second", "..third"):
        (mount / generation).mkdir(parents=True)
        (mount / generation / "tls.crt").write_text(generation)
    (mount / "..data").symlink_to("..first")
    (mount / "tls.crt").symlink_to("..data/tls.crt")
    watcher = Watcher((), poll=0.2)
    watcher.watch_also([str(mount / "tls.crt")])
    async with following(watcher) as changed:
        for generation in ("..second", "..third"):
            (mount / "..data_tmp").symlink_to(generation)
            (mount / "..data_tmp").rename(mount / "..data")
            await changed()


async def test_a_named_file_is_noticed_when_it_appears_with_its_folder(tmp_path: Path) -> None:
    watcher = Watcher((), poll=0.2)
    watcher.watch_also([str(tmp_path / "prod" / "web" / "tls.crt")])
    async with following(watcher) as changed:
        (tmp_path / "prod" / "web").mkdir(parents=True)
        (tmp_path / "prod" / "web" / "tls.crt").write_text("one")
        await changed()


async def test_naming_files_does_not_hide_a_change_in_a_watched_folder(folder: Path) -> None:
    watcher = Watcher([str(folder)])
    await watcher.look()
    (folder / "a.yaml").write_text("changed while it was read")
    watcher.watch_also([str(folder / "a.yaml")])
    assert await watcher.look()


async def test_a_named_pipe_among_the_files_holds_nobody_up(folder: Path) -> None:
    os.mkfifo(folder / "pipe.yaml")
    async with watching(folder) as changed:
        (folder / "a.yaml").write_text("two")
        await changed()


async def test_a_device_among_the_files_is_not_read(folder: Path) -> None:
    (folder / "endless.yaml").symlink_to("/dev/zero")
    async with watching(folder) as changed:
        (folder / "a.yaml").write_text("two")
        await changed()
