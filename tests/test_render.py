"""Every answer to every question, and every pair of answers, gives a clean project."""

import json
import re
import subprocess
import sys
import tomllib
from itertools import combinations, product
from pathlib import Path

import pytest
import yaml
from conftest import CHOICES, TEMPLATE, Render

# What users receive, whatever they answer: folder -> its files ...
COMMON = {
    ".": """
        .template.yaml .editorconfig .gitattributes .gitignore .pre-commit-config.yaml LICENSE
        README.md device.toml pyproject.toml requirements-torch-cpu.txt requirements-torch.txt
        train.py
    """,
    ".vscode": "extensions.json settings.json",
    "PACKAGE": """
        __init__.py __main__.py criterion.py hyperparameters.py loaders.py models.py optimizer.py
        train.py utils.py visualize.py
    """,
    "PACKAGE/cli": """
        __init__.py arguments.py benchmark.py best_model.py check_data.py compare.py doctor.py
        doctor_checks.py evaluate.py export.py find_batch_size.py find_lr.py flags.py library.py
        main.py predict.py report.py runs.py serve.py train.py
    """,
    "PACKAGE/engine": """
        __init__.py batching.py bootstrap.py builds.py calibration.py checkpoint.py comparison.py
        conformal.py data.py data_report.py device.py distributed.py errors.py evaluation.py
        export_check.py exporting.py files.py initial_weights.py inputs.py intervals.py judgement.py
        loading.py machine.py metric_log.py mlflow_tracker.py model_card.py model_server.py
        onnx_session.py profiler.py pt2_session.py quantization.py result_table.py run.py
        run_directory.py run_records.py seeding.py server_files.py server_metrics.py server_page.py
        serving.py settings.py signals.py speed.py splits.py tensorboard_tracker.py tracker.py
        tracking.py wandb_tracker.py workers.py
    """,
    "PACKAGE/report": """
        __init__.py base.html.jinja compare.html.jinja compared_curves.py curves.py data.html.jinja
        data_figures.py macros.html.jinja page.html.jinja page.py style.py
    """,
    "tests": """
        conftest.py test_check_data.py test_debug.py test_device.py test_doctor.py
        test_find_batch_size.py test_find_lr.py test_initial_weights.py test_layout.py
        test_loading.py test_report.py test_settings.py test_splits.py test_steps.py test_task.py
        test_training.py test_workers.py
    """,
}
# ... and what hangs on an answer. Questions that are not here change no file's name.
BY_ANSWER: dict[str, dict[str, dict[str, str]]] = {
    "task": {
        "image_classification": {
            "PACKAGE/vision": """
                __init__.py batches.py cache.py class_metrics.py class_weights.py classifiers.py
        decoding.py digits.py endpoint.py exported.py folders.py headers.py image_folder.py
        images.py inspection.py listing.py mirroring.py normalize.py pictures.py pixels.py
        pretrained.py reference.py resizing.py sources.py threads.py
            """,
            "PACKAGE/report": "best_classes.py calibration.py confusion.py mistakes.py panels.py",
        },
        "semantic_segmentation": {
            "PACKAGE/vision": """
        __init__.py cache.py decoding.py endpoint.py exported.py headers.py images.py inspection.py
        legend.py listing.py mask_files.py mask_folder.py masks.py normalize.py overlays.py pairs.py
        pictures.py pixels.py pretrained.py reference.py resizing.py run_lengths.py scenes.py
        segmenters.py sources.py survey.py threads.py
            """,
            "PACKAGE/report": "class_bars.py confusion.py panels.py",
        },
        "object_detection": {
            "PACKAGE/vision": """
        __init__.py annotations.py box_folder.py boxes.py cache.py coco.py decoding.py detectors.py
        endpoint.py exported.py headers.py image_files.py images.py inspection.py listing.py
        matching.py metrics.py pairs.py pictures.py pixels.py pretrained.py reference.py resizing.py
        scenes.py scoring.py sources.py threads.py voc.py yolo.py yolo_config.py
            """,
            "PACKAGE/report": "boxes.py class_bars.py panels.py precision_recall.py",
        },
        "tabular_regression": {
            "PACKAGE/tabular": """
                __init__.py class_metrics.py class_names.py class_weights.py columns.py dates.py
                delimited.py embedded.py encodings.py endpoint.py exported.py inspection.py
                layers.py layout.py metrics.py number_columns.py number_texts.py reference.py
                splits.py table_files.py table_splits.py tables.py
            """,
            "PACKAGE/report": """
                best_classes.py calibration.py confusion.py mistakes.py probabilities.py tables.py
            """,
        },
        "text_classification": {
            "PACKAGE/text": """
                __init__.py class_metrics.py class_names.py class_weights.py delimited.py
                encodings.py endpoint.py exported.py folders.py inspection.py layout.py listing.py
                names.py reading.py reference.py table_files.py table_splits.py tables.py texts.py
                vocabulary.py
            """,
            "PACKAGE/report": "best_classes.py calibration.py confusion.py mistakes.py tables.py",
        },
    },
    "ci": {
        "github": {".github/workflows": "ci.yml"},
        "gitlab": {".": ".gitlab-ci.yml"},
        "none": {},
    },
    "extras": {
        "none": {},
        "all": {
            ".": """
                .devcontainer.json .dockerignore AGENTS.md Dockerfile README.ko.md explore.ipynb
            """,
            ".vscode": "launch.json",
        },
    },
}
# One question takes several answers at once; see test_extras.py for each of them alone.
ANSWERS = CHOICES | {"extras": ["none", "all"]}

