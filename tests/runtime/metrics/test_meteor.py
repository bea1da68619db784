"""METEOR: nltk's own, on a WordNet that is found and verified, wherever it lies."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import pytest

from ftc.runtime.metrics.texts import meteor_scores, meteor_tokens, wordnet_findings
from ftc.spec.diagnostics import Refusal
from ftc.spec.documents.companion_settings import WordnetSettings
from ftc.spec.storage import wordnet
from ftc.spec.storage.wordnet import WORDNET_FILES, find_wordnet, wordnet_places
from tests.support.metric_values import answer_metric, answer_statistics
from tests.support.wordnets import SYNSETS, write_wordnet

nltk = pytest.importorskip("nltk")

WANTED = ["A man bought one car.", "The dogs ran quickly.\nMen said so.", "(none)", "", "the cable, he said"]
GOT = ["The guy bought one auto.", "Rapidly ran the hound. Guys told it", "", "nothing", "THE GUY states"]
DEBIAN = Path("/usr/share/wordnet")


@pytest.fixture
def only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder in which WordNet is looked for, as nltk's data are laid out."""
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    monkeypatch.setattr(wordnet, "_home", lambda: tmp_path / "nobody")
    monkeypatch.setattr(wordnet, "_of_the_system", list)
    monkeypatch.setattr(wordnet, "_DEBIAN", tmp_path / "wordnet")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    return tmp_path


def settled() -> WordnetSettings:
    found = find_wordnet()
    assert found is not None
    return WordnetSettings(release=found.release, sha256=found.sha256)


def test_it_is_nltks_on_the_data_that_nltk_finds(only_here: Path) -> None:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.translate.meteor_score import meteor_score

    write_wordnet(only_here / "corpora" / "wordnet")
    with pytest.warns(UserWarning, match="multilingual"):
        reader = WordNetCorpusReader(nltk.data.find("corpora/wordnet"), None)
    tokens = [([meteor_tokens(want)], meteor_tokens(got)) for want, got in zip(WANTED, GOT, strict=True)]
    scores = [meteor_score(*pair, wordnet=reader) for pair in tokens]
    for stream in reader._data_file_map.values():
        stream.close()
    assert settled().release == "3.0"
    assert meteor_scores(WANTED, GOT, settled()) == scores
    assert scores[0] > 0.75, "two of five matches are synonyms"
    assert scores[2:4] == [0, 0]
    mean = math.fsum(scores) / len(scores)
    assert answer_metric("meteor", WANTED, GOT, settled()) == mean
    assert answer_statistics("meteor", WANTED, GOT, settled()).observed == pytest.approx(mean, rel=1e-15)


def test_a_line_is_a_sentence() -> None:
    """For one sentence that is what HF's `evaluate` gives nltk."""
    assert meteor_tokens("He won't pay $3.50.") == ["He", "wo", "n't", "pay", "$", "3.50", "."]
    assert meteor_tokens("One. Two.\n\nThree.") == ["One.", "Two", ".", "Three", "."]


def test_it_is_looked_for_where_nltk_and_debian_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {str(place) for place in wordnet_places()} == {
        *(str(Path(root) / "corpora" / name) for root in nltk.data.path for name in ("wordnet", "wordnet.zip")),
        str(DEBIAN),
    }
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    assert wordnet_places()[0] == tmp_path / "corpora" / "wordnet"


def test_a_zip_and_debians_folder_do_as_well_and_what_lacks_a_file_does_not(only_here: Path) -> None:
    folder = write_wordnet(only_here / "corpora" / "wordnet")
    unpacked = find_wordnet()
    assert unpacked is not None
    with zipfile.ZipFile(only_here / "corpora" / "wordnet.zip", "w") as archive:
        for name in WORDNET_FILES:
            archive.write(folder / name, f"wordnet/{name}")
    (folder / "verb.exc").unlink()
    packed = find_wordnet()
    assert packed is not None
    assert (packed.place.name, packed.sha256) == ("wordnet.zip", unpacked.sha256)
    packed.place.write_bytes(packed.place.read_bytes()[:300])
    assert find_wordnet() is None
    write_wordnet(only_here / "wordnet")
    assert getattr(find_wordnet(), "place", None) == only_here / "wordnet"


def test_other_files_are_not_the_plans(only_here: Path) -> None:
    folder = write_wordnet(only_here / "wordnet")
    (folder / "lexnames").unlink()
    planned = settled()
    assert not list(wordnet_findings(planned.sha256))
    (folder / "verb.exc").write_text("", encoding="ascii")
    (found,) = wordnet_findings(planned.sha256)
    assert found.code == "FTC636"
    assert settled().sha256[:12] in found.notes[0]
    other = planned.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(Refusal, match="FTC636"):
        meteor_scores(WANTED, GOT, other)
    write_wordnet(only_here / "corpora" / "wordnet", {**SYNSETS, "adv": ()})
    write_wordnet(only_here / "nobody" / "nltk_data" / "corpora" / "wordnet")
    assert settled() != planned, "the first place counts"
    assert find_wordnet(planned.sha256) is not None, "a run finds its own in any place"
    assert not list(wordnet_findings(planned.sha256))


@pytest.mark.slow
@pytest.mark.skipif(find_wordnet() is None, reason="apt-get install wordnet-base")
def test_the_real_wordnet_gives_what_nltks_own_examples_say() -> None:
    wanted = "It is a guide to action that ensures that the military will forever heed Party commands"
    got = "It is a guide to action which ensures that the military always obeys the commands of the party"
    assert meteor_scores([wanted, "this is a cat"], [got, "non matching hypothesis"], settled()) == [
        pytest.approx(0.6944, abs=5e-5),
        0.0,
    ]
