"""The Ray executor on real clusters of this machine: the counts of one process, whoever dies on the way."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from accidents import ROWS, Accidents, assert_same, outcomes, tasks_of, work_of
from classifiers import Sign
from hybridcert.errors import ModelError, ParameterError
from hybridcert.sampling.executors.ray import RayCluster
from hybridcert.sampling.executors.serial import Serial

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def two_nodes():
    """A connection to two nodes, each with one core and one GPU that Ray believes in; ends with the tests."""
    ray = pytest.importorskip("ray", reason="the extra hybridcert[ray] is not installed")
    from ray.cluster_utils import Cluster

    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(TESTS)  # workers unpickle classifiers of the tests
    cluster = Cluster()
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, num_gpus=1, include_dashboard=False)
        ray.init(address=cluster.address, log_to_driver=False)
        yield ray
    finally:
        ray.shutdown()
        cluster.shutdown()
        del os.environ["PYTHONPATH"]
        if path is not None:
            os.environ["PYTHONPATH"] = path


def diary(folder):
    """What `load` wrote down in each worker, by process."""
    return {int(path.name.split("-")[0]): path.read_text() for path in folder.iterdir()}


def test_two_nodes_give_the_cells_of_one_process_and_blame_accidents_exactly(two_nodes, tmp_path):
    """One test, so that one process of a parallel run has to start nodes."""
    assert len([node for node in two_nodes.nodes() if node["Alive"]]) == 2
    check_a_worker_killed_from_outside(tmp_path)
    check_accidents_of_all_kinds()


def check_a_worker_killed_from_outside(folder):
    """All tasks have the cells of one process, before and after; at most the task in work is lost."""
    work = work_of(Accidents(diary=folder))
    tasks = tasks_of(work_of(Sign()), ROWS, copies=20_000)
    expected = outcomes(Serial(), work_of(Sign()), tasks)
    again = itertools.cycle(tasks)
    running, failures, since = 0, 0, None
    with RayCluster().open(work) as session:
        # until one of two workers was killed, its replacement has started, and all tasks were done since
        while since is None or len(since) < len(tasks) or len(diary(folder)) < 3:
            for _ in range(session.capacity - running):
                session.submit(next(again))
            running = session.capacity - 1
            outcome = session.next()
            if outcome.error is not None:
                assert outcome.error.startswith("worker died (ActorDiedError")
                failures += 1
                continue
            assert_same({0: expected[outcome.task.number]}, {0: outcome})
            if since is not None:
                since.add(outcome.task.number)
            elif len(diary(folder)) == 2:
                os.kill(min(diary(folder)), signal.SIGKILL)
                since = set()
    assert failures <= 1


def check_accidents_of_all_kinds():
    """Exactly the tasks that accidents happen to fail; workers are replaced."""
    accidents = {1.0: "kill", 3.0: "raise", 5.0: "exit", 6.0: "kill", 8.0: "hang"}
    work = work_of(Accidents(accidents=accidents))
    tasks = tasks_of(work, ROWS)[:-1]
    found = outcomes(RayCluster(timeout=2.0), work, tasks)
    failed = {number: found.pop(number).error.split(":")[0] for number in accidents}
    death = "worker died (ActorDiedError"
    assert failed == {1: death, 3: "ValueError", 5: death, 6: death, 8: "worker ended"}
    expected = outcomes(Serial(), work_of(Sign()), tasks)
    assert_same(found, {number: expected[number] for number in found})


@pytest.mark.slow
def test_a_defect_ends_the_run_and_leaves_no_actor(two_nodes):
    work = work_of(Accidents(accidents={4.0: "wrong"}))
    with pytest.raises(ModelError, match=r"indices in \[0, 1\], got 7"):
        outcomes(RayCluster(), work, tasks_of(work, ROWS))
    while two_nodes.available_resources().get("CPU", 0.0) < 2.0:
        time.sleep(0.01)


@pytest.mark.slow
def test_workers_see_the_gpu_that_ray_gives_them(two_nodes, tmp_path):
    variables = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
    work = work_of(Accidents(diary=tmp_path, variables=variables))
    outcomes(RayCluster(workers=1, num_gpus=1), work, tasks_of(work, ROWS)[:2])
    assert list(diary(tmp_path).values()) == ["0|1"]


@pytest.mark.slow
def test_a_classifier_that_cannot_load_ends_the_run(two_nodes):
    work = work_of(Accidents(accidents={-1.0: "load"}))
    with pytest.raises(ModelError, match=r"^Accidents\.load\(\) failed with OSError: no weights here"):
        outcomes(RayCluster(), work, tasks_of(work, ROWS))


@pytest.mark.slow
def test_more_gpus_than_a_node_has_are_refused(two_nodes):
    with (
        pytest.raises(ParameterError, match=r"at most 1, what a node .* has, got 1\.5"),
        RayCluster(num_gpus=1.5).open(work_of(Sign())),
    ):
        pass


SCRIPT = """
import contextlib, sys
sys.path.insert(0, {tests!r})
from accidents import Accidents, ROWS, assert_same, outcomes, tasks_of, work_of
from hybridcert.errors import ParameterError
from hybridcert.sampling.executors.ray import RayCluster
from hybridcert.sampling.executors.serial import Serial

class Mine(Accidents):
    pass

work = work_of(Mine(accidents={{3.0: "kill"}}))
tasks = tasks_of(work, ROWS)[:-1]
found = outcomes(RayCluster(workers=2), work, tasks)
print({{number: o.error.split()[1] for number, o in found.items() if o.error}})
del found[3], tasks[3]
assert_same(found, outcomes(Serial(), work, tasks))
import ray
print(ray.is_initialized())
for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:port"):
    with contextlib.suppress(ParameterError), RayCluster(address).open(work):
        print("found a cluster at", address)
"""


@pytest.mark.slow
def test_a_cluster_of_its_own_starts_and_ends_with_the_session(tmp_path):
    """In a process of its own; the classifier is one that the script defines, and no guard is needed."""
    pytest.importorskip("ray", reason="the extra hybridcert[ray] is not installed")
    path = tmp_path / "script_of_a_user.py"
    path.write_text(SCRIPT.format(tests=str(TESTS)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["{3: 'died'}", "False", ""]


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ParameterError, match=r"pip install 'hybridcert\[ray\]'"),
        RayCluster().open(work_of(Sign())),
    ):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers must be an integer >= 1, got 0"),
        ({"num_gpus": -0.5}, "num_gpus must be a finite number >= 0, got -0.5"),
        ({"num_gpus": True}, "num_gpus must be a finite number >= 0, got True"),
        ({"timeout": -1.0}, "timeout must be a finite number of seconds > 0, or None, got -1.0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        RayCluster(**options)


def test_the_executor_is_a_description():
    executor = RayCluster("auto", workers=3)
    assert pickle.loads(pickle.dumps(executor)) == executor