PACKAGE = "my_torch_project"  # as the default name gives it

PAIRS = {
    frozenset([(one, first), (other, second)])
    for one, other in combinations(ANSWERS, 2)
    for first, second in product(ANSWERS[one], ANSWERS[other])
}


def pairs_in(answers: dict[str, str]) -> set[frozenset[tuple[str, str]]]:
    return {frozenset(pair) for pair in combinations(answers.items(), 2)}


def pairwise() -> list[dict[str, str]]:
    """Few sets of answers in which every pair of answers occurs: greedy, always the same ones."""
    every = [dict(zip(ANSWERS, answers, strict=True)) for answers in product(*ANSWERS.values())]
    missing, chosen = set(PAIRS), list[dict[str, str]]()
    while missing:
        best = max(every, key=lambda answers: len(pairs_in(answers) & missing))
        chosen.append(best)
        missing -= pairs_in(best)
    return chosen


def name_of(answers: dict[str, str]) -> str:
    return "-".join(answers.values())


@pytest.fixture(params=pairwise(), ids=name_of)
def answers(request: pytest.FixtureRequest) -> dict[str, str]:
    chosen: dict[str, str] = request.param
    return chosen


def files_of(project: Path) -> set[str]:
    return {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()}


def paths_in(folders: dict[str, str]) -> list[str]:
    return [
        Path(folder.replace("PACKAGE", PACKAGE), name).as_posix()
        for folder, names in folders.items()
        for name in names.split()
    ]


def run(project: Path, *command: str) -> str:
    """What a failing command says; nothing if it succeeds."""
    outcome = subprocess.run(
        [sys.executable, "-m", *command], cwd=project, capture_output=True, text=True, check=False
    )
    return outcome.stdout + outcome.stderr if outcome.returncode else ""


def test_every_pair_of_answers_is_rendered() -> None:
    assert set.union(*map(pairs_in, pairwise())) == PAIRS
    assert len(pairwise()) < 40


def test_exactly_these_files(rendered: Render, answers: dict[str, str]) -> None:
    expected = paths_in(COMMON)
    for question, files in BY_ANSWER.items():
        assert set(files) == set(ANSWERS[question])
        expected += paths_in(files[answers[question]])

    assert sorted(files_of(rendered(**answers))) == sorted(expected)


def test_no_folder_is_empty(rendered: Render, answers: dict[str, str]) -> None:
    folders = [path for path in rendered(**answers).rglob("*") if path.is_dir()]

    assert [folder for folder in folders if not any(folder.iterdir())] == []


def test_nothing_of_the_template_is_left(rendered: Render, answers: dict[str, str]) -> None:
    project = rendered(**answers)

    for name in files_of(project):
        text = (project / name).read_text("utf-8")
        assert "cookiecutter" not in name
        if not name.endswith(".jinja"):
            assert not re.search(r"{{|{%|{#|cookiecutter\.", text), name
        assert text.endswith("\n") and not text.endswith("\n\n"), name
        assert not re.search(r"[ \t]$|\r", text, re.MULTILINE), name


