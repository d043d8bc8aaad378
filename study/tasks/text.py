"""Character-level language model of any text; default: CPython's help (pydoc_data.topics)."""

from __future__ import annotations

import functools
import hashlib
import math
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from study.interfaces import PARTS, Batch, Part, TaskFacts, require
from study.records import StudyError
from study.tasks.shared.classes import ClassEachStep
from study.tasks.shared.losses import cross_entropy

OTHER = "\ufffd"  # stands in exports for the symbol that characters out of the alphabet share


class Text(ClassEachStep):
    """x [T, symbols]: one-hot characters, y [T]: the next character; scored in bits per character.

    `path`: a file, a folder (its files that match `pattern`, concatenated by name) or null for the
    default text. The `symbols` most frequent characters of the training part have a symbol each;
    all others share one more. The text is split in order: the last shares are validation and test.

    Training is truncated backpropagation through time with carried states: the training part,
    treated as a ring with a new random start for each pass, is cut into `batch` streams, and each
    update reads the next `steps` characters of each. Validation and test are up to `examples`
    evenly spaced, disjoint windows of `window` characters, read from zero states.
    """

    def __init__(
        self,
        *,
        path: str | None,
        pattern: str,
        encoding: str,
        steps: int,
        window: int,
        examples: int,
        symbols: int,
        validation: float,
        test: float,
        lag: int | None,
        solved: float,
    ) -> None:
        for key, value, least in (
            ("steps", steps, 2),
            ("window", window, 2),
            ("examples", examples, 2),
            ("symbols", symbols, 2),
        ):
            require(value >= least, "text", key, f"at least {least}", value)
        for key, share in (("validation", validation), ("test", test)):
            require(0 < share < 1, "text", key, "a share above 0 and below 1", share)
        require(
            validation + test < 1,
            "text",
            "test",
            f"a share below {1 - validation:g}, what validation leaves",
            test,
        )
        require(lag is None or lag > 0, "text", "lag", "greater than 0 or null", lag)
        require(solved > 0, "text", "solved", "bits per character above 0", solved)
        self.path, self.pattern, self.encoding = path, pattern, encoding
        self.steps, self.window, self.examples, self.symbols = steps, window, examples, symbols
        self.shares, self.lag, self.solved = {"validation": validation, "test": test}, lag, solved

    # --- reading ----------------------------------------------------------------------------------

    def load(self) -> None:
        text = self.read()
        later = [round(share * len(text)) for share in self.shares.values()]
        ends = [len(text) - sum(later), len(text) - later[1], len(text)]
        starts = [0, *ends[:2]]
        for part, start, end in zip(PARTS, starts, ends, strict=True):
            if end - start <= self.window:
                raise StudyError(
                    f"task.path: {self.source_name()} leaves {end - start} characters to {part};"
                    f" more than task.window = {self.window} are needed"
                )
        self.alphabet = "".join(
            symbol for symbol, _ in Counter(text[: ends[0]]).most_common(self.symbols)
        )
        if len(self.alphabet) < 2:
            raise StudyError(
                f"task.path: the training part of {self.source_name()} is one repeated character;"
                " there is nothing to predict"
            )
        number = {symbol: place for place, symbol in enumerate(self.alphabet)}
        coded = torch.tensor([number.get(symbol, len(self.alphabet)) for symbol in text])
        self.coded = {
            part: coded[start:end] for part, start, end in zip(PARTS, starts, ends, strict=True)
        }
        self.fixed = {part: self._windows(symbols) for part, symbols in self.coded.items()}

    def read(self) -> str:
        if self.path is None:
            from pydoc_data.topics import topics

            return "\n".join(topics.values())
        path = Path(self.path)
        if not path.exists():
            raise StudyError(f"task.path: there is no file or folder {self.path}")
        files = (
            sorted(each for each in path.rglob(self.pattern) if each.is_file())
            if path.is_dir()
            else [path]
        )
        if not files:
            raise StudyError(f"task.pattern: no file in {self.path} matches {self.pattern!r}")
        return "\n".join(self._decoded(file) for file in files)

    def _decoded(self, file: Path) -> str:
        try:
            return file.read_text(encoding=self.encoding)
        except UnicodeDecodeError as error:
            raise StudyError(
                f"task.encoding: {file} is not {self.encoding} text (byte {error.start}); name its"
                " encoding, such as latin-1"
            ) from error
        except LookupError as error:
            raise StudyError(
                f"task.encoding: Python does not know the encoding {self.encoding!r}"
            ) from error
        except OSError as error:
            raise StudyError(f"task.path: {file} cannot be read ({error.strerror})") from error

    def source_name(self) -> str:
        return "the default text" if self.path is None else Path(self.path).name

    def data_hash(self) -> str:
        digest = hashlib.blake2b(self.alphabet.encode(), digest_size=8)
        for part in PARTS:
            digest.update(self.coded[part].numpy().tobytes())
        return digest.hexdigest()

    # --- examples ---------------------------------------------------------------------------------

    def pieces(self, batch: int) -> int:
        """Number of updates in one pass over the training part."""
        count = (len(self.coded["train"]) - 1) // batch // self.steps
        if count == 0:
            length = len(self.coded["train"])
            raise StudyError(
                f"task.path: {self.source_name()} trains on {length} characters, too few for"
                f" batch={batch} streams of task.steps={self.steps}"
            )
        return count

    def carries(self, update: int, batch: int) -> bool:
        return update % self.pieces(batch) != 0

    def sample(self, stream: Callable[..., torch.Generator], update: int, batch: int) -> Batch:
        train, pieces = self.coded["train"], self.pieces(batch)
        number, piece = divmod(update, pieces)
        begin = int(torch.randint(len(train), (1,), generator=stream(number)))
        streams = begin + torch.arange(batch)[:, None] * (len(train) // batch)
        return self._batch(
            train[(streams + piece * self.steps + torch.arange(self.steps + 1)) % len(train)]
        )

    def split(self, part: Part) -> Batch:
        return self.fixed[part]

    def _windows(self, coded: Tensor) -> Batch:
        count = min((len(coded) - 1) // self.window, self.examples)
        starts = torch.linspace(0, len(coded) - 1 - self.window, count, dtype=torch.float64).long()
        return self._batch(coded[starts[:, None] + torch.arange(self.window + 1)])

    def _batch(self, coded: Tensor) -> Batch:
        """Inputs and targets from coded characters [B, T + 1]."""
        return Batch(
            x=torch.nn.functional.one_hot(coded[:, :-1], len(self.alphabet) + 1).float(),
            y=coded[:, 1:].contiguous(),
        )

    # --- facts and losses -------------------------------------------------------------------------

    @functools.cached_property
    def entropy(self) -> float:
        """Entropy of the training part's character frequencies, in nats."""
        shares = torch.bincount(self.coded["train"]).double() / len(self.coded["train"])
        return float(-(shares * shares.clamp(min=1e-300).log()).sum())

    @property
    def facts(self) -> TaskFacts:
        sizes = "/".join(f"{len(self.coded[part])}" for part in PARTS)
        return TaskFacts(
            inputs=len(self.alphabet) + 1,
            outputs=len(self.alphabet) + 1,
            choices=("steps",),
            steps=self.steps,
            lag=self.lag if self.lag is not None else self.steps,
            every_step=True,
            loss="cross-entropy over all steps, nats",
            metric="bits per character",
            higher_is_better=False,
            baseline_loss=self.entropy,
            baseline=self.entropy / math.log(2),
            solved=self.solved,
            split=(
                f"chronological, {sizes} characters; scored on {len(self.fixed['validation'].x)}"
                f" windows of {self.window}, each from a zero state"
            ),
            source=(
                f"pydoc_data.topics of CPython {sys.version.split()[0]}"
                if self.path is None
                else Path(self.path).name
            ),
            licence="PSF License" if self.path is None else "the reader's own data",
        )

    def signature(self) -> dict[str, Any]:
        return {
            "input": {"kind": "text", "alphabet": self.alphabet, "encoding": self.encoding},
            "output": {"kind": "classes", "classes": [*self.alphabet, OTHER], "name": "next"},
        }

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(outputs, batch.y).double().mean(-1) / math.log(2)
