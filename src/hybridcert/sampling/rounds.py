"""One stage of sampling: rounds of looks, handed out as tasks, counted and stored as they come back."""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from hybridcert.errors import ModelError, StoreError
from hybridcert.sampling.allocation import affordable
from hybridcert.sampling.blocks import BLOCK, Block, Outcome, Task, Work
from hybridcert.sampling.distinct import DistinctInputs
from hybridcert.sampling.executors.executor import Session
from hybridcert.sampling.outcome import Counts, Report, Sampling, SamplingProgress
from hybridcert.sampling.stopping import StoppingRule, Verdict
from hybridcert.sampling.store import Entry, RunStore
from hybridcert.sampling.streams import Stage

TASK = 5_000
"""Copies in a task at most, one block at least: what is lost when a worker dies; fewer where blocks are."""

_HOPELESS = 3
"""So many inputs that fail before anything succeeds mean that the classifier does not work at all."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What all stages of a run share.

    Attributes
    ----------
    work : Work
    inputs : DistinctInputs
    session : callable
        Returns the open session of the executor; workers start when there is work for them.
    store : RunStore or None
    kernel : str
        Names the noise in the store.
    attempts : int
        How often a block is drawn before its input is given up.
    failures : dict of distinct input to reason
        Grows from stage to stage.
    """

    work: Work
    inputs: DistinctInputs
    session: Callable[[], Session]
    store: RunStore | None
    kernel: str
    attempts: int
    failures: dict[int, str]

    def stored(self, stage: Stage) -> dict[tuple[str, int], tuple[int, Counts]]:
        """Return what the store holds of a stage: (input, block) → (copies, cells)."""
        if self.store is None:
            return {}
        found = self.store.load(int(stage)).items()
        return {(name, block): entry for (name, kernel, block), entry in found if kernel == self.kernel}


