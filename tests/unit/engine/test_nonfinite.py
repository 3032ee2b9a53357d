import json
import math

import pytest
from standin import batches

from tinyscope.engine.nonfinite import refuse
from tinyscope.errors import TrainingError


def test_a_loss_of_another_process_is_not_blamed_on_own_images(tmp_path):
    share = batches(0, 1, 1, 2)
    own, over_all = [{"box": 0.5}], {"box": math.nan}
    with pytest.raises(TrainingError, match=r"step 3: box is not finite in another process"):
        refuse(tmp_path, 3, 1, share, own, over_all, math.nan)
    assert not list(tmp_path.iterdir())


def test_a_process_names_its_own_loss_and_files(tmp_path):
    share = batches(0, 1, 1, 2)
    own = [{"classification": 0.1, "box": math.inf}]
    with pytest.raises(TrainingError, match=r"step 3: box is inf; .*nonfinite-1\.json"):
        refuse(tmp_path, 3, 1, share, own, {"classification": 0.1, "box": math.inf}, 1.0)
    record = json.loads((tmp_path / "nonfinite-1.json").read_text())
    assert record["files"] == ["2.png", "3.png"]


def test_finite_losses_everywhere_leave_the_gradient_to_blame(tmp_path):
    own = [{"box": 0.5}]
    with pytest.raises(TrainingError, match="step 3: gradient_norm is nan"):
        refuse(tmp_path, 3, 0, batches(0, 1, 0, 2), own, {"box": 0.5}, math.nan)
