import asyncio
from pathlib import Path

import pytest

from proxy.config.spec import Credential, ModelServer
from proxy.runtime.server_problems import server_problems
from proxy.upstream.server import ServerRegistry
from proxy.wire.clock import Sweeper


class Keys:
    """A registry of servers by name, with their keys in files of this folder."""

    def __init__(self, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        self.registry = ServerRegistry(loop, Sweeper(loop), secrets=str(folder))

    def serve(self, **credentials: Credential | None) -> None:
        specs = [ModelServer(name, (), credential=one) for name, one in credentials.items()]
        self.registry.replace({spec.name: self.registry.adopt(spec) for spec in specs})

    @property
    def told(self) -> list[tuple[str, str, bool]]:
        return [(problem.server, problem.message, problem.kept) for problem in server_problems(self.registry)]


@pytest.fixture
async def keys(tmp_path: Path) -> Keys:
    (tmp_path / "good").write_text("s3cret")
    return Keys(tmp_path)


async def test_a_server_whose_key_cannot_be_read_is_told_with_its_place(keys: Keys, tmp_path: Path) -> None:
    keys.serve(
        plain=None,
        good=Credential(file=str(tmp_path / "good")),
        given=Credential(value="s3cret"),
        file=Credential(file=str(tmp_path / "none")),
        secret=Credential(secret="default/openai", key="api-key"),
    )
    reason = "error credential: cannot be read: no such file or directory"
    assert keys.told == [
        ("file", f"{tmp_path}/none: {reason}", False),
        ("secret", f"{tmp_path}/default/openai/api-key: {reason}", False),
    ]


async def test_a_key_that_went_away_is_told_as_kept_until_it_is_back(keys: Keys, tmp_path: Path) -> None:
    keys.serve(chat=Credential(file=str(tmp_path / "good")))
    (tmp_path / "good").unlink()
    keys.registry.renew_secrets()
    assert [(name, kept) for name, _, kept in keys.told] == [("chat", True)]
    (tmp_path / "good").write_text("s3cret")
    keys.registry.renew_secrets()
    assert keys.told == []


async def test_a_key_that_comes_late_is_a_problem_no_more(keys: Keys, tmp_path: Path) -> None:
    keys.serve(chat=Credential(file=str(tmp_path / "late")))
    assert [kept for _, _, kept in keys.told] == [False]
    (tmp_path / "late").write_text("s3cret")
    keys.registry.renew_secrets()
    assert keys.told == []


async def test_a_server_that_is_gone_or_wants_no_key_any_more_has_no_problem(keys: Keys, tmp_path: Path) -> None:
    lost = Credential(file=str(tmp_path / "none"))
    keys.serve(chat=lost, talk=lost)
    keys.serve(chat=None)
    assert keys.told == []


async def test_no_key_is_ever_told(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "good").write_text("s3cret with a\nsecond line")
    keys.serve(chat=Credential(file=str(tmp_path / "good")))
    ((_, why, _),) = keys.told
    assert "s3cret" not in why