class Rounds:
    """The state of one stage: arrays over distinct inputs, in their order of appearance."""

    def __init__(
        self,
        drawing: Drawing,
        stage: Stage,
        rule: StoppingRule,
        *,
        budget: int | None = None,
        report: Report | None = None,
    ) -> None:
        self._drawing, self._stage, self._rule = drawing, stage, rule
        self._budget, self._report = budget, report
        self._rows = drawing.inputs.rows
        self._schedule = rule.schedule(self._rows)
        cells = drawing.work.tally.cells(len(drawing.work.classifier.classes_))
        rows, looks = self._schedule.shape
        self._path = np.zeros((rows, looks, cells), dtype=np.int64)
        self._reached = np.full(rows, -1, dtype=np.intp)
        self._verdicts = np.full(rows, Verdict.GO_ON, dtype=np.int8)
        self._going = np.ones(rows, dtype=np.bool_)
        self._going[list(drawing.failures)] = False
        self._blocks = np.zeros(rows, dtype=np.int64)
        self._waiting = np.zeros(rows, dtype=np.int64)
        self._counted = np.zeros(rows, dtype=np.int64)
        self._attempts: collections.Counter[tuple[int, int]] = collections.Counter()
        self._stored = drawing.stored(stage)
        self._calls = self._from_store = self._saved = self._repeated = self._tickets = 0
        self._flying: dict[int, list[Block]] = {}
        self._inputs_done = self._certified = 0
        self._stop(np.flatnonzero(~self._going), 0)
        self._started = time.perf_counter()

    def run(self) -> None:
        """Draw round by round."""
        before = np.zeros(len(self._rows), dtype=np.int64)
        for look in range(self._schedule.shape[1]):
            copies = self._schedule[:, look] - before
            active = np.flatnonzero(self._going & (copies > 0))
            if self._budget is not None and active.size:
                active = self._affordable(look, active, copies)
            if look:
                self._path[:, look] = self._path[:, look - 1]
            if active.size:
                self._round(look, active, copies)
            before = self._schedule[:, look]
        self._tell()

    def _affordable(self, look: int, active: npt.NDArray[np.intp], copies: Counts) -> npt.NDArray[np.intp]:
        assert self._budget is not None
        counts = self._path[active, look - 1] if look else np.zeros_like(self._path[active, 0])
        outlook = self._rule.outlook(look - 1, self._rows[active], counts)
        chosen = affordable(outlook.copies, outlook.urgency, self._budget - self._calls)
        self._stop(active[~chosen], self._drawn(look - 1)[active[~chosen]])
        return active[chosen]

    def _round(self, look: int, active: npt.NDArray[np.intp], copies: Counts) -> None:
        """Draw the copies up to one look for some inputs, and ask the rule about them.

        Where this is the only look, inputs are done one by one as their copies come back; else all at the
        end of the round, for rules decide faster about many at once.
        """
        self._waiting[active] = copies[active]
        self._draw(look, self._needed(look, active, copies))
        self._judge(look, active[self._going[active]])

    def _judge(self, look: int, ready: npt.NDArray[np.intp]) -> None:
        """Ask the rule about inputs that have all copies of a look."""
        self._reached[ready] = look
        verdicts = self._rule.verdicts(look, self._rows[ready], self._path[ready, look])
        self._verdicts[ready] = verdicts
        stopped = ready[verdicts != Verdict.GO_ON]
        self._stop(stopped, self._drawn(look)[stopped])
        self._certified += int((verdicts == Verdict.CERTIFIED).sum())

    def _stop(self, rows: npt.NDArray[np.intp], drawn: Counts | int) -> None:
        """Let inputs draw no more than they have."""
        self._going[rows] = False
        self._inputs_done += rows.size
        self._saved += int((self._schedule[rows, -1] - drawn).sum())

    def _drawn(self, look: int) -> Counts:
        """Copies of every input up to a look; none before the first."""
        return self._schedule[:, look] if look >= 0 else np.zeros_like(self._schedule[:, 0])

    def _needed(self, look: int, active: npt.NDArray[np.intp], copies: Counts) -> Iterator[Block]:
        """Yield the blocks that are not stored; count those that are."""
        most = self._drawing.work.block_copies
        for row in active:
            for start in range(0, int(copies[row]), most):
                block = Block(int(row), int(self._blocks[row]), min(most, int(copies[row]) - start))
                self._blocks[row] += 1
                cells = self._from_the_store(block)
                if cells is None:
                    yield block
                else:
                    self._count(look, block, cells)
                    self._from_store += block.copies

    def _from_the_store(self, block: Block) -> Counts | None:
        name = self._drawing.inputs.names[block.row]
        found = self._stored.pop((name, block.number), None)
        if found is None:
            return None
        copies, cells = found
        if copies != block.copies or len(cells) != self._path.shape[2]:
            raise StoreError(
                f"the store holds {copies} copies of input {name}, {self._stage.name.lower()} block "
                f"{block.number}, where {block.copies} are drawn: it belongs to another run, choose "
                "another directory"
            )
        return cells

    def _draw(self, look: int, blocks: Iterator[Block]) -> None:
        """Keep the workers busy until all blocks are counted or their inputs have failed."""
        again: collections.deque[list[Block]] = collections.deque()
        most = self._drawing.work.block_copies
        groups = _groups(blocks, TASK if most == BLOCK else most)
        while True:
            while not self._flying or len(self._flying) < self._session.capacity:
                group = again.popleft() if again else next(groups, None)
                if group is None:
                    break
                group = [block for block in group if self._going[block.row]]
                if group:
                    self._session.submit(self._task(group))
            if not self._flying:
                return
            again.extendleft(self._settle(look, self._session.next()))
            self._tell()

    @property
    def _session(self) -> Session:
        return self._drawing.session()

    def _task(self, group: list[Block]) -> Task:
        """Return a task with the rows that it needs and nothing else."""
        rows = list(dict.fromkeys(block.row for block in group))
        number = {row: n for n, row in enumerate(rows)}
        taken = self._drawing.inputs.rows[rows]
        self._tickets += 1
        self._flying[self._tickets] = group
        return Task(
            number=self._tickets,
            inputs={name: values[taken] for name, values in self._drawing.inputs.batch.items()},
            keys=tuple(self._drawing.inputs.keys[row] for row in rows),
            blocks=tuple(dataclasses.replace(block, row=number[block.row]) for block in group),
            stage=self._stage,
        )

    def _settle(self, look: int, outcome: Outcome) -> Iterable[list[Block]]:
        """Count and store what came back; return what has to be drawn again.

        A group that failed is halved, and nobody is blamed: what fails alone has failed.
        """
        blocks = self._flying.pop(outcome.task.number)
        if outcome.cells is not None:
            self._store(blocks, outcome.cells)
            for block, cells in zip(blocks, outcome.cells, strict=True):
                self._count(look, block, cells)
            if self._schedule.shape[1] == 1:
                rows = {block.row for block in blocks}
                done = [row for row in sorted(rows) if self._going[row] and not self._waiting[row]]
                if done:
                    self._judge(look, np.array(done, dtype=np.intp))
            return []
        assert outcome.error is not None
        self._repeated += sum(block.copies for block in blocks)
        if len(blocks) > 1:
            half = len(blocks) // 2
            return [blocks[half:], blocks[:half]]
        return [] if self._given_up(blocks[0], outcome.error) else [blocks]

    def _count(self, look: int, block: Block, cells: Counts) -> None:
        self._path[block.row, look] += cells
        self._waiting[block.row] -= block.copies
        self._counted[block.row] += block.copies
        self._calls += block.copies

    def _store(self, blocks: Iterable[Block], cells: Counts) -> None:
        if self._drawing.store is None:
            return
        names, kernel, stage = self._drawing.inputs.names, self._drawing.kernel, int(self._stage)
        self._drawing.store.add(
            Entry(names[block.row], kernel, stage, block.number, block.copies, counted)
            for block, counted in zip(blocks, cells, strict=True)
        )

    def _given_up(self, block: Block, reason: str) -> bool:
        """Note a failed attempt; end the input after the last one."""
        key = (block.row, block.number)
        self._attempts[key] += 1
        if self._attempts[key] < self._drawing.attempts:
            return False
        failures = self._drawing.failures
        if block.row not in failures:
            failures[block.row] = reason
            self._stop(np.array([block.row], dtype=np.intp), int(self._counted[block.row]))
            if self._drawing.store is not None:
                name, attempts = self._drawing.inputs.names[block.row], self._attempts[key]
                self._drawing.store.fail(name, int(self._stage), block.number, attempts, reason)
        everything = len(failures) == len(self._rows)
        if everything or (len(failures) >= _HOPELESS and not self._calls):
            which = "every input" if everything else f"each of the first {len(failures)} inputs"
            raise ModelError(f"the classifier failed on {which}: {reason}")
        return True

    def _tell(self) -> None:
        if self._report is None:
            return
        at_most, saved = int(self._schedule[:, -1].sum()), self._saved
        if self._budget is not None and self._budget < at_most:  # what the budget withholds is not saved
            at_most, saved = self._budget, max(0, saved - (at_most - self._budget))
        self._report(
            SamplingProgress(
                stage=self._stage,
                inputs=len(self._rows),
                inputs_done=self._inputs_done,
                certified=self._certified,
                failed=len(self._drawing.failures),
                calls=self._calls,
                calls_from_store=self._from_store,
                calls_saved=saved,
                calls_at_most=at_most,
                seconds=time.perf_counter() - self._started,
            )
        )

    def result(self) -> Sampling:
        """Return the outcome for every row, equal rows alike."""
        failed = list(self._drawing.failures)
        self._path[failed] = 0
        self._reached[failed] = -1
        self._verdicts[failed] = Verdict.GO_ON
        drawn = np.where(
            self._reached >= 0, self._schedule[np.arange(len(self._rows)), np.maximum(self._reached, 0)], 0
        )
        at = self._drawing.inputs.position
        return Sampling(
            counts=self._path[:, -1][at],
            samples=drawn[at],
            path=self._path[at],
            looks=self._reached[at],
            verdicts=self._verdicts[at],
            failures={
                row: self._drawing.failures[number]
                for row, number in enumerate(at.tolist())
                if number in self._drawing.failures
            },
            calls=self._calls,
            calls_at_most=int(self._schedule[:, -1].sum()),
            calls_from_store=self._from_store,
            calls_repeated=self._repeated,
        )


def _groups(blocks: Iterator[Block], most: int) -> Iterator[list[Block]]:
    """Put blocks together, in their order, as long as they are ``most`` copies at most."""
    group: list[Block] = []
    size = 0
    for block in blocks:
        if group and size + block.copies > most:
            yield group
            group, size = [], 0
        group.append(block)
        size += block.copies
    if group:
        yield group
