"""Character-level language model of any text; default: CPython's help (pydoc_data.topics)."""

from __future__ import annotations

import functools
import hashlib
import math
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from study.interfaces import PARTS, Batch, Part, TaskFacts, require
from study.machine.resources import memory
from study.records import StudyError
from study.tasks.shared.classes import ClassEachStep
from study.tasks.shared.encodings import BYTE_ORDER_MARKS
from study.tasks.shared.losses import cross_entropy

COVERED = 0.999  # share of the training text whose characters have a symbol, if symbols is null
SOLVED = 0.9  # of the bits of the best memoryless guess, if solved is null
UNICODE = sys.maxunicode + 1  # code points
RARE = 0.01  # share of a part without a symbol beyond which it is a warning

OTHER = "\ufffd"  # stands in exports for the symbol that characters out of the alphabet share
OTHERS = "other"  # the same where OTHER is in the alphabet, as in a text that was misread


class Text(ClassEachStep):
    """x [T, symbols]: one-hot characters, y [T]: the next character; scored in bits per character.

    `path`: a file, a folder (its files that match `pattern`, concatenated by name) or null for the
    default text. A character is a Unicode code point: an accent may be one of its own, an emoji
    several. The text is split in order: the last shares are validation and test.

    The `symbols` most frequent characters of the training part have a symbol each (null: as many as
    make up 99.9 % of it, at least 2); all others share one more. The loss is that of the symbols.
    Bits per character also count what it costs to name a character once the shared symbol is known:
    with n of the N characters left out of the training part, which are K different ones, -log2 of
    n / (N + K); for one that training never has, -log2 of K / (N + K) (1 if K = 0) / the number of
    code points that it never has. This is a code for any text, so that alphabets can be compared.
    y of such a character is its number in the order of frequency, beyond the last class.

    `solved` null: 0.9 of the bits that the better of two guesses needs on validation, from the
    frequencies of training and from those behind the previous character (Witten-Bell smoothing).

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
        symbols: int | None,
        validation: float,
        test: float,
        lag: int | None,
        solved: float | None,
    ) -> None:
        for key, value, least in (
            ("steps", steps, 2),
            ("window", window, 2),
            ("examples", examples, 2),
        ):
            require(value >= least, "text", key, f"at least {least}", value)
        require(symbols is None or symbols >= 2, "text", "symbols", "at least 2 or null", symbols)
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
        require(
            solved is None or solved > 0,
            "text",
            "solved",
            "bits per character above 0, or null",
            solved,
        )
        self.path, self.pattern, self.encoding = path, pattern, encoding
        self.steps, self.window, self.examples, self.symbols = steps, window, examples, symbols
        self.shares, self.lag, self.solved = {"validation": validation, "test": test}, lag, solved
        self.warnings: list[str] = []

    # --- reading ----------------------------------------------------------------------------------

    def load(self) -> None:
        self.warnings = []
        text = self.read()
        if not text:
            raise StudyError(f"task.path: {self.source_name()} is empty")
        later = [round(share * len(text)) for share in self.shares.values()]
        ends = [len(text) - sum(later), len(text) - later[1], len(text)]
        starts = [0, *ends[:2]]
        for part, start, end in zip(PARTS, starts, ends, strict=True):
            if end - start <= self.window:
                raise StudyError(
                    f"task.path: {self.source_name()} leaves {end - start} characters to {part};"
                    f" more than task.window = {self.window} are needed"
                )
        counts = Counter(text[: ends[0]]).most_common()
        if len(counts) < 2:
            raise StudyError(
                f"task.path: the training part of {self.source_name()} is one repeated character;"
                " there is nothing to predict"
            )
        self._choose(counts)
        coded = self._coded(text, "".join(character for character, _ in counts))
        self.coded = {
            part: coded[start:end] for part, start, end in zip(PARTS, starts, ends, strict=True)
        }
        self.windows = {part: self._windows(codes) for part, codes in self.coded.items()}
        self._check_memory()
        self.notes = self._describe(counts)

    def _choose(self, counts: list[tuple[str, int]]) -> None:
        """The alphabet, and the bits that name each further character of training, then others."""
        frequencies = np.array([count for _, count in counts])
        enough = np.searchsorted(frequencies.cumsum(), COVERED * frequencies.sum()) + 1
        symbols = max(int(enough), 2) if self.symbols is None else self.symbols
        self.alphabet = "".join(character for character, _ in counts[:symbols])
        left = torch.from_numpy(frequencies[symbols:]).double()
        total = max(int(left.sum()) + len(left), 1)
        escape = max(len(left), 1) / total / (UNICODE - len(counts))
        bits = -torch.cat([left / total, torch.tensor([escape]).double()]).log2()
        self.naming = torch.cat([torch.zeros(len(self.alphabet)), bits])

    def _coded(self, text: str, characters: str) -> Tensor:
        """Numbers of the text's characters; those that training never has share the last one."""
        table = np.full(UNICODE, len(characters))
        table[_points(characters)] = np.arange(len(characters))
        return torch.from_numpy(table[_points(text)])

    def _check_memory(self) -> None:
        width, count = len(self.alphabet) + 1, max(map(len, self.windows.values()))
        need = 4.0 * count * self.window * width
        if need > memory():
            raise StudyError(
                f"task.examples: {count} windows of task.window = {self.window} characters with"
                f" {width} symbols need {need / 1e9:.1f} GB, and this machine has"
                f" {memory() / 1e9:.1f} GB; fewer of any of them help"
            )

    def read(self) -> str:
        if self.path is None:
            from pydoc_data.topics import topics

            return "\n".join(topics.values())
        path = Path(self.path)
        if not path.exists():
            raise StudyError(f"task.path: there is no file or folder {self.path}")
        files = [path]
        if path.is_dir():
            try:
                files = sorted(each for each in path.rglob(self.pattern) if each.is_file())
            except (ValueError, NotImplementedError) as error:
                raise StudyError(
                    f"task.pattern: must be a pattern such as *.txt, got {self.pattern!r}"
                ) from error
        if not files:
            raise StudyError(f"task.pattern: no file in {self.path} matches {self.pattern!r}")
        found, misread = [], []
        for file in files:
            text, is_utf8 = self._decoded(file)
            found.append(text)
            misread += [file.name] * is_utf8
        if misread:
            more = f" and {len(misread) - 1} other files" if len(misread) > 1 else ""
            self.warnings.append(
                f"task.encoding: {misread[0]}{more} read as {self.encoding}, but valid UTF-8"
            )
        return "\n".join(found)

    def _decoded(self, file: Path) -> tuple[str, bool]:
        """(the file's text, whether UTF-8 would fit as well and give another one).

        All ends of lines become newlines; a byte order mark is left out.
        """
        try:
            data = file.read_bytes()
        except OSError as error:
            raise StudyError(f"task.path: {file} cannot be read ({error.strerror})") from error
        marked = next((name for bom, name in BYTE_ORDER_MARKS.items() if data.startswith(bom)), "")
        encoding = marked or self.encoding
        try:
            text = data.decode(encoding)
        except UnicodeError as error:
            where = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
            which = (
                "it is UTF-8" if _as_utf8(data) else "name its encoding, such as latin-1 or gb18030"
            )
            nul = ". It holds NUL bytes, as UTF-16 and files without text do" * (b"\0" in data)
            raise StudyError(
                f"task.encoding: {file} is not {encoding} text{where}; {which}{nul}"
            ) from error
        except (LookupError, TypeError) as error:
            raise StudyError(
                f"task.encoding: Python does not know the encoding {self.encoding!r}"
            ) from error
        if "\0" in text:
            raise StudyError(
                f"task.encoding: {file}, read as {encoding}, holds the character NUL (character"
                f" {text.index(chr(0))}): it is of another encoding, such as utf-16, or not text"
            )
        misread = not marked and _as_utf8(data) not in (None, text)
        return text.replace("\r\n", "\n").replace("\r", "\n"), misread

    def source_name(self) -> str:
        return "the default text" if self.path is None else Path(self.path).name

    def data_hash(self) -> str:
        digest = hashlib.blake2b(self.alphabet.encode("utf-8", "surrogatepass"), digest_size=8)
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
        """Made anew by each call: one-hot, the windows of a large alphabet take much memory."""
        return self._batch(self.windows[part])

    def _windows(self, coded: Tensor) -> Tensor:
        """Numbers [N, window + 1] of evenly spaced windows."""
        count = min((len(coded) - 1) // self.window, self.examples)
        starts = torch.linspace(0, len(coded) - 1 - self.window, count, dtype=torch.float64).long()
        return coded[starts[:, None] + torch.arange(self.window + 1)]

    def _batch(self, coded: Tensor) -> Batch:
        """Inputs and targets from coded characters [B, T + 1]."""
        x = torch.zeros(len(coded), coded.shape[1] - 1, len(self.alphabet) + 1)
        return Batch(
            x=x.scatter_(-1, self._symbols(coded)[:, :-1, None], 1), y=coded[:, 1:].contiguous()
        )

    def _symbols(self, coded: Tensor) -> Tensor:
        """Numbers of symbols: characters out of the alphabet share the last one."""
        return coded.clamp(max=len(self.alphabet))

    # --- facts and losses -------------------------------------------------------------------------

    @functools.cached_property
    def entropy(self) -> float:
        """Entropy of the training part's symbol frequencies, in nats."""
        train = self._symbols(self.coded["train"])
        shares = torch.bincount(train).double() / len(train)
        return float(-(shares * shares.clamp(min=1e-300).log()).sum())

    @functools.cached_property
    def guesses(self) -> tuple[float, float]:
        """Bits per character on validation: by frequency, and by the previous character."""
        train, windows = (
            self._symbols(codes) for codes in (self.coded["train"], self.windows["validation"])
        )
        count, x, y = len(self.alphabet) + 1, windows[:, :-1], windows[:, 1:]
        alone = (torch.bincount(train, minlength=count).double() + 1) / (len(train) + count)
        pairs, times = torch.unique(train[:-1] * count + train[1:], return_counts=True)
        place = torch.searchsorted(pairs, x * count + y).clamp(max=len(pairs) - 1)
        seen = torch.where(pairs[place] == x * count + y, times[place], 0)
        before = torch.bincount(train[:-1], minlength=count)[x]
        followers = torch.bincount(pairs // count, minlength=count)[x]
        behind = torch.where(
            before > 0, (seen + followers * alone[y]) / (before + followers).clamp(min=1), alone[y]
        )
        naming = self.naming[self.windows["validation"][:, 1:]].mean()
        by_frequency, by_previous = (
            float(naming - shares.log2().mean()) for shares in (alone[y], behind)
        )
        return by_frequency, by_previous

    def _describe(self, counts: list[tuple[str, int]]) -> list[str]:
        """Notes on the alphabet and the rule for solved; adds to `warnings`."""
        symbols = len(self.alphabet)
        left = {
            part: float((codes >= symbols).double().mean()) for part, codes in self.coded.items()
        }
        shares = ", ".join(f"{share:.2%} of {part}" for part, share in left.items())
        notes = [
            f"{symbols} symbols for the {len(counts)} characters of the training text, which are"
            f" Unicode code points; without a symbol, and counted at their full cost: {shares}"
        ]
        combining = sum(unicodedata.combining(character) > 0 for character, _ in counts)
        if combining:
            notes.append(f"{combining} of the characters are accents that belong to the one before")
        part = max(left, key=lambda part: left[part])
        if left[part] > RARE:
            help = "; more task.symbols may help" if left["train"] > 1 - COVERED else ""
            self.warnings.append(
                f"{left[part]:.1%} of the characters of {part} have no symbol of their own{help}"
            )
        best = min(self.guesses)
        if self.solved is None:
            notes.append(
                f"solved: {SOLVED * best:.2f} bits per character, {SOLVED:g} of what"
                f" {'the previous character' if best == self.guesses[1] else 'frequency'} alone"
                f" gives on validation, {best:.2f}"
            )
        elif self.solved >= best:
            self.warnings.append(
                f"task.solved = {self.solved:g} bits per character is met without a memory: the"
                f" frequencies of one or two characters give {best:.2f}; null asks for"
                f" {SOLVED:g} of that"
            )
        return notes

    @property
    def facts(self) -> TaskFacts:
        sizes = "/".join(f"{len(self.coded[part])}" for part in PARTS)
        return TaskFacts(
            inputs=len(self.alphabet) + 1,
            outputs=len(self.alphabet) + 1,
            choices=("steps", "symbols"),
            steps=self.steps,
            lag=self.lag if self.lag is not None else self.steps,
            every_step=True,
            loss="cross-entropy over all steps, nats",
            metric="bits per character",
            higher_is_better=False,
            baseline_loss=self.entropy,
            baseline=self.entropy / math.log(2) + float(self.naming[self.coded["train"]].mean()),
            solved=SOLVED * min(self.guesses) if self.solved is None else self.solved,
            split=(
                f"chronological, {sizes} characters; scored on {len(self.windows['validation'])}"
                f" windows of {self.window}, each from a zero state"
            ),
            source=(
                f"pydoc_data.topics of CPython {sys.version.split()[0]}"
                if self.path is None
                else Path(self.path).name
            ),
            licence="PSF License" if self.path is None else "the reader's own data",
            notes=tuple(self.notes),
            warnings=tuple(self.warnings),
        )

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return super().loss(outputs, replace(batch, y=self._symbols(batch.y)))

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        return super().step_loss(outputs, replace(batch, y=self._symbols(batch.y)), anchor)

    def signature(self) -> dict[str, Any]:
        other = OTHERS if OTHER in self.alphabet else OTHER
        return {
            "input": {"kind": "text", "alphabet": self.alphabet, "encoding": self.encoding},
            "output": {"kind": "classes", "classes": [*self.alphabet, other], "name": "next"},
        }

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        coded = cross_entropy(outputs, self._symbols(batch.y)).double().mean(-1) / math.log(2)
        return coded + self.naming.to(batch.y.device)[batch.y].mean(-1)


def _points(text: str) -> np.ndarray:
    """Code points of a text, [N]."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _as_utf8(data: bytes) -> str | None:
    """The text of bytes that are UTF-8 and no mere ASCII."""
    try:
        return None if data.isascii() else data.decode("utf-8")
    except UnicodeDecodeError:
        return None