def test_every_file_parses(rendered: Render, answers: dict[str, str]) -> None:
    project = rendered(**answers)

    for name in files_of(project):
        text = (project / name).read_text("utf-8")
        match Path(name).suffix:
            case ".py":
                compile(text, name, "exec")
            case ".toml":
                tomllib.loads(text)
            case ".yml" | ".yaml":
                assert isinstance(yaml.safe_load(text), dict), name
            case ".json" | ".ipynb":
                json.loads(text)


def test_ruff_has_nothing_to_say(rendered: Render, answers: dict[str, str]) -> None:
    project = rendered(**answers)

    assert run(project, "ruff", "check", "--no-cache") == ""
    assert run(project, "ruff", "format", "--no-cache", "--check") == ""


@pytest.mark.parametrize("slug", ["a", "x" * 50])
@pytest.mark.parametrize("task", CHOICES["task"])
def test_ruff_has_nothing_to_say_whatever_the_name(rendered: Render, task: str, slug: str) -> None:
    project = rendered(task=task, project_slug=slug, extras="all")

    assert run(project, "ruff", "check", "--no-cache") == ""
    assert run(project, "ruff", "format", "--no-cache", "--check") == ""


@pytest.mark.parametrize("task", CHOICES["task"])
def test_types_are_right(
    rendered: Render, task: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Once a task: no other answer changes any Python."""
    cache = tmp_path_factory.getbasetemp() / "mypy-cache"

    assert run(rendered(task=task), "mypy", "--cache-dir", str(cache)) == ""


def test_only_the_task_changes_the_python(rendered: Render, answers: dict[str, str]) -> None:
    project, other = rendered(**answers), rendered(task=answers["task"])

    for name in files_of(other):
        if name.endswith((".py", ".jinja")):
            assert (project / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("task", CHOICES["task"])
def test_files_of_a_task_arrive_as_they_are(rendered: Render, task: str) -> None:
    project, templates = rendered(task=task), TEMPLATE / "templates"
    shared = (templates / task / "shared.txt").read_text("utf-8").splitlines()
    sources = {
        path.relative_to(templates / task): path for path in templates.glob(f"{task}/**/*.py")
    }
    wing = json.loads((TEMPLATE / "cookiecutter.json").read_text("utf-8"))["_wings"][task]
    for line in shared:
        place = f"{wing}/{line[5:]}" if line.startswith("wing/") else line
        sources[Path(place)] = templates / "shared" / line

    for name, source in sources.items():
        folder = project if name.parent.name == "tests" else project / PACKAGE
        expected = source.read_text("utf-8").replace("{{ cookiecutter.__package }}", PACKAGE)
        assert (folder / name).read_text("utf-8") == expected


@pytest.mark.parametrize("license_id", CHOICES["license"])
def test_license_names_the_author(rendered: Render, license_id: str) -> None:
    project = rendered(license=license_id, author_name="Jane Żak")

    metadata = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    assert re.search(
        r"Copyright (\(c\) )?20\d\d,? Jane Żak", (project / "LICENSE").read_text("utf-8")
    )
    assert metadata["license"].removeprefix("LicenseRef-") == license_id


def test_every_dependency_has_tested_bounds(rendered: Render, answers: dict[str, str]) -> None:
    pyproject = tomllib.loads((rendered(**answers) / "pyproject.toml").read_text("utf-8"))

    requirements = pyproject["project"]["dependencies"] + pyproject["dependency-groups"]["dev"]
    for extra in pyproject["project"].get("optional-dependencies", {}).values():
        requirements += extra
    for requirement in [*requirements, *pyproject["build-system"]["requires"]]:
        assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+,<[0-9.]+", requirement), requirement
    assert "torch>=2.14,<2.16" in requirements


def test_a_misspelt_question_or_answer_is_an_error_here(rendered: Render) -> None:
    with pytest.raises(KeyError):
        rendered(tsk="image_classification")
    with pytest.raises(ValueError, match="task is one of"):
        rendered(task="image_clasification")
