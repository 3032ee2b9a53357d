import torch
from torch import nn

from tinyscope.engine.ema import WeightAverage


def test_the_average_follows_its_formula_from_the_first_update():
    net = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        net.weight.fill_(1.0)
    average = WeightAverage(net, decay=0.5)
    expected = 1.0
    for update, value in enumerate([2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0]):
        with torch.no_grad():
            net.weight.fill_(value)
        average.update(update)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(average.model.weight.item(), expected)


def test_statistics_are_averaged_counters_copied_and_nothing_learns():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    average = WeightAverage(net, decay=0.9)
    net(torch.randn(2, 3, 4, 4) + 5)
    average.update(0)
    assert average.model[1].num_batches_tracked == 1
    torch.testing.assert_close(average.model[1].running_mean, 0.9 * net[1].running_mean)
    assert not average.model.training
    assert not any(p.requires_grad for p in average.model.parameters())


def test_the_trained_model_is_left_as_it_is():
    net = nn.Linear(2, 2)
    before = net.weight.detach().clone()
    average = WeightAverage(net, decay=0.9)
    average.update(0)
    assert torch.equal(net.weight, before)
    assert torch.equal(average.model.weight, before)
