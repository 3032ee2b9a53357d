import torch

from tinyscope.nn.heads.two_fc import TwoFcHead


def test_images_without_proposals_have_no_outputs():
    logits, deltas = TwoFcHead(2, classes=3, pool=2, width=4)(torch.zeros(0, 2, 2, 2))
    assert logits.shape == (0, 4)
    assert deltas.shape == (0, 3, 4)
