"""Executors: the same counts from all of them, and every accident blamed on the task that it happened to."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from accidents import ROWS, Accidents, Wide, assert_same, outcomes, tasks_of, work_of
from classifiers import Sign, WordsAndNumbers
from hybridcert.adapters.dataframe import DataFrameClassifier
from hybridcert.errors import ModelError, ParameterError
from hybridcert.kernels.gaussian import GaussianNoise
from hybridcert.kernels.uniform import UniformReplacement
from hybridcert.sampling.blocks import ByLabel, described, perform
from hybridcert.sampling.executors.processes import Processes
from hybridcert.sampling.executors.serial import Serial
from tabular_data import small_table

TESTS = Path(__file__).parent


def tabular(encoded):
    """A trained pipeline on a real table, with its inputs and kernels."""
    table = small_table()
    X, y = table[["age", "colour", "shape"]].astype({"colour": str}), table["outcome"]
    pipeline = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["colour", "shape"]), remainder="passthrough"),
        LogisticRegression(max_iter=1000),
    ).fit(X, y)
    classifier = DataFrameClassifier(pipeline, X, encoded=encoded)
    return classifier, X[:8], {"categorical": UniformReplacement(0.5), "numeric": GaussianNoise(0.5)}


def words():
    """A classifier with more modalities, of which some have no noise."""
    X = {
        "text": np.array([[0, 1, 2], [0, 3, 4], [1, 0, 0]]),
        "tag": np.array([[0], [1], [0]]),
        "numeric": np.array([[0.3], [-0.1], [2.0]]),
        "other": np.zeros((3, 1)),
    }
    kernels = {"text": UniformReplacement(0.5), "numeric": GaussianNoise(1.0)}
    return WordsAndNumbers(), X, kernels


def sign():
    """The plainest classifier."""
    return Sign(), ROWS, {"numeric": GaussianNoise(0.5)}


CASES = {
    "sign": sign,
    "words": words,
    "encoded": lambda: tabular("auto"),
    "generic": lambda: tabular("never"),
}


@pytest.mark.parametrize("case", CASES)
def test_processes_give_the_cells_of_one_process(case):
    classifier, X, kernels = CASES[case]()
    work = work_of(classifier, **kernels)
    tasks = tasks_of(work, X)
    assert_same(outcomes(Serial(), work, tasks), outcomes(Processes(2), work, tasks))


def test_cells_do_not_depend_on_the_task_that_a_block_came_in():
    work = work_of(Sign())
    *single, every = tasks_of(work, ROWS)
    together = perform(work, every)
    for row, task in enumerate(single):
        block = dataclasses.replace(every.blocks[row], row=0)
        assert np.array_equal(
            perform(work, dataclasses.replace(task, blocks=(block,), stage=every.stage)),
            together[row : row + 1],
        )


def test_cells_count_every_copy_and_the_model_is_asked_once():
    work = work_of(Sign())
    *_, every = tasks_of(work, ROWS)
    cells = perform(work, every)
    assert cells.dtype == np.int64
    assert cells.shape == (len(ROWS), ByLabel().cells(2))
    assert cells.sum(axis=1).tolist() == [block.copies for block in every.blocks]
    assert work.classifier.calls == [every.copies]


def test_a_tally_sees_the_copies_and_the_row_they_come_from():
    classifier, X, kernels = words()
    work = dataclasses.replace(work_of(classifier, **kernels), tally=Changed())
    task = tasks_of(work, X)[0]
    cells = perform(work, task)
    assert cells.shape == (2, 3)
    assert cells.sum(axis=1).tolist() == [200, 100]
    assert (cells > 0).all()


@dataclasses.dataclass(frozen=True)
class Changed:
    """How many of the two noisy words changed: 0, 1, 2."""

    def cells(self, classes):
        return 3

    def __call__(self, answers, drawn, clean, *, classes):
        assert len(answers) == len(drawn["text"])
        return np.bincount((drawn["text"] != clean["text"]).sum(axis=1), minlength=3)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (lambda rows: np.full(rows, 2), r"indices in \[0, 1\], got 2"),
        (lambda rows: np.full(rows, -1), r"indices in \[0, 1\], got -1"),
        (lambda rows: np.zeros(rows), "class indices, got shape .* of float64"),
        (lambda rows: np.zeros(rows - 1, dtype=int), "must return 300 class indices, got shape"),
        (lambda rows: ["yes"] * rows, "class indices, got shape"),
    ],
)
def test_what_is_no_class_index_is_a_defect(answers, message):
    classifier = Sign()
    classifier.predict_encoded = lambda batch: answers(len(batch["numeric"]))
    work = work_of(classifier)
    with Serial().open(work) as session:
        session.submit(tasks_of(work, ROWS)[0])
        with pytest.raises(ModelError, match=message):
            session.next()


def test_a_defect_in_a_worker_ends_the_run_here():
    work = work_of(Accidents(accidents={4.0: "wrong"}))
    with pytest.raises(ModelError, match=r"indices in \[0, 1\], got 7"):
        outcomes(Processes(2), work, tasks_of(work, ROWS))
    assert not multiprocessing.active_children()


# accidents ------------------------------------------------------------------------------------------


def blamed(executor, accidents):
    """Return the errors by task, after checking that all other tasks have the cells that they should have."""
    work = work_of(Accidents(accidents=accidents))
    tasks = tasks_of(work, ROWS)[:-1]
    expected = outcomes(Serial(), work_of(Sign()), tasks)
    found = outcomes(executor, work, tasks)
    failed = {number: found.pop(number).error for number in accidents}
    assert_same(found, {number: expected[number] for number in found})
    return failed


def test_an_exception_is_the_outcome_of_its_task_alone():
    accidents = {2.0: "raise", 7.0: "memory"}
    expected = {2.0: "ValueError: row 2 is broken", 7.0: "MemoryError"}
    assert blamed(Serial(), accidents) == expected
    assert blamed(Processes(2), accidents) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_a_death_is_blamed_on_the_task_that_was_being_done(workers):
    accidents = {0.0: "exit", 3.0: "kill", 4.0: "kill", 11.0: "exit"}
    assert blamed(Processes(workers), accidents) == {
        0.0: "worker died (exit code 3)",
        3.0: "worker died (signal 9)",
        4.0: "worker died (signal 9)",
        11.0: "worker died (exit code 3)",
    }


def test_only_the_hanging_worker_is_ended():
    failed = blamed(Processes(2, timeout=1.5), {1.0: "hang"})
    assert failed == {1.0: "worker ended: no answer within 1.5 s"}


def test_a_task_that_failed_can_be_done_again():
    work = work_of(Accidents(accidents={0.0: "kill"}))
    tasks = tasks_of(work, ROWS)
    with Processes(1).open(work) as session:
        for _ in range(5):
            session.submit(tasks[0])
            assert session.next().error == "worker died (signal 9)"
        session.submit(tasks[1])
        assert session.next().error is None


def test_workers_killed_from_outside_cost_no_more_than_what_they_were_doing():
    work = work_of(Sign())
    tasks = tasks_of(work, ROWS, copies=20_000)
    expected = outcomes(Serial(), work, tasks)
    found, failures = {}, 0
    with Processes(2).open(work) as session:
        for task in tasks:
            session.submit(task)
        while len(found) < len(tasks):
            outcome = session.next()
            if outcome.error is not None:
                assert outcome.error == "worker died (signal 9)"
                failures += 1
                session.submit(outcome.task)
                continue
            found[outcome.task.number] = outcome
            if len(found) in (2, 5, 8):
                os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    assert failures <= 3
    assert_same(expected, found)


def keep_trying(session):
    """Hand in again whatever comes back, for ever."""
    while True:
        session.submit(session.next().task)


def test_workers_that_cannot_start_leave_the_work_to_one_that_can(tmp_path):
    """Only the first process that loads survives; when that dies too, nobody is left."""
    work = work_of(Accidents(diary=tmp_path, accidents={-1.0: "second"}))
    tasks = tasks_of(work, ROWS, copies=20_000)
    with Processes(2).open(work) as session:
        for round_of_tasks in range(4):
            for task in tasks:
                session.submit(task)
            found = {o.task.number: o for o in (session.next() for _ in tasks)}
            assert_same(found, outcomes(Serial(), work_of(Sign()), tasks))
            assert len(list(tmp_path.iterdir())) == 1, round_of_tasks
        session.submit(tasks[0])
        for worker in multiprocessing.active_children():
            os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(ParameterError, match=r"^worker died \(signal 9\) while starting: "):
            keep_trying(session)


def test_a_first_worker_that_dies_does_not_end_the_work_of_others(tmp_path):
    """One of two processes is killed while both start; the other does everything."""
    work = work_of(Accidents(diary=tmp_path))
    tasks = tasks_of(work, ROWS)
    with Processes(2).open(work) as session:
        for task in tasks:
            session.submit(task)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        found = {o.task.number: o for o in (session.next() for _ in tasks)}
    assert_same(found, outcomes(Serial(), work_of(Sign()), tasks))


def test_large_tasks_and_answers_do_not_wait_for_one_another():
    """Two megabytes each way, more than any pipe holds, with tasks in line."""
    work = dataclasses.replace(work_of(Sign()), tally=Wide())
    task = tasks_of(work, ROWS)[-1]
    wide = dataclasses.replace(
        task,
        inputs=task.inputs | {"unused": np.zeros((12, 20_000))},
        blocks=tuple(dataclasses.replace(block, copies=2) for block in task.blocks),
    )
    tasks = [dataclasses.replace(wide, number=number) for number in range(8)]
    found = outcomes(Processes(2), work, tasks)
    assert {outcome.cells.shape for outcome in found.values()} == {(12, 20_000)}


def test_asking_for_an_outcome_that_nobody_works_on_is_an_error():
    for executor in (Serial(), Processes(1)):
        with executor.open(work_of(Sign())) as session, pytest.raises(RuntimeError, match="outstanding"):
            session.next()


# starting -------------------------------------------------------------------------------------------


def diary_of(executor, folder, **changes):
    """What `load` wrote down, in every process, for a run of all tasks."""
    folder.mkdir()
    work = work_of(Accidents(diary=folder, **changes))
    outcomes(executor, work, tasks_of(work, ROWS))
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_load_is_called_once_in_each_process_that_asks(tmp_path):
    assert len(diary_of(Serial(), tmp_path / "serial")) == 1
    names = diary_of(Processes(2), tmp_path / "two")
    assert 1 <= len(names) <= 2
    assert len({name.split("-")[0] for name in names}) == len(names)
    assert str(os.getpid()) not in {name.split("-")[0] for name in names}


def test_a_worker_that_replaces_another_loads_anew(tmp_path):
    work = work_of(Accidents(diary=tmp_path, accidents={0.0: "kill", 1.0: "kill"}))
    assert (
        sum(o.error is not None for o in outcomes(Processes(1), work, tasks_of(work, ROWS)[:-1]).values())
        == 2
    )
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("executor", [Serial(), Processes(2)])
def test_a_classifier_that_cannot_load_ends_the_run(executor):
    work = work_of(Accidents(accidents={-1.0: "load"}))
    with pytest.raises(ModelError, match=r"^Accidents\.load\(\) failed with OSError: no weights here"):
        outcomes(executor, work, tasks_of(work, ROWS))


def test_workers_have_the_threads_that_they_are_given(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    entries = diary_of(Processes(1, threads=3), tmp_path / "diary", variables=variables)
    assert list(entries.values()) == ["3|3|3"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(
    ("visible", "num_gpus", "expected"),
    [(None, 2, {"0", "1"}), ("3,GPU-5a,7", 2, {"3", "GPU-5a"}), ("6", 1, {"6"}), ("", 0, {""})],
)
def test_each_worker_sees_its_gpu(visible, num_gpus, expected, tmp_path, monkeypatch):
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    work = work_of(Accidents(diary=tmp_path, variables=("CUDA_VISIBLE_DEVICES",)))
    with Processes(2, num_gpus=num_gpus).open(work) as session:
        for task in tasks_of(work, ROWS)[:2]:
            session.submit(task)
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
    assert {path.read_text() for path in tmp_path.iterdir()} == expected


def test_more_gpus_than_can_be_seen_are_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with (
        pytest.raises(ParameterError, match="num_gpus must be at most 2 where CUDA_VISIBLE_DEVICES is '0,1'"),
        Processes(num_gpus=3).open(work_of(Sign())),
    ):
        pass


def test_no_worker_starts_without_a_task():
    with Processes(2).open(work_of(Sign())) as session:
        assert session.capacity == 4
        assert not multiprocessing.active_children()


def test_a_classifier_that_cannot_be_pickled_is_refused_with_advice():
    classifier = Sign()
    classifier.hook = lambda: None
    with (
        pytest.raises(ModelError, match=r"cannot be pickled for other processes: .*executor=Serial\(\)"),
        Processes(2).open(work_of(classifier)),
    ):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers must be an integer >= 1, got 0"),
        ({"workers": True}, "workers must be an integer >= 1, got True"),
        ({"num_gpus": -1}, "num_gpus must be an integer >= 0, got -1"),
        ({"threads": 0.5}, "threads must be an integer >= 1, got 0.5"),
        ({"timeout": 0}, "timeout must be a finite number of seconds > 0, or None, got 0"),
        ({"timeout": float("inf")}, "timeout must be a finite number"),
        ({"timeout": "1"}, "timeout must be a finite number"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        Processes(**options)


def test_executors_are_descriptions():
    for executor in (Serial(), Processes(2, timeout=3.0)):
        assert pickle.loads(pickle.dumps(executor)) == executor


def test_errors_become_one_line():
    assert described(ValueError("first\nsecond")) == "ValueError: first"
    assert described(ValueError("\n  \n")) == "ValueError"
    assert described(KeyError("x")) == "KeyError: 'x'"


# whole scripts --------------------------------------------------------------------------------------

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
from accidents import Accidents, ROWS, outcomes, tasks_of, work_of
from hybridcert.errors import HybridCertError
from hybridcert.sampling.executors.processes import Processes

class Mine(Accidents):
    pass

def main(classifier):
    work = work_of(classifier)
    try:
        found = outcomes(Processes(2), work, tasks_of(work, ROWS))
    except HybridCertError as error:
        print(type(error).__name__, error)
    else:
        print("errors:", sorted(str(o.error) for o in found.values() if o.error))
"""


