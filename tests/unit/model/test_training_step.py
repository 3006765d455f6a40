"""The losses of one step, held to numpy's, and how much it looks up for them."""

import gc
import re
from collections import Counter
from functools import cache
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from same_weights import assert_same_weights
from tensorflow.python.framework.kernels import get_registered_kernels_for_op
from training_specs import Rig, batches_of

from model.training.mask_groups import groups_to_train_with
from model.training.uniform_items import uniform_items


def _softmax_loss(logits, own, kept):
    """The mean over rows of -log softmax at a row's own column, among those kept."""
    exponentials = np.where(kept, np.exp(logits), 0)
    rows = np.arange(len(own))
    return np.mean(np.log(exponentials.sum(axis=1)) - logits[rows, own])


def _count_ops(graph):
    """Of a graph with the functions that it calls."""
    return Counter(re.findall(r'\bop: "(\w+)"', str(graph.as_graph_def())))


def test_both_tasks_have_the_negatives_and_the_temperature_that_the_spec_asks_for(tiny_dataset):
    """One group of masks, and no value dropped: the first views show the topic alone, the second ones all else."""
    keys = ["ssl.alpha=0.5", "ssl.temperature=0.25", "ssl.exclude_identical=true", "ssl.dropout_rate=0"]
    keys += ["ssl.batch_size=20", "train.remove_accidental_hits=false"]
    rig = Rig(tiny_dataset, *keys)
    corpus, two_tower = rig.corpus, rig.two_tower
    drawn = next(iter(uniform_items(corpus, spec=rig.spec)))

    some = {key: tf.gather(values, drawn.ssl) for key, values in corpus.features.items()}
    shown = ({"item/topic"}, {"item/page", "item/words", "item/size"})
    first, second = (
        two_tower.encode_items({key: values if key in keys else values[:, :0] for key, values in some.items()}).numpy()
        for keys in shown
    )
    topic, number = some["item/topic"].values.numpy(), np.arange(20)
    is_twin = (topic[:, np.newaxis] == topic) & (number[:, np.newaxis] != number)
    ssl = _softmax_loss(first @ second.T / 0.25, number, ~is_twin)

    batch = next(iter(batches_of(tiny_dataset, rig.spec.train))).apart()
    item = batch.item["item/page"].values.numpy()  # pages are in the order of the corpus
    scores = two_tower.encode_queries(batch.query).numpy() @ two_tower.encode_items(batch.item).numpy().T
    logits = scores / 0.1 - np.log(corpus.train_count[item] / corpus.train_count.sum())
    main = _softmax_loss(logits, np.arange(64), np.ones((64, 64), bool))

    take_steps = rig.steps({"page": ["page", "words", "size"]})
    assert take_steps(1).numpy() == pytest.approx([main + 0.5 * ssl, main, ssl], rel=1e-5)

    looked_up = _count_ops(take_steps.func.graph)
    # Of 3 tables each is read once for queries, items and both views; Adam reads two slots of the same rows.
    assert looked_up["ResourceGather"] == 3 + 2 * 3
    # Of 2 features of queries and 3 of items, those of both views among them; the item's size is a number.
    assert looked_up["SparseSegmentMeanWithNumSegments"] == looked_up["SparseSegmentMeanGrad"] == 2 + 3
    # Two towers of two layers, and a default of each of 2 + 4 features.
    assert looked_up["ResourceApplyAdam"] == 2 * 2 * 2 + 2 + 4


def test_no_sum_of_gradients_depends_on_the_moment(tiny_dataset):
    """One of three or more begins with any that nothing else reads any more: so nothing else may read one at all."""
    graph = MessageToDict(Rig(tiny_dataset, "ssl.augmentation=rfm").steps().func.graph.as_graph_def())
    sums = 0
    for function in graph["library"]["function"]:
        reads = {node["name"]: node.get("input", []) for node in function["nodeDef"]}
        operations = {node["name"]: node["op"] for node in function["nodeDef"]}
        readers = Counter(read for found in reads.values() for read in found)
        for name, found in reads.items():
            # What is only looked at, whether it is finite, may be added up in any order.
            is_check = any(operations.get(read.partition(":")[0]) == "L2Loss" for read in found)
            if operations[name] == "AddN" and len(found) > 2 and not is_check:
                sums += 1
                assert [readers[read] for read in found] == [1] * len(found)
    assert sums == 3  # of the first layer's kernel, and the second's kernel and bias, by main items and two views


def test_what_steps_do_does_not_depend_on_how_many_a_call_takes(tiny_dataset):
    tf.config.experimental.enable_op_determinism()  # as `train` does
    found = []
    for counts in ([6], [1, 3, 2]):
        rig = Rig(tiny_dataset, "ssl.augmentation=rfm")
        take_steps = rig.steps()
        *_, losses = (take_steps(count).numpy() for count in counts)
        found.append({name: variable.numpy() for name, variable in rig.training.state().items()} | {"losses": losses})
    assert found[0]["step"] == 6
    assert_same_weights(*found)


