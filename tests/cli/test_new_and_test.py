"""`bench new model` writes what `bench test` passes, and `bench test` says what a broken network breaks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench_core.cli.candidates import chosen
from bench_core.cli.main import bench
from bench_core.errors import BenchError
from bench_core.plugins.wiring import load_registry

REPOSITORY = Path(__file__).resolve().parents[2]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(bench, list(arguments))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("runner", ["torch", "mmseg"])
def test_what_new_writes_passes_everything(here: Path, runner: str) -> None:
    assert call("new", "model", "my-net", "--runner", runner).exit_code == 0
    assert sorted(path.name for path in here.iterdir()) == ["my_net.py", "test_my_net.py"]
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--no-cache", "--config", str(REPOSITORY / "pyproject.toml"), str(here)]
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run([*ruff, *check, *config], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    found = call("test", "my-net", "--plugin", "my_net.py", "--json")
    result = json.loads(found.stdout)
    wrong = [item for item in result["properties"] if item["state"] == "wrong"]
    assert found.exit_code == 0 and result["passed"] and wrong == []
    assert [item["property"] for item in result["properties"] if item["state"] == "skipped"] == [
        "weights are loaded strictly"
    ]


@pytest.mark.slow
def test_the_test_that_new_writes_passes(here: Path) -> None:
    call("new", "model", "my-net", "--folder", "nets")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "nets"],
        cwd=here,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "18 passed, 1 skipped" in done.stdout


def test_new_overwrites_nothing(here: Path) -> None:
    (here / "test_my_net.py").write_text("mine")
    refused = call("new", "model", "my-net")
    assert isinstance(refused.exception, BenchError) and "test_my_net.py" in str(refused.exception)
    assert [path.name for path in here.iterdir()] == ["test_my_net.py"]
    assert (here / "test_my_net.py").read_text() == "mine"


@pytest.mark.parametrize("name", ["My-Net", "my_net", "-net", "../net", "torch", "u-net", "n" * 41])
def test_new_refuses_names_that_would_not_work(here: Path, name: str) -> None:
    refused = call("new", "model", "--", name)
    assert isinstance(refused.exception, BenchError) and refused.exception.fix
    assert list(here.iterdir()) == []


BREAKAGES = {
    "return the image": (
        'return functional.interpolate(logits, size=images.shape[-2:], mode="bilinear")',
        "return logits",
        ["shapes"],
    ),
    "a dead layer": (
        "self.head = nn.Conv2d",
        "self.unused = nn.Conv2d(1, 1, 1)\n        self.head = nn.Conv2d",
        ["gradients", "declared parameter counts"],
    ),
    "a dead layer that is not there": (
        'explained=Layers(encoder=("fine", "coarse"))',
        'explained=Layers(encoder=("fine", "coarse")),\n            dead_parameters=("ghost.",)',
        ["gradients"],
    ),
    "drawn at inference": (
        "coarse = functional",
        "fine = functional.dropout(fine)\n        coarse = functional",
        [
            "evaluation is deterministic",
            "evaluation is independent",
            "saved weights",
            "copies",
            "channels-last",
        ],
    ),
    "normalized over the batch": (
        "logits = self.head(self.decoder(torch.cat([fine, coarse], dim=1)))",
        "logits = self.head(self.decoder(torch.cat([fine, coarse], dim=1)))\n"
        "        logits = logits - logits.mean()",
        ["evaluation is independent"],
    ),
    "unseeded": (
        "self.head = nn.Conv2d(width, num_classes, 1)",
        "self.head = nn.Conv2d(width, num_classes, 1)\n"
        "        own = torch.Generator()\n        own.seed()\n"
        "        nn.init.normal_(self.head.weight, generator=own)",
        ["equal seeds"],
    ),
    "unpicklable": (
        "self.head = nn.Conv2d",
        "self.act = lambda maps: maps\n        self.head = nn.Conv2d",
        ["copies"],
    ),
    "too large for fp16": (
        "logits = self.head",
        'if torch.is_autocast_enabled("cpu"):\n'
        "            fine = fine.half() * 70000\n"
        "        logits = self.head",
        ["fp16", "bf16"],
    ),
    "no such layer": (
        'explained=Layers(encoder=("fine", "coarse"))',
        'explained=Layers(encoder=("fine", "coarze"))',
        ["declared layers"],
    ),
    "a layer with nothing behind it": (
        'explained=Layers(encoder=("fine", "coarse"))',
        'explained=Layers(encoder=("fine", "coarse"), decoder="decoder")',
        ["declared layers"],
    ),
    "cannot learn": (
        "return functional.interpolate(logits",
        "return functional.interpolate(logits * 0",
        ["gradients", "declared layers", "the loss"],
    ),
    "limits narrower than the network's": ("size_minimum=4", "size_multiple=2, size_minimum=64", []),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_network_fails_by_what_it_breaks(here: Path, breakage: str) -> None:
    before, after, expected = BREAKAGES[breakage]
    call("new", "model", "my-net")
    text = (here / "my_net.py").read_text()
    assert text.count(before) == 1
    (here / "my_net.py").write_text(text.replace(before, after))
    found = call("test", "my-net", "--plugin", "my_net.py", "--json")
    result = json.loads(found.stdout)
    wrong = [item for item in result["properties"] if item["state"] == "wrong"]
    assert all(any(item["property"].startswith(start) for item in wrong) for start in expected), wrong
    if breakage != "return the image":  # which leaves nothing whole
        assert all(any(item["property"].startswith(start) for start in expected) for item in wrong), wrong
    assert found.exit_code == (1 if expected else 0) and result["passed"] == (not expected)
    assert all(item["note"] for item in wrong)


def test_the_table_says_what_is_wrong_and_where(here: Path) -> None:
    call("new", "model", "my-net")
    text = (here / "my_net.py").read_text()
    (here / "my_net.py").write_text(
        text.replace("        fine = self.fine(images)\n", "        fine = images[:, 5]\n")
    )
    found = call("test", "my-net", "--plugin", "my_net.py")
    line = (here / "my_net.py").read_text().splitlines().index("        fine = images[:, 5]") + 1
    assert found.exit_code == 1
    assert f"(my_net.py:{line})" in found.stdout and "IndexError" in found.stdout


CARELESS = {
    "logits of another size": (
        "size limits",
        {
            "size_minimum=4": "size_multiple=2, size_minimum=4",
            "size=images.shape[-2:]": "size=[side // 2 * 2 for side in images.shape[-2:]]",
        },
    ),
    "weights that are not read": (
        "weights are loaded strictly",
        {
            "build=build": 'build=build,\n            pretrained=("imagenet", "none")',
        },
    ),
    "weights of another network": (
        "weights are loaded strictly",
        {
            "    return MyNet(": "    network = MyNet(",
            'request.options["width"])\n': 'request.options["width"])\n'
            "    if request.weights_file is not None:\n"
            "        tensors = torch.load(request.weights_file, weights_only=True)\n"
            "        network.load_state_dict(tensors, strict=False)\n"
            "    return network\n",
            "build=build": 'build=build,\n            pretrained=("imagenet", "none")',
        },
    ),
}


@pytest.mark.parametrize("fault", CARELESS)
def test_carelessness_is_found_in_what_it_concerns_alone(here: Path, fault: str) -> None:
    concerned, changes = CARELESS[fault]
    call("new", "model", "my-net")
    text = (here / "my_net.py").read_text()
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    (here / "my_net.py").write_text(text)
    result = json.loads(call("test", "my-net", "--plugin", "my_net.py", "--json").stdout)
    wrong = [item for item in result["properties"] if item["state"] == "wrong"]
    assert [item["property"].startswith(concerned) for item in wrong] == [True], wrong


def test_several_are_tried_one_after_the_other_and_summed_up(here: Path) -> None:
    call("new", "model", "good-net")
    call("new", "model", "bad-net")
    text = (here / "bad_net.py").read_text()
    (here / "bad_net.py").write_text(
        text.replace("family=", 'small={"width": 4},\n            family=').replace("12_097", "12_098")
    )
    arguments = ["good-net", "bad-net", "--small", "--plugin", "good_net.py", "--plugin", "bad_net.py"]
    found = call("test", *arguments)
    assert found.exit_code == 1
    *_, blank, good, bad = found.stdout.splitlines()
    assert blank.strip() == "" and "good-net" in good and "18 of 19 properties hold, 1 not applicable" in good
    assert 'bad-net {"width": 4}' in bad and "1 wrong" in bad
    # In both tables, and once more where the fault is told with its place and fix.
    assert found.stdout.count("declared parameter counts are true") == 3
    assert "  fix: declare the number that is there" in found.stdout
    data = json.loads(call("test", *arguments, "--json").stdout)
    assert [(each["name"], each["options"], each["passed"]) for each in data] == [
        ("good-net", {}, True),
        ("bad-net", {"width": 4}, False),
    ]


def test_all_are_those_declared_by_name_each_under_its_small_options() -> None:
    registry = load_registry()
    built = {name: model for name, model in registry.models.items() if model.build}
    found = chosen(["u-kan", "all", "smp:unet/efficientnet-lite0"], {}, True, registry)
    assert [declared.name for declared, _ in found] == [
        "u-kan",
        *(name for name in built if name != "u-kan"),
        "smp:unet/efficientnet-lite0",
    ]
    assert all(options == declared.small for declared, options in found)
    assert chosen(["u-kan"], {}, False, registry) == [(built["u-kan"], {})]
    ((_, options),) = chosen(["hiformer"], {"dlf": "paper"}, True, registry)
    assert options == {"variant": "tiny", "dlf": "paper"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["u-net", "u-kan", "--options", "{}"], "of one plugin"),
        (["all", "--options", "{}"], "of one plugin"),
        (["runner:mmseg", "u-net"], "tried alone"),
        (["runner:mmseg", "--small"], "architecture's"),
        (["u-net", "--device", "cuda"], "for runner:NAME"),
        ([], "Missing argument"),
    ],
)
def test_words_that_do_not_go_together_are_refused(arguments: list[str], said: str) -> None:
    refused = call("test", *arguments)
    assert refused.exit_code == 2 and said in " ".join(refused.output.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["u-nt"],
        ["u-net", "u-nt"],
        ["u-net", "--options", "{"],
        ["u-net", "--options", "[]"],
        ["u-net", "--options", '{"wdth": 4}'],
    ],
)
def test_what_cannot_be_tried_ends_with_2(arguments: list[str]) -> None:
    error = call("test", *arguments).exception
    assert isinstance(error, BenchError) and error.exit_code == 2 and (error.fix or error.cause)
