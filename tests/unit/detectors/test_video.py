import pytest
import torch

from small_video import DENSE, TWO_STAGE, film, video_model, with_motion
from tinyscope.detectors.build import build
from tinyscope.detectors.chain import chained
from tinyscope.errors import SettingsError
from tinyscope.types import Target

SIZE = (64, 96)
OBJECT = Target(torch.tensor([[4.0, 20, 16, 32]]), torch.tensor([0]), torch.tensor([False]))
SSPNET = {**DENSE, "neck": {"name": "sspnet", "channels": 16, "coarsest": 64}}
SSPNET |= {"backbone": {**DENSE["backbone"], "strides": [4, 8, 16, 32]}}


def detector(inner=DENSE, **options):
    torch.manual_seed(0)
    return with_motion(build(video_model(inner, **options), classes=2))


def levels(outputs):
    return outputs.pyramid.levels


def assert_levels_equal(found, expected):
    for one, other in zip(levels(found), levels(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inner", [DENSE, TWO_STAGE, SSPNET], ids=["dense", "two stages", "sspnet"])
def test_every_part_learns_from_clips(inner):
    model = detector(inner).train()
    frames = film(5)
    outputs = model(frames[[0, 3, 1, 2, 4]], (1, 2), (SIZE, (50, 90)))
    losses = model.loss(outputs, (OBJECT, OBJECT), (SIZE, (50, 90)))
    sum(losses.values()).backward()
    for part in (model.motion, model.aggregator, model.detector.backbone, model.detector.neck):
        touched = [p.grad is not None and bool(p.grad.any()) for p in part.parameters()]
        assert any(touched), type(part).__name__
    assert {name.partition(".")[0] for name in model.state_dict()} == {
        "detector",
        "motion",
        "aggregator",
    }


@torch.no_grad()
@pytest.mark.parametrize("warp_embedding", [False, True])
@pytest.mark.parametrize("sum_key", [False, True])
def test_clips_of_a_batch_do_not_see_each_other(sum_key, warp_embedding):
    aggregator = {"name": "embedding", "warp_embedding": warp_embedding}
    model = detector(sum_key=sum_key, aggregator=aggregator)
    frames = film(6)
    together = model(frames[[0, 4, 1, 2, 5]], (2, 1))
    first = model(frames[[0, 1, 2]], (2,))
    second = model(frames[[4, 5]], (1,))
    for level, one, other in zip(levels(together), levels(first), levels(second), strict=True):
        torch.testing.assert_close(level, torch.cat([one, other]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_references_are_as_large_as_their_own_key_frame():
    model = detector()
    frames = film(4)
    together = model(frames[[0, 2, 1, 3]], (1, 1), (SIZE, (40, 56)))
    first = model(frames[[0, 1]], (1,), (SIZE,))
    second = model(frames[[2, 3]], (1,), ((40, 56),))
    for level, one, other in zip(levels(together), levels(first), levels(second), strict=True):
        torch.testing.assert_close(level, torch.cat([one, other]), rtol=1e-4, atol=1e-5)
    whole = model(frames[[2, 3]], (1,), (SIZE,))
    assert not torch.allclose(levels(second)[0], levels(whole)[0])


@torch.no_grad()
def test_an_image_without_references_is_its_own():
    model = detector()
    frames = film(2)
    assert_levels_equal(model(frames), model(frames[[0, 1, 0, 1]], (1, 1)))


@torch.no_grad()
@pytest.mark.parametrize("exact_warp", [False, True])
@pytest.mark.parametrize("warp_embedding", [False, True])
def test_a_window_of_one_other_frame_is_a_clip_that_sums_its_key(warp_embedding, exact_warp):
    aggregator = {"name": "embedding", "warp_embedding": warp_embedding}
    model = detector(sum_key=True, exact_warp=exact_warp, aggregator=aggregator)
    frames = film(3)
    seen = [model.see(frame[None], [SIZE]) for frame in frames]
    clip = model(frames[[1, 0, 2]], (2,))
    assert_levels_equal(model.judge(seen[1], seen, slot=1), clip)
    assert_levels_equal(model.judge(seen[1], [seen[0], seen[2]], slot=None), clip)
    assert_levels_equal(model.judge(seen[1], [seen[0], seen[0], seen[2]], slot=1), clip)
    twice = model(frames[[1, 0, 0, 2]], (3,))
    assert_levels_equal(model.judge(seen[1], [seen[0], seen[0], *seen[1:]], slot=2), twice)


@torch.no_grad()
def test_chunks_of_pairs_change_nothing(monkeypatch):
    model = detector()
    seen = [model.see(frame[None], [SIZE]) for frame in film(5)]
    whole = model.judge(seen[2], seen, slot=2)
    monkeypatch.setattr("tinyscope.detectors.video._NUMBERS_AT_ONCE", 1)
    assert_levels_equal(model.judge(seen[2], seen, slot=2), whole)
    monkeypatch.setattr("tinyscope.detectors.video._PIXELS_AT_ONCE", 1)
    assert_levels_equal(model.judge(seen[2], seen, slot=2), whole)


@torch.no_grad()
def test_tiles_of_a_frame_see_the_same_place_of_others():
    model = detector()
    frames = film(3)
    tiles = frames.unflatten(3, (2, 48)).permute(0, 3, 1, 2, 4)  # (t, 2, 3, h, 48)
    size = (64, 48)
    together = [model.see(pair, [size] * 2) for pair in tiles]
    found = model.judge(together[1], together, slot=1)
    for side in range(2):
        alone = [model.see(pair[side : side + 1], [size]) for pair in tiles]
        single = model.judge(alone[1], alone, slot=1)
        for level, one in zip(levels(found), levels(single), strict=True):
            torch.testing.assert_close(level[side : side + 1], one, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_chained_flow_to_neighbors_is_flow_to_them():
    model = detector()
    seen = [model.see(frame[None], [SIZE]) for frame in film(3)]
    direct = model.judge(seen[1], seen, slot=1)
    model.chain = True
    assert_levels_equal(model.judge(seen[1], seen, slot=1), direct)


@torch.no_grad()
def test_a_chain_asks_for_flow_of_neighbors_once(monkeypatch):
    model = detector(chain=True)
    seen = [model.see(frame[None], [SIZE]) for frame in film(7)]
    asked, step = [], model._step

    def counting(key, other):
        asked.append((seen.index(key), seen.index(other)))
        return step(key, other)

    monkeypatch.setattr(model, "_step", counting)
    model.judge(seen[2], seen[:5], slot=2)
    assert asked == [(2, 1), (1, 0), (2, 3), (3, 4)]
    model.judge(seen[3], seen[1:6], slot=2)
    assert asked[4:] == [(3, 2), (4, 5)]
    model.judge(seen[0], [seen[0]] * 5, slot=2)
    assert len(asked) == 6, "a frame has no flow to itself"


@torch.no_grad()
def test_a_chain_of_shifts_is_their_sum():
    model = detector(chain=True)
    seen = [model.see(frame[None], [SIZE]) for frame in film(5)]
    shift = torch.tensor([1.0, -0.5]).view(1, 2, 1, 1).expand(1, 2, 8, 12)
    flows = chained(seen[1], seen, 1, lambda key, other: shift * (1 if other in seen[2:] else -1))
    inside = (slice(None), slice(None), slice(3, 5), slice(3, 6))  # never beyond the border
    for number, steps in ((0, -1), (2, 1), (3, 2), (4, 3)):
        torch.testing.assert_close(flows[seen[number]][inside], steps * shift[inside])


@torch.no_grad()
def test_what_lies_in_the_padding_moves_nothing():
    model = detector()
    frames = film(2)
    other = frames.clone()
    other[:, :, 50:] = 255
    motion = model.motion
    prepared = [motion.prepare(x.float(), [(50, 96)] * 2) for x in (frames, other)]
    torch.testing.assert_close(*prepared, rtol=0, atol=0)


def test_a_video_detector_in_a_video_detector_is_refused():
    with pytest.raises(SettingsError, match=r"model\.detector\.name: no detector of images"):
        build(video_model(video_model()), classes=1)
    with pytest.raises(SettingsError, match=r"model\.motion: must be given"):
        build({k: v for k, v in video_model().items() if k != "motion"}, classes=1)
