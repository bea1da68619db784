"""Before the first step, everything that the plan rests on is compared with what is there; then files are watched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from ftc.runtime.execution.execute import Inputs
from ftc.runtime.execution.file_stamps import FileStamps
from ftc.runtime.metrics.texts import data_findings
from ftc.spec.canonical import file_digest
from ftc.spec.companions import COMPANIONS
from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.facts import EnvironmentFacts, FileFacts
from ftc.spec.documents.lineage import ADAPTER_WEIGHTS
from ftc.spec.documents.lockfile import LockedSplit, is_weight_file
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.probes import planned_probes
from ftc.spec.documents.stream_images import first_images
from ftc.spec.documents.stream_shards import Shard, digest_of, read_shards
from ftc.spec.documents.streams import open_stream
from ftc.spec.rewards import judge_of
from ftc.spec.storage.model_files import stray_files
from ftc.spec.writers import writer_card

__all__ = ["verify", "verify_inputs", "verify_key", "verify_model", "verify_parent", "verify_some"]


_STRAY = "it is not in the plan, and loading would read it"


def verify(plan: Plan, inputs: Inputs, folder: Path | None, stamps: FileStamps) -> None:
    """Compares model files, token streams, packages and disk with the plan; the files are watched from now on.

    Args:
        plan: The plan.
        inputs: Where its files lie.
        folder: Where this process writes; None where it doesn't.
        stamps: Watches the files.

    Raises:
        Refusal: Something differs; one finding for each thing, with both values.
    """
    findings = [
        *_keys(plan, inputs),
        *(found := [*_inputs(plan, inputs, stamps)]),
        *([] if found else _pixels(plan, inputs)),
        *_packages(plan, inputs.environment),
        *(_disk(plan, folder) if folder else ()),
    ]
    if findings:
        raise Refusal(findings)


def verify_key(plan: Plan) -> None:
    """Checks whether the key of the judge of test answers is there, where it needs one.

    Raises:
        Refusal: It isn't (FTC649).
    """
    if findings := [*_keys(plan, None)]:
        raise Refusal(findings)


def _keys(plan: Plan, inputs: Inputs | None) -> Iterator[Diagnostic]:
    """Keys that are not there: of judges, and of the server that writes answers.

    Those of sampled answers matter only where this process writes some.
    """
    sampling, wanted = plan.settings.train.sampling, dict[str | None, str]()
    if (judge := plan.settings.eval.judge) is not None:
        wanted[judge.key_env] = "judge"
    if sampling is not None and inputs is not None and inputs.asks_judge:
        if (judge := judge_of(sampling.rewards)) is not None:
            wanted[judge.key_env] = "judge"
        if writer_card(sampling.writer).is_server and sampling.writer_memory is None:
            wanted[inputs.writer.key] = "answer server"
    for name, whose in wanted.items():
        if name is not None and not os.environ.get(name):
            help = f"set it in the environment of `ftc`, as `export {name}=…`; don't put it into a file"
            yield diagnostic("FTC649", f"the key of the {whose} is not in the environment: `{name}`", help=help)


def verify_inputs(plan: Plan, inputs: Inputs) -> None:
    """Compares model files and token streams alone with the plan.

    Raises:
        Refusal: Something differs; one finding for each thing, with both values.
    """
    if findings := [*_inputs(plan, inputs, FileStamps())]:
        raise Refusal(findings)


def verify_some(plan: Plan, inputs: Inputs, splits: Collection[str], stamps: FileStamps) -> None:
    """Compares model files and the token streams of some splits with the plan; they are watched from now on.

    Raises:
        Refusal: Something differs; one finding for each thing, with both values.
    """
    streams = {name: expected for name, expected in plan.lock.data.splits.items() if name in splits}
    findings = [
        *_model_files(plan, inputs.model_folder, stamps),
        *_splits(streams, inputs.streams_folder, stamps),
    ]
    if findings:
        raise Refusal(findings)


def verify_model(plan: Plan, inputs: Inputs) -> None:
    """Compares model files alone with the plan.

    Raises:
        Refusal: Something differs; one finding for each thing, with both values.
    """
    if findings := [*_model_files(plan, inputs.model_folder, FileStamps())]:
        raise Refusal(findings)


def verify_parent(plan: Plan, inputs: Inputs) -> None:
    """Compares the adapter that a run goes on from with its plan: it is the base of what the run learned.

    Raises:
        Refusal: It differs, or isn't here.
    """
    if findings := [*_parent(plan, inputs, FileStamps())]:
        raise Refusal(findings)


def _inputs(plan: Plan, inputs: Inputs, stamps: FileStamps) -> Iterator[Diagnostic]:
    yield from _model_files(plan, inputs.model_folder, stamps)
    yield from _splits(plan.lock.data.splits, inputs.streams_folder, stamps)
    for probe in planned_probes(plan.settings, inputs.streams_folder):
        if probe.found != probe.wanted:
            yield _stream(probe.name, "its files are missing or differ from the plan")
    yield from data_findings(plan.settings.eval)
    for card in COMPANIONS:
        if (pinned := card.pinned(plan.settings)) is not None:
            folder = inputs.companions.get(card.role)
            yield from _beside(f"the {card.title}", pinned.base, pinned.files, folder, stamps)
    yield from _parent(plan, inputs, stamps)


def _parent(plan: Plan, inputs: Inputs, stamps: FileStamps) -> Iterator[Diagnostic]:
    """Differences of the adapter that is trained further."""
    if (parent := plan.settings.model.parent) is not None and parent.continues:
        folder, run = inputs.companions.get("parent"), f"run `{parent.run_id}`, from which this one goes on"
        if folder is None:
            yield _model_file(ADAPTER_WEIGHTS, f"there is no `{parent.adapter}`", of=run)
        else:
            for name, why in _changed_files(parent.files, folder, stamps):
                yield _model_file(name, why, of=run)


def _model_files(plan: Plan, folder: Path, stamps: FileStamps) -> Iterator[Diagnostic]:
    """Differences of the model's files; weights may lie in files of other bytes as long as every tensor is the same."""
    found = dict(_changed_files(plan.lock.model.files, folder, stamps))
    if any(map(is_weight_file, found)) and _content(folder, stamps) == plan.lock.model.content_sha256:
        found = {name: why for name, why in found.items() if not is_weight_file(name)}
    stray = (name for name in stray_files(folder, plan.lock.model.files) if name != "adapter_config.json")
    found |= dict.fromkeys(stray, _STRAY)
    return iter([_model_file(name, why) for name, why in found.items()])