def script(folder, *lines):
    path = folder / "script_of_a_user.py"
    path.write_text(SCRIPT.format(tests=str(TESTS)) + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def output(*command):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout.strip()


def test_a_script_without_a_guard_works_where_its_classifier_is_imported(tmp_path):
    assert output(script(tmp_path, "main(Accidents())")) == "errors: []"


def test_a_script_without_a_guard_that_defines_its_classifier_is_told_of_the_guard(tmp_path):
    told = output(script(tmp_path, "main(Mine())"))
    assert told.startswith("ParameterError the classifier refers to the main script")
    assert 'under `if __name__ == "__main__":`, or use executor=Serial()' in told
    assert len(told.splitlines()) == 1


def test_a_script_with_a_guard_may_define_its_classifier(tmp_path):
    assert output(script(tmp_path, "if __name__ == '__main__':", "    main(Mine())")) == "errors: []"


def test_a_classifier_from_the_command_line_is_told_to_move_into_a_module(tmp_path):
    code = SCRIPT.format(tests=str(TESTS)) + "main(Mine())"
    told = output("-c", code)
    assert told.startswith("ModelError the classifier cannot be rebuilt in a worker: AttributeError: ")
    assert told.endswith("define it in a module that can be imported there, or use executor=Serial()")


def started(folder, accident):
    """Start a script that hangs in both workers; return it, its workers and where it writes."""
    diary = folder / "diary"
    diary.mkdir()
    path = script(
        folder,
        "import pathlib",
        f"accidents = dict.fromkeys(range(12), {accident!r})",
        f"main(Accidents(diary=pathlib.Path({str(diary)!r}), accidents=accidents))",
    )
    process = subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while len(list(diary.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    return process, [int(entry.name.split("-")[0]) for entry in diary.iterdir()]


def gone(pids):
    """Wait until no such process runs; fail if that never happens."""
    deadline = time.monotonic() + 30
    while pids := [pid for pid in pids if Path(f"/proc/{pid}").exists() and not _defunct(pid)]:
        assert time.monotonic() < deadline, f"still there: {pids}"
        time.sleep(0.01)


def _defunct(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


@needs_proc
def test_workers_end_with_a_killed_parent_in_the_middle_of_a_task(tmp_path):
    process, workers = started(tmp_path, "hang")
    process.kill()
    process.communicate()
    gone(workers)


@needs_proc
def test_an_interrupt_ends_all_workers_and_only_the_parent_speaks(tmp_path):
    process, workers = started(tmp_path, "hang")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, stderr = process.communicate(timeout=30)
    assert stderr.count("Traceback") == 1
    assert stderr.strip().endswith("KeyboardInterrupt")
    assert process.returncode == -signal.SIGINT
    gone(workers)


@needs_proc
def test_workers_are_deaf_to_interrupts(tmp_path):
    process, workers = started(tmp_path, "hang")
    for pid in workers:
        os.kill(pid, signal.SIGINT)
    time.sleep(0.2)
    assert all(Path(f"/proc/{pid}").exists() and not _defunct(pid) for pid in workers)
    process.kill()
    process.communicate()
    gone(workers)


def test_a_daemonic_process_is_told_that_it_cannot_have_workers(tmp_path):
    code = (
        "import multiprocessing",
        "if __name__ == '__main__':",
        "    process = multiprocessing.get_context('spawn').Process(target=main, args=(Accidents(),))",
        "    process.daemon = True",
        "    process.start()",
        "    process.join()",
    )
    told = output(script(tmp_path, *code))
    assert told.startswith("ParameterError executor=Processes() cannot be used in SpawnProcess-1, a daemonic")
