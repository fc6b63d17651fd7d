"""What to install is said so that the command works where it is read."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path

import pytest

from bench_core import install
from bench_core.cli.doctor import MMSEG, PACKAGES

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]


class Recorded:
    """A distribution of which `direct_url.json` is known."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.text


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> object:
    """Pretend that the installed distribution recorded this origin, and forget it afterwards."""

    def pretend(origin: object) -> None:
        text = origin if isinstance(origin, str) or origin is None else json.dumps(origin)
        install._direct_url.cache_clear()
        monkeypatch.setattr(install, "distribution", lambda name: Recorded(text))
        monkeypatch.setattr(install, "_is_checkout", lambda folder: False)

    yield pretend
    install._direct_url.cache_clear()


def checkout(folder: Path) -> str:
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "segtrial"\n')
    return folder.as_uri()


def test_a_checkout_is_installed_from_its_folder(recorded: object, tmp_path: Path) -> None:
    url = checkout(tmp_path / "a clone")
    recorded({"url": url, "dir_info": {"editable": True}})  # type: ignore[operator]
    assert shlex.split(install.install_command("torch")) == [
        *("pip", "install", "-e", f"{tmp_path}/a clone[torch]")
    ]
    recorded({"url": url, "dir_info": {}})  # type: ignore[operator]
    assert shlex.split(install.install_command("torch,timm")) == [
        *("pip", "install", f"{tmp_path}/a clone[torch,timm]")
    ]
    assert shlex.split(install.install_core())[-1] == f"{tmp_path}/a clone"


@pytest.mark.parametrize(
    "origin",
    [None, "", "{", "[]", "{}", {"url": "file:///gone/for/good", "dir_info": {"editable": True}}, {"url": 3}],
)
def test_others_are_installed_by_name(recorded: object, origin: object) -> None:
    recorded(origin)  # type: ignore[operator]
    assert install.install_command("torch") == "pip install 'segtrial[torch]'"
    assert install.install_core() == "pip install segtrial"


def test_a_repository_is_installed_from_at_the_same_commit(recorded: object) -> None:
    info = {"vcs": "git", "commit_id": "0123abc"}
    recorded({"url": "https://example.org/segtrial.git", "vcs_info": info})  # type: ignore[operator]
    assert shlex.split(install.install_command("hf"))[-1] == (
        "segtrial[hf] @ git+https://example.org/segtrial.git@0123abc"
    )


def test_a_command_stays_as_it_is_and_modules_find_their_extras(recorded: object) -> None:
    recorded(None)  # type: ignore[operator]
    assert install.install_command("pip install mine") == "pip install mine"
    said = install.install_modules(["timm.models", "torch", "mine.part", "timm"])
    assert said == "pip install 'segtrial[timm,torch]', and install the package that has the module mine"


def test_extras_are_those_of_the_project() -> None:
    assert set(install.EXTRAS) == set(PROJECT["optional-dependencies"])
    assert set(install._MODULES.values()) <= set(install.EXTRAS)
    for extra, names in PACKAGES.items():
        wanted = PROJECT["dependencies"] if extra == "core" else PROJECT["optional-dependencies"][extra]
        wanted = {text.partition(">")[0].lower() for text in wanted}
        assert {name.lower() for name in names} <= wanted, extra
    mmseg = {text.partition(">")[0] for text in PROJECT["optional-dependencies"]["mmseg"]}
    assert {names[0] for names in MMSEG.values()} <= mmseg