def _threads():
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in Linux's /proc")
def test_nothing_is_read_ahead_once_nobody_takes_steps(tiny_dataset):
    rig = Rig(tiny_dataset, "ssl.alpha=0")
    gc.collect()
    before = _threads()
    gc.disable()  # it may come late, or when Python ends, which then waited for minutes
    try:
        take_steps = rig.steps()
        take_steps(1)
        assert _threads() > before
        del take_steps
        assert _threads() == before
    finally:
        gc.enable()


def test_after_a_warm_start_adam_counts_the_steps_before_it_for_rows_too(tiny_dataset):
    """Of a row without slots, at rate 0.01: in a first step 0.01 at most, not so in the 1,001st.

    Then the slots are 0.1 g and 0.001 g^2 as well, but corrected by 1 - 0.9^1001 = 1 and 1 - 0.999^1001 = 0.6327.
    """
    rig = Rig(tiny_dataset, "ssl.alpha=0")
    rig.training.learned()["dense_optimizer/0"].assign(1000)  # steps
    table = rig.two_tower.embeddings.tables["page"]
    before = table.numpy()
    rig.steps()(1)
    furthest = 0.01 * 0.6327**0.5 * 0.1 / 0.001**0.5
    assert np.abs(table.numpy() - before).max() == pytest.approx(furthest, rel=0.01)


def test_the_second_task_s_weight_goes_by_the_epochs_of_this_training(tiny_dataset):
    """Whatever steps the optimizer has behind it, as after a warm start; an epoch is 500 / 64 steps."""
    rig = Rig(tiny_dataset, "ssl.augmentation=rfm", "ssl.warmup_epochs=1")
    rig.training.learned()["dense_optimizer/0"].assign(1000)
    take_steps = rig.steps()
    for step in range(3):
        loss, main, ssl = take_steps(1).numpy()
        assert loss - main == pytest.approx(0.3 * step * 64 / 500 * ssl, abs=1e-5)


@pytest.mark.parametrize(("optimizer", "slots"), [("adam", 2), ("adagrad", 1), ("rowwise_adagrad", 1)])
def test_dense_weights_have_the_optimizer_that_rows_have(tiny_dataset, optimizer, slots):
    rig = Rig(tiny_dataset, "ssl.alpha=0", f"train.optimizer={optimizer}", "train.learnable_temperature=true")
    found = sum(name.startswith("dense_optimizer/") for name in rig.training.state())
    # Beside a slot or two for each weight it counts steps, and has its rate.
    assert found == 2 + slots * len(rig.two_tower.dense_weights())


@pytest.mark.parametrize("without", ["ssl.alpha=0", "ssl.augmentation=feature_dropout"])
def test_without_a_self_supervised_loss_no_item_is_looked_at_for_identical_ones(tiny_dataset, monkeypatch, without):
    monkeypatch.setattr("model.training.prepared_batches.fingerprints_by_feature", lambda *_: pytest.fail("they were"))
    Rig(tiny_dataset, "ssl.exclude_identical=true", without).batches()


def test_features_are_dropped_from_the_main_task_beside_ids(tiny_dataset):
    """Once all features are, each item is any other to the tower: a query's softmax is even over what is no hit."""
    keys = ["ssl.augmentation=feature_dropout", "ssl.dropout_rate=0.99999", "train.item_id_dropout=0.5", "train.logq=0"]
    rig = Rig(tiny_dataset, *keys)
    item = next(iter(batches_of(tiny_dataset, rig.spec.train))).apart().item_key.numpy()
    columns = 64 - (item[:, np.newaxis] == item).sum(axis=1) + 1  # without other examples' copies of its item
    losses = rig.steps()(1).numpy()
    assert losses[1] == pytest.approx(np.log(columns).mean(), rel=1e-5)


def test_every_operation_of_a_step_has_a_kernel_for_gpus(tiny_dataset, monkeypatch):
    """Without one TensorFlow takes what it reads to the host and back, in every step."""
    monkeypatch.setattr("model.training.processors.has_gpus", lambda: True)
    keys = ["train.precision=bfloat16", "train.weight_decay=0.1", "train.learnable_temperature=true"]
    keys += ["ssl.projection_head=8", "ssl.exclude_identical=true", "train.uniform_negatives=20"]
    rig = Rig(tiny_dataset, *keys)
    graph = rig.steps(groups_to_train_with(tiny_dataset, rig.spec.ssl)).func.graph.as_graph_def()
    nodes, called = attrgetter("node", "library")(graph)
    nodes = [*nodes, *(node for function in called.function for node in function.node_def)]
    assert {"MatMul", "ScatterNdNonAliasingAdd"} <= {node.op for node in nodes}
    assert {node.op for node in nodes if not _runs_on_a_gpu(node)} == set()


def _runs_on_a_gpu(node):
    given = {name: attr.type for name, attr in node.attr.items() if attr.type}
    return any(
        all(given[name] in types for name, types in kernel.items() if name in given)
        for kernel in _kernels_for_gpus(node.op)
    )


@cache
def _kernels_for_gpus(op):
    """Each one's types, by attribute, as TensorFlow's package has them without a GPU too.

    Those of the device DEFAULT read small numbers on the host.
    """
    return [
        {c.name: c.allowed_values.list.type for c in kernel.constraint}
        for kernel in get_registered_kernels_for_op(op).kernel
        if kernel.device_type in {"GPU", "DEFAULT"}
    ]
