import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample

from pic_plugin.models import CosineClsHead


def test_logits_are_cosines_over_tau():
    torch.manual_seed(0)
    head = CosineClsHead(num_classes=5, in_channels=7, temperature=0.03)
    head.init_weights()
    features = torch.randn(4, 7)
    logits = head((torch.randn(4, 3), features))
    for i in range(4):
        for j in range(5):
            cosine = F.cosine_similarity(features[i], head.fc.weight[j], dim=0)
            assert logits[i, j].item() == pytest.approx(cosine.item() / 0.03, abs=1e-4)
    assert [name for name, _ in head.named_parameters()] == ['fc.weight']
    assert head.fc.weight.std().item() == pytest.approx(0.01, rel=0.5)


def test_loss_is_the_cross_entropy_of_them():
    torch.manual_seed(0)
    head = CosineClsHead(num_classes=5, in_channels=7, temperature=0.1)
    features, labels = torch.randn(4, 7), [3, 0, 4, 4]
    loss = head.loss((features, ), [DataSample().set_gt_label(label) for label in labels])['loss']
    assert torch.allclose(loss, F.cross_entropy(head((features, )), torch.tensor(labels)))
    predicted = head.predict((features, ))
    assert [int(sample.pred_label) for sample in predicted] == head((features, )).argmax(1).tolist()


def test_lengths_do_not_matter():
    head = CosineClsHead(num_classes=3, in_channels=4)
    features = torch.randn(2, 4)
    before = head((features, ))
    with torch.no_grad():
        head.fc.weight *= torch.tensor([[0.1], [1.0], [30.0]])
    assert torch.allclose(head((7 * features, )), before, atol=1e-4)


def test_full_precision_under_autocast():
    head = CosineClsHead(num_classes=3, in_channels=4)
    features = torch.randn(2, 4)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(head((features, )), head((features, )).float())
        assert head((features.bfloat16(), )).dtype == torch.float32


@pytest.mark.parametrize('temperature', [0, -0.1])
def test_temperature(temperature):
    with pytest.raises(ValueError, match=f'temperature must be positive, got {temperature}'):
        CosineClsHead(num_classes=3, in_channels=4, temperature=temperature)
