"""One search: discrete and continuous steps by turns, on fresh copies in every round.

Source: paper A.5, Algorithm 1. Beyond it, the candidates of a round are compared on common random numbers,
and what the last rounds ended with is compared once more on copies that none of it was chosen on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hybridcert.attacks.budget import AttackSettings
from hybridcert.attacks.continuous import random_points, steps
from hybridcert.attacks.gradient_edits import gradient_moves
from hybridcert.attacks.objective import Estimate, Round, Subject
from hybridcert.attacks.random_edits import distinct, filled, random_moves, single_moves
from hybridcert.attacks.space import Candidate, Space
from hybridcert.certificate.directed import Floats
from hybridcert.sampling.scores import Sensitivity
from hybridcert.sampling.streams import RowStreams, Stage

_LAST = 4
"""So many inputs that each restart ended with are compared, on as many copies as its rounds had together."""
_MEMORY = 0.8
"""Share of the derivatives estimated so far that counts beside a new estimate."""
_DIRECTIONS = 4
"""Random directions that are tried beside an estimated derivative."""


class Search:
    """The search for one input within one budget.

    Parameters
    ----------
    subject : Subject
    space : Space
    settings : AttackSettings
    seed : int >= 0
    """

    def __init__(self, subject: Subject, space: Space, settings: AttackSettings, *, seed: int) -> None:
        self._subject, self._space, self._settings = subject, space, settings
        clean = {name: array[None] for name, array in space.clean.row.items()}
        [self._key] = RowStreams(seed).keys(clean)
        self._slopes: Floats = np.zeros_like(space.ball.clean)
        self._known: tuple[Candidate, Sensitivity] | None = None
        self._spent = 0
        self._round = self._opened(0)
        self.trace: list[float] = []

    @property
    def calls(self) -> int:
        """Copies that the classifier was asked about."""
        return self._spent + self._round.calls

    def run(self, start: Candidate) -> Candidate:
        """Return the best input found, by fresh copies that also compare ``start``."""
        ended, won = [start], False
        for restart in range(self._settings.restarts):
            if not won:
                found, won = self._rounds(start, restart)
                ended += found[-_LAST:]
        return self._best([c for i, c in enumerate(ended) if all(c is not other for other in ended[:i])])

    def _best(self, options: Sequence[Candidate]) -> Candidate:
        """Return the best option by the copies of fresh rounds, added up."""
        if len(options) == 1:
            return options[0]
        first = self._settings.restarts * (self._settings.iterations + 1)
        rounds = min(len(self.trace), self._settings.iterations) if self._subject.smoothed else 1
        total = np.zeros((len(options), 2))
        for block in range(first, first + rounds):
            self._turn(block)
            total += self._round.estimates([option.row for option in options])
        return options[_least([Estimate(*map(float, sums)) for sums in total])]

    def _rounds(self, start: Candidate, restart: int) -> tuple[list[Candidate], bool]:
        """Return what each round of one restart ended with, and whether the label was lost for good."""
        settings, quiet = self._settings, 0
        enough = settings.patience if self._subject.smoothed else 1
        first = restart * (settings.iterations + 1)
        incumbent = self._begin(start, first, anew=restart > 0)
        self._slopes = np.zeros_like(self._space.ball.clean)
        ended = [incumbent]
        for block in range(first + 1, first + 1 + settings.iterations):
            self._turn(block)
            [estimate] = self._round.estimates([incumbent.row])
            quiet = quiet + 1 if self._round.won else 0
            if quiet >= enough or not self._movable:
                self.trace.append(estimate.score)
                break
            incumbent, estimate = self._improve(incumbent, estimate, self._stream(block))
            self.trace.append(estimate.score)
            if incumbent is not ended[-1]:
                ended.append(incumbent)
        return ended, quiet >= enough

    @property
    def _movable(self) -> bool:
        return bool(self._space.moving) or self._space.ball.radius > 0.0

    def _begin(self, start: Candidate, block: int, *, anew: bool) -> Candidate:
        """Return the best of some random inputs within the budget and, the first time, the given start."""
        self._turn(block)
        stream, space = self._stream(block), self._space
        options = [] if anew else [start]
        for _ in range(max(1, self._settings.candidates // 4) if anew or space.moving else 0):
            option = space.clean if anew else start
            for name in space.moving:
                option = space.with_edit(option, name, filled(space.edits[name], option.edits[name], stream))
            if anew and space.ball.radius > 0.0:
                [point] = random_points(space.ball, space.ball.clean, stream, 1)
                option = space.with_point(option, point)
            options.append(option)
        return options[_least(self._round.estimates([option.row for option in options]))]

    def _improve(
        self, incumbent: Candidate, estimate: Estimate, stream: np.random.Generator
    ) -> tuple[Candidate, Estimate]:
        """Make the steps of one round."""
        for name in self._space.moving:
            options = self._edited(name, incumbent, stream)
            incumbent, estimate = self._chosen(incumbent, estimate, options, stream)
        if self._space.ball.radius > 0.0:
            guided = self._subject.method == "gradient"
            for _ in range(self._settings.steps if guided else 1):
                options = self._shifted(incumbent, stream)
                incumbent, estimate = self._chosen(incumbent, estimate, options, stream)
        return incumbent, estimate

    def _chosen(
        self,
        incumbent: Candidate,
        estimate: Estimate,
        options: Sequence[Candidate],
        stream: np.random.Generator,
    ) -> tuple[Candidate, Estimate]:
        """Return the best option if it is better; where answers cannot tell, drift to one as good."""
        if not options:
            return incumbent, estimate
        options = self._shortlisted(options, stream)
        found = self._round.estimates([option.row for option in options])
        best = _least(found)
        if found[best] < estimate:
            return options[best], found[best]
        if found[best] == estimate and self._subject.method == "decision":
            ties = [i for i, other in enumerate(found) if other == estimate]
            drift = ties[int(stream.integers(len(ties)))]
            return options[drift], found[drift]
        return incumbent, estimate

    def _shortlisted(self, options: Sequence[Candidate], stream: np.random.Generator) -> Sequence[Candidate]:
        """Return the best of too many options by a quarter of the copies; equally good ones are drawn."""
        most = self._settings.candidates
        if len(options) <= most or not self._subject.smoothed:
            return options
        quarter = -(-self._settings.copies // 4)
        found = self._round.estimates([option.row for option in options], copies=quarter)
        order = sorted(stream.permutation(len(options)).tolist(), key=lambda i: found[i])
        return [options[i] for i in sorted(order[:most])]

    def _edited(self, name: str, incumbent: Candidate, stream: np.random.Generator) -> list[Candidate]:
        """Return the options of a discrete step."""
        edits, state, most = self._space.edits[name], incumbent.edits[name], self._settings.candidates
        found = None
        if self._subject.method == "gradient":
            slopes = self._sensitivity(incumbent).discrete.get(name)
            if slopes is not None:
                slopes = self._space.slopes_in_play(name, slopes)
                found = distinct(edits, state, gradient_moves(edits, state, slopes, stream, most), most)
        else:
            found = single_moves(edits, state, self._settings.exhaustive)
        if found is None:
            found = distinct(edits, state, random_moves(edits, state, stream, most), most)
        return [self._space.with_edit(incumbent, name, edited) for edited in found]

    def _shifted(self, incumbent: Candidate, stream: np.random.Generator) -> list[Candidate]:
        """Return the options of a continuous step."""
        ball, point = self._space.ball, incumbent.point
        if self._subject.method == "gradient":
            slopes = self._space.features.gathered(self._sensitivity(incumbent).continuous)
            points = list(steps(ball, point, slopes))
            if not points:  # a derivative of 0 says nothing
                points = list(random_points(ball, point, stream, _DIRECTIONS))
        else:
            fresh = self._space.features.gathered(self._round.correlation(incumbent.row))
            self._slopes = _MEMORY * self._slopes + fresh
            points = list(steps(ball, point, self._slopes))
            points += random_points(ball, point, stream, _DIRECTIONS)
        return [self._space.with_point(incumbent, moved) for moved in points]

    def _sensitivity(self, candidate: Candidate) -> Sensitivity:
        """Return derivatives at a candidate, asked for once in a round."""
        if self._known is None or self._known[0] is not candidate:
            self._known = (candidate, self._round.sensitivity(candidate.row))
        return self._known[1]

    def _turn(self, block: int) -> None:
        """Go on to the copies of another round."""
        self._spent += self._round.calls
        self._round, self._known = self._opened(block), None

    def _opened(self, block: int) -> Round:
        return Round(self._subject, self._key, block=block, copies=self._settings.copies)

    def _stream(self, block: int) -> np.random.Generator:
        """Return the randomness of a round's moves, apart from that of its copies."""
        modalities = len(self._space.clean.row)
        return RowStreams.generator(self._key, stage=Stage.ATTACK, block=block, modality=modalities)


def _least(estimates: Sequence[Estimate]) -> int:
    return min(range(len(estimates)), key=lambda i: estimates[i])
