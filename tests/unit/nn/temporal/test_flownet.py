import pytest
import torch
from safetensors.torch import save_file

from tinyscope.errors import CheckpointError
from tinyscope.nn.temporal import MOTIONS
from tinyscope.nn.temporal.flownet import FlowNetSimple, published_names


def moving(**options):
    """A small net that does not start at no motion."""
    net = FlowNetSimple(width=4, **options)
    torch.nn.init.normal_(net.predictors[-1].weight)
    return net


def test_the_published_net_has_its_parameters():
    with torch.device("meta"):
        net = FlowNetSimple()
    assert sum(p.numel() for p in net.parameters()) == 38_675_536
    assert len(set(published_names(net).values())) == len(net.state_dict()) == 33


@pytest.mark.parametrize(("scale", "divisor"), [(0.5, 8), (1.0, 4), (0.75, 16), (0.25, 16)])
def test_flow_has_the_size_of_the_padded_images(scale, divisor):
    net = moving(scale=scale)
    assert net.divisor == divisor
    for height, width in [(divisor, 3 * divisor), (48, 80)]:
        frames = net.prepare(torch.rand(2, 3, height, width) * 255, [(height, width)] * 2)
        assert net(frames[:1], frames[1:]).shape == (1, 2, height, width)


def test_a_fresh_net_sees_no_motion_and_learns_all_the_same():
    net = MOTIONS.build({"name": "flownet", "width": 4})
    frames = net.prepare(torch.rand(2, 3, 64, 64) * 255, [(64, 64)] * 2)
    flow = net(frames[:1], frames[1:])
    assert (flow == 0).all()
    (flow - 1).square().sum().backward()
    assert net.predictors[-1].weight.grad.abs().sum() > 0


def test_beyond_the_image_there_is_the_mean_color():
    net = FlowNetSimple(width=4, scale=1.0)
    images = torch.full((2, 3, 16, 16), 255, dtype=torch.uint8)
    prepared = net.prepare(images, [(16, 16), (10, 12)])
    torch.testing.assert_close(prepared[0, :, 3, 3], 1 - net.mean[:, 0, 0])
    assert (prepared[0] != 0).all()
    assert (prepared[1, :, :10, :12] != 0).all()
    assert (prepared[1, :, 10:] == 0).all()
    assert (prepared[1, :, :, 12:] == 0).all()


def test_what_is_made_once_per_frame_gives_the_flow_of_the_pair():
    net = moving()
    frames = net.prepare(torch.rand(3, 3, 64, 96) * 255, [(60, 90)] * 3)
    pairs = torch.cat([frames[[0, 0]], frames[1:]], dim=1)
    whole = torch.nn.functional.conv2d(
        pairs, net.encoder[0][0].weight, net.encoder[0][0].bias, 2, 3
    )
    torch.testing.assert_close(net.as_key(frames[:1]) + net.as_other(frames[1:]), whole)
    flow = net.enlarge(net.predict(net.as_key(frames[:1]) + net.as_other(frames[1:]))[-1])
    torch.testing.assert_close(flow, net(frames[[0, 0]], frames[1:]))


def test_order_of_a_pair_matters():
    net = moving()
    frames = net.prepare(torch.rand(2, 3, 64, 64) * 255, [(64, 64)] * 2)
    assert not torch.allclose(net(frames[:1], frames[1:]), net(frames[1:], frames[:1]))


@pytest.mark.parametrize("form", ["published", "ours", "of a run", "of a published detector"])
def test_weights_come_back(form, tmp_path):
    net = moving()
    own = net.state_dict()
    content = {
        "published": {published_names(net)[name]: value for name, value in own.items()},
        "ours": own,
        "of a run": {f"model/motion.{name}": value for name, value in own.items()}
        | {"model/detector.head.weight": torch.rand(3)},
        "of a published detector": {
            f"motion.{published_names(net)[name]}": value for name, value in own.items()
        }
        | {"detector.neck.weight": torch.rand(3)},
    }[form]
    save_file(content, tmp_path / "flow.safetensors")
    read = FlowNetSimple(width=4, weights=tmp_path / "flow.safetensors")
    assert all(torch.equal(value, own[name]) for name, value in read.state_dict().items())


def test_weights_of_another_width_are_refused(tmp_path):
    save_file(moving().state_dict(), tmp_path / "flow.safetensors")
    with pytest.raises(CheckpointError, match="of another model"):
        FlowNetSimple(width=8, weights=tmp_path / "flow.safetensors")
