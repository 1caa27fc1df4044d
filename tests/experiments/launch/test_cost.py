"""What a compiled step says of itself, and what follows for a chip."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from experiments.launch import chips, cost
from repr_jax import sharding
from tests.runs import TINY


def test_chips_have_sources_and_plausible_ratios():
    for name, chip in chips.CHIPS.items():
        assert chip.source.startswith("https://"), name
        assert 100 < chip.flops / chip.bandwidth < 1000, name  # operations a byte
        assert 2 < chip.bandwidth / chip.link < 20, name


@pytest.mark.parametrize("chip", chips.TOPOLOGIES)
def test_topologies_have_as_many_chips(chip):
    for count in (4, 8, 16, 64):
        name = chips.topology(chip, count)
        assert math.prod(map(int, name.split("x"))) == count
    assert chips.topology(chip, 6) is None


def test_bytes_sent_are_those_of_the_collectives():
    """Of arrays of 4 x 16 and 16 float32: gathered, summed, scattered and passed on."""
    mesh, axis = sharding.make_mesh(), "data"

    def talk(x):
        everything = jax.lax.all_gather(x, axis, tiled=True)  # 4 devices x 64 x 4 B
        total = jax.lax.psum(x, axis)
        part = jax.lax.psum_scatter(everything, axis, tiled=True)
        after = jax.lax.ppermute(x, axis, [(i, (i + 1) % 4) for i in range(4)])
        return total + part + after

    split = jax.shard_map(talk, mesh=mesh, in_specs=P(axis), out_specs=P(axis))
    x = jax.ShapeDtypeStruct((16, 16), jnp.float32)
    program = jax.jit(split).lower(x).compile().as_text()
    gathered, summed = 3 / 4 * 1024, 2 * 3 / 4 * 256
    scattered, passed = 3 / 4 * 1024, 256
    expected = gathered + summed + scattered + passed
    assert cost.sent_bytes(program, 4) == pytest.approx(expected)


def test_async_and_several_collectives_are_read():
    text = """
    %a = (f32[8,4]{1,0}, f32[32,4]{1,0}) all-gather-start(%x), dimensions={0}
    %b = f32[32,4]{1,0} all-gather-done(%a)
    %c = (bf16[10]{0}, f32[2,3]{1,0:T(8,128)S(1)}) all-reduce(%y, %z), to_apply=%add
    %d = f32[] add(%p, %q)
    """
    expected = 3 / 4 * 512 + 2 * 3 / 4 * (20 + 24)
    assert cost.sent_bytes(text, 4) == pytest.approx(expected)
    assert cost.sent_bytes(text, 1) == 0


def test_the_largest_batch_is_the_root_of_what_is_held():
    batches = np.array([64, 128, 192])
    held = 1e6 + 2e3 * batches + 5.0 * batches**2
    for memory in (2e6, 1e8, 1e12):
        found = cost.largest_batch(batches, held, memory, unit=8)
        of = lambda n: 1e6 + 2e3 * n + 5.0 * n**2  # noqa: E731
        assert found % 8 == 0 and of(found) <= memory < of(found + 8)
    assert cost.largest_batch(batches, held, 0.9e6, unit=8) == 0


def test_batches_grow_until_a_quarter_of_the_memory_is_held():
    def grown(refused, memory=1000.0):
        def of_times(times):
            if times >= refused:
                raise cost.RefusedError(f"{times} times the batch")
            return first._replace(held=2.0 * times)

        first = cost.Cost(flops=1.0, bytes=1.0, held=2.0, sent=0.0)
        return list(cost.of_batches(of_times, first, memory))

    assert grown(refused=math.inf) == [1, 4, 16, 64, 256]
    assert grown(refused=math.inf, memory=3.0) == [1, 4, 16]
    assert grown(refused=64) == [1, 4, 16]
    assert grown(refused=16) == [1, 2, 4]
    assert grown(refused=4) == [1, 2, 3]
    assert max(grown(refused=math.inf, memory=math.inf)) == cost.LARGEST
    with pytest.raises(cost.RefusedError, match="3 times the batch"):
        grown(refused=3)


def test_batches_grow_no_more_once_the_compiler_is_slow(monkeypatch):
    """Each takes four times as long: 1, 4, 16 and 64 s, and the next would 256."""
    now = [0.0]

    def of_times(times):
        now[0] += times / 4
        return first

    first = cost.Cost(flops=1.0, bytes=1.0, held=1.0, sent=0.0)
    monkeypatch.setattr(cost.time, "monotonic", lambda: now[0])
    assert list(cost.of_batches(of_times, first, math.inf)) == [1, 4, 16, 64, 256]


def test_a_batch_far_from_what_was_compiled_is_over_it():
    batches = [16, 64, 256]
    costs = [cost.Cost(1.0, 1.0, held=1e5 * n, sent=0.0) for n in batches]
    small = {row[0]: row[2] for row in cost.of_chips(batches, costs, 1, 1).rows}
    assert set(small.values()) == {"over 256"}  # 26 MB of 16 GB
    costs = [one._replace(held=100 * one.held) for one in costs]
    found = {row[0]: row[2] for row in cost.of_chips(batches, costs, 1, 1).rows}
    assert found["v5e"] in (1599, 1600)  # 10 MB each, of 16 GB
    assert found["v6e"] in (3199, 3200) and found["v5p"] == "over 256"


def test_rows_without_pairs_take_memory_each_by_a_line():
    batches, memory = (16, 32, 48), 1e6
    line = [1000.0 + 2 * n for n in batches]
    bent = [1000.0, 1060.0, 1064.0]  # by rounding: a parabola would turn back
    assert cost.largest_batch(batches, line, memory, unit=2) in (499_498, 499_500)
    assert 16 * memory / 64 < cost.largest_batch(batches, bent, memory, 2) < memory
    assert cost.largest_batch(batches, [5.0, 5.0, 5.0], memory, unit=2) is None


def test_a_step_is_bound_by_the_slower_of_two():
    chip = chips.Chip(flops=100.0, memory=1.0, bandwidth=10.0, link=5.0, source="")
    one = cost.Cost(flops=200.0, bytes=10.0, held=1.0, sent=5.0)
    assert cost.seconds(one, chip) == (2.0, 1.0, 1.0)
    assert cost.step_seconds(one, chip) == 3.0
    assert cost.step_seconds(one._replace(bytes=40.0), chip) == 5.0


def test_errors_are_one_line(capsys):
    assert cost.main([f"--config={TINY}", "--set=batch_size=9", "--chips=2"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


def test_a_step_that_does_not_compile_is_one_line(capsys, monkeypatch):
    said = "RESOURCE_EXHAUSTED: Ran out of memory on HBM.\nMore of it."

    def refuse(self, *_, **__):
        raise jax.errors.JaxRuntimeError(said)

    monkeypatch.setattr(jax.stages.Lowered, "compile", refuse)
    assert cost.main([f"--config={TINY}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the step of a batch of 16 on 1 devices does not ")
    assert "Ran out of memory on HBM. If" in error and error.count("\n") == 1


@pytest.mark.parametrize("text", ["batch_size", "=3", "batch_size="])
def test_a_setting_has_a_name_and_a_value(capsys, text):
    with pytest.raises(SystemExit, match="2"):
        cost.main([f"--config={TINY}", f"--set={text}"])
    assert f"expected NAME=VALUE; got {text!r}" in capsys.readouterr().err


def test_a_setting_that_is_no_value_is_text(capsys):
    assert cost.setting("a.widths=(1, 2)") == ("a.widths", (1, 2))
    assert cost.setting("dtype=bfloat16") == ("dtype", "bfloat16")
    assert cost.main([f"--config={TINY}", "--set=batch_size=("]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


def test_of_a_step_reads_the_compiled_program():
    """Twice the batch is twice the work; two devices halve it, and talk."""
    from repr_jax import config as configs

    def of(batch, count):
        config = configs.load(f"{TINY}:simclr", {"batch_size": batch})
        return cost.of_step(config, jax.devices()[:count])

    one, double, split = of(8, 1), of(16, 1), of(16, 2)
    assert one.sent == double.sent == 0 and split.sent > 0
    assert 1.5 < double.flops / one.flops < 2.5
    assert split.flops == pytest.approx(double.flops / 2, rel=0.2)
    assert double.held > one.held > 0
    config = configs.load(f"{TINY}:simclr", {"batch_size": 16})
    assert cost.of_step(config, jax.devices()[:1], times=2) == double  # 8 rows drawn