def _content(folder: Path, stamps: FileStamps) -> str | None:
    """Digest of the tensors that loading would read; None where they can't be read."""
    from ftc.runtime.artifacts.tensor_files import content_digest, read_tensors

    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    try:
        names = [whole.name] if whole.exists() else sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        if any(Path(name).name != name for name in names):
            return None  # an index that leads out of the folder
        for name in names:
            stamps.digest(folder / name, f"`{name}` of the model", file_digest)
        return content_digest({key: one for name in names for key, one in read_tensors(folder / name).items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):  # an index of any shape
        return None


def _beside(
    what: str, base: str, files: Mapping[str, FileFacts], folder: Path | None, stamps: FileStamps
) -> Iterator[Diagnostic]:
    """Differences of the files of a model beside the base model."""
    if folder is None:
        yield _model_file(base, "its folder is missing", of=what)
        return
    found = dict(_changed_files(files, folder, stamps))
    found |= dict.fromkeys(stray_files(folder, files), _STRAY)
    for name, why in found.items():
        yield _model_file(name, why, of=what)


def _changed_files(files: Mapping[str, FileFacts], folder: Path, stamps: FileStamps) -> Iterator[tuple[str, str]]:
    for name, expected in sorted(files.items()):
        path = folder / name
        if not path.is_file():
            yield name, "it is missing"
        elif path.stat().st_size != expected.size:
            yield name, f"it has {path.stat().st_size:,} bytes, the plan says {expected.size:,}"
        elif (found := stamps.digest(path, f"`{name}` of the model", file_digest)) != expected.sha256:
            yield name, f"its sha256 is {found}, the plan says {expected.sha256}"


def _pixels(plan: Plan, inputs: Inputs) -> Iterator[Diagnostic]:
    """Whether the model's processor makes the same pixels of the first images as when the plan was made."""
    vision = plan.settings.model.vision
    if vision is None or vision.pixels_sha256 is None:
        return
    from ftc.runtime.models.pixels import FolderPixels, pixel_digest

    images = first_images(open_stream(inputs.streams_folder / "train.arrow"))
    pixels = FolderPixels(inputs.streams_folder, inputs.model_folder, vision.processor_options)
    try:
        found = pixel_digest(pixels.of(images))
    except Refusal as refusal:
        yield from refusal.diagnostics
        return
    if found != vision.pixels_sha256:
        yield diagnostic(
            "FTC414",
            "the model's image processor makes other pixels than when the plan was made",
            notes=f"of the first {len(images)} images it makes {found[:12]}, the plan says {vision.pixels_sha256[:12]}",
            help="install the locked versions of transformers and Pillow, or plan again",
        )


def _splits(splits: Mapping[str, LockedSplit], folder: Path, stamps: FileStamps) -> Iterator[Diagnostic]:
    for split, expected in sorted(splits.items()):
        file, name = folder / f"{split}.arrow", f"the token stream of `{split}`"
        try:
            shards = read_shards(file)
            found = stamps.digest(file, name, _listed_digest if shards else _stream_digest)
        except OSError:
            yield _stream(split, "its file is missing or not an Arrow file")
        except ValueError as error:
            yield _stream(split, str(error))
        else:
            if found != expected.stream_sha256:
                yield _stream(split, f"its digest is {found}, the plan says {expected.stream_sha256}")
            else:
                for why in _changed_shards(shards, file.resolve().parent, name, stamps):
                    yield _stream(split, why)


def _stream_digest(path: Path) -> str:
    return open_stream(path).digest()


def _listed_digest(path: Path) -> str:
    return digest_of([one.sha256 for one in read_shards(path)])


def _changed_shards(shards: Sequence[Shard], folder: Path, of: str, stamps: FileStamps) -> Iterator[str]:
    """What is wrong with each shard; the list that names them is the plan's."""
    for shard in shards:
        try:
            found = stamps.digest(folder / shard.file, f"shard `{shard.file}` of {of}", _stream_digest)
        except (OSError, ValueError):
            yield f"its shard `{shard.file}` is missing, or no part of a token stream"
        else:
            if found != shard.sha256:
                yield f"the digest of its shard `{shard.file}` is {found}, its list says {shard.sha256}"


def _packages(plan: Plan, found: EnvironmentFacts) -> Iterator[Diagnostic]:
    locked = plan.lock.platforms[plan.platform]
    if plan.platform != found.platform:
        yield _package("platform", found.platform, f"the plan is for {plan.platform}")
        return
    if locked.python != found.python:
        yield _package("python", found.python, f"the lock says {locked.python}")
    for name in sorted(locked.packages.keys() | found.packages.keys()):
        want, have = locked.packages.get(name), found.packages.get(name)
        if want is not None and want.agrees_with(have):
            continue
        if have is None or want is None or want.version != have.version:
            yield _package(
                name, have.version if have else "absent", f"the lock says {want.version if want else 'absent'}"
            )
        else:
            yield _package(name, have.build, f"the lock says {want.build}")


def _disk(plan: Plan, folder: Path) -> Iterator[Diagnostic]:
    free = shutil.disk_usage(folder).free
    if free < plan.disk_bytes:
        yield diagnostic(
            "FTC631",
            f"the run may need {_mib(plan.disk_bytes)} on disk, but only {_mib(free)} are free",
            help="free disk space, or lower `train.keep_checkpoints`",
            path="train.keep_checkpoints",
        )


def _model_file(name: str, why: str, of: str = "") -> Diagnostic:
    return diagnostic(
        "FTC620",
        f"file `{name}` of {of} differs from the plan" if of else f"model file `{name}` differs from the plan",
        notes=why,
        help="restore the folder, or plan again",
    )


def _stream(split: str, why: str) -> Diagnostic:
    return diagnostic(
        "FTC621",
        f"the token stream of `{split}` differs from the plan",
        notes=why,
        help="plan again; it tokenizes the rows again",
    )


def _package(name: str, found: str, locked: str) -> Diagnostic:
    return diagnostic(
        "FTC622",
        f"`{name}` here: {found}; {locked}",
        help="install the locked version, or plan again and review the lock",
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
