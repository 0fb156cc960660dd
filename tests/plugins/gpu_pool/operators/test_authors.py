"""What a DAG author writes, as Airflow reads it."""

from datetime import timedelta

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException

from gpu_pool.operators.acquire import AcquireGpu, gpu_lease
from gpu_pool.operators.asking import Asking, ask_of
from gpu_pool.operators.holding import LONGEST_KEY, key
from include.pool.ask import Ask


def test_the_decorator_is_found_by_airflow():
    with DAG("d") as dag:

        @task.gpu(memory="20GiB", priority=7, retries=3)
        def work(n: int) -> int:
            return n

        work(3)
    (made,) = dag.tasks
    assert made.operator_name == "@task.gpu"
    assert made.retries == 3
    assert made.asking == {"memory": "20GiB", "priority": 7}


def test_arguments_are_an_ask():
    asking = Asking(gpus=2, models=["H100-80GB"], labels={"zone": "a"}, duration=timedelta(minutes=5), grace=10, team="vision")
    expected = Ask(gpus=2, models=("H100-80GB",), labels=(("zone", "a"),), duration_s=300.0, grace_s=10.0, team="vision")
    assert ask_of(asking, "here") == expected
    assert ask_of(Asking(memory="1GiB", models="H100-80GB"), "here").models == ("H100-80GB",)


def test_a_mistake_shows_when_the_file_is_read():
    with DAG("d"):
        with pytest.raises(AirflowFailException, match=r"AcquireGpu a\.memory: is 'lots'"):
            AcquireGpu(task_id="a", memory="lots")

        @task.gpu(gpus=1, memory="20GiB")
        def work() -> None: ...

        with pytest.raises(AirflowFailException, match="exactly one way"):
            work()


def test_what_a_template_will_say_is_not_judged_before():
    with DAG("d"):
        assert AcquireGpu(task_id="a", memory="{{ params.memory }}").asking["memory"] == "{{ params.memory }}"


def test_an_asynchronous_function_is_refused():
    with DAG("d"):

        @task.gpu(gpus=1)
        async def work() -> None: ...

        with pytest.raises(AirflowFailException, match="Write a plain function"):
            work()


def test_tasks_inside_run_between_setup_and_teardown():
    with DAG("d") as dag:

        @task
        def first(lease: object) -> None: ...

        @task
        def second() -> None: ...

        with gpu_lease("card", fraction=0.5) as lease:
            first(lease) >> second()
    upstream = {made.task_id: made.upstream_task_ids for made in dag.tasks}
    assert upstream == {"acquire_card": set(), "first": {"acquire_card"}, "second": {"first"}, "release_card": {"acquire_card", "second"}}
    assert dag.get_task("acquire_card").is_setup and dag.get_task("release_card").is_teardown


def test_a_lease_around_tasks_is_for_an_hour_and_nobody_takes_it_unless_the_author_says_so():
    with DAG("d"):
        made = AcquireGpu(task_id="a", gpus=1)
        assert made.asking["preemptible"] is False and made.asking["duration"] == 3600
        assert AcquireGpu(task_id="b", gpus=1, preemptible=True).asking["preemptible"] is True


def test_keys_that_differ_stay_different_however_long():
    keys = {key("d" * 250, "r" * 250, "t" * 250, number) for number in range(3)}
    assert len(keys) == 3 and all(len(one) == LONGEST_KEY for one in keys)
    assert key("d", "r", "t") == "d/r/t/-1"
