"""Settings chosen from the images and the machine."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.commands.settings import BACKBONES, Images, Machine, choose_settings

CPU, GPUS = Machine(0, 0, 2), Machine(8, 80 << 30, 128)


def values(settings):
    return {name: setting.value for name, setting in settings.items()}


@pytest.mark.parametrize('count, batch, window, stride, negatives, temperature', [
    (1_281_167, 512, 131_072, 16_384, 65_536, 0.2),  # PIC, Appendix C
    (45_804, 128, 4_096, 512, 2_048, 0.1),
    (12_000, 128, 2_048, 256, 1_024, 0.1),
    (1_437, 128, 1_024, 128, 512, 0.1),
    (1_000, 64, 512, 64, 256, 0.1),
])
def test_what_was_measured_is_chosen(count, batch, window, stride, negatives, temperature):
    chosen = values(choose_settings(Images(count, 375, False), GPUS))
    assert (chosen['batch_size'], chosen['window_size'], chosen['window_stride'], chosen['num_negatives']) == \
        (batch, window, stride, negatives)
    assert (chosen['learning_rate'], chosen['temperature']) == (0.06, temperature)


def test_imagenet_on_8_gpus_is_the_papers_setting():
    chosen = values(choose_settings(Images(1_281_167, 375, False), GPUS))
    assert (chosen['backbone'], chosen['size'], chosen['visits'], chosen['warmup_visits']) == ('resnet50', 224, 200, 5)
    assert not chosen['batch_norm_in_neck'] and chosen['workers'] == 16


def test_going_on_from_a_network():
    images = Images(1_281_167, 375, False)
    plain, on = (choose_settings(images, GPUS, **start) for start in ({}, dict(start='resnet50')))
    changed = {name for name in on if on[name].value != (plain[name].value if name in plain else None)}
    assert changed == {'network_lr', 'batch_norm_in_neck'}
    assert on['network_lr'].value == 1e-4 and on['batch_norm_in_neck'].value
    assert 'its weights are what training starts from' in on['backbone'].reason
    with pytest.raises(ValueError, match="give backbone, or a network to go on from, and not both: got .small. and v"):
        choose_settings(images, GPUS, backbone='small', start='vit')


@given(st.integers(16, 10**9), st.integers(8, 4000), st.booleans(), st.sampled_from([0, 1, 2, 8]),
       st.integers(1, 256), st.one_of(st.none(), st.floats(0.1, 1e6)))
def test_they_fit_together(count, side, grey, num_gpus, cores, speed):
    if count < 4 * num_gpus:
        return
    chosen = values(choose_settings(Images(count, side, grey), Machine(num_gpus, 16 << 30, cores),
                                    views_per_second=speed))
    batch, window = chosen['batch_size'], chosen['window_size']
    assert 2 * batch <= count and batch % max(1, num_gpus) == 0 and batch >= 2 * max(1, num_gpus)
    assert batch <= chosen['num_negatives'] <= count
    assert batch <= window <= count and 0 < chosen['window_stride'] <= window
    assert 0 <= chosen['warmup_visits'] < chosen['visits'] and chosen['visits'] <= 200
    assert 16 <= chosen['size'] <= 224 and chosen['backbone'] in BACKBONES
    assert chosen['workers'] >= 0


def test_every_setting_has_its_reason():
    for machine in (CPU, GPUS):
        assert all(setting.reason for setting in choose_settings(Images(1000, 300, False), machine).values())


def test_what_the_user_chose_is_kept():
    images = Images(50_000, 300, False)
    chosen = values(choose_settings(images, CPU, batch_size=64, size=160, backbone='resnet34', visits=7))
    assert (chosen['batch_size'], chosen['size'], chosen['backbone'], chosen['visits']) == (64, 160, 'resnet34', 7)
    assert chosen['num_negatives'] == 4096  # half a window of 8192


@pytest.mark.parametrize('visits, stride', [(1, 4096), (3, 1365), (8, 512), (200, 512)])
def test_all_images_are_visited(visits, stride):
    """A window that moves by an eighth of itself needs eight epochs to have been everywhere."""
    chosen = values(choose_settings(Images(45_804, 28, True), CPU, visits=visits))
    assert (chosen['window_size'], chosen['window_stride']) == (4096, stride)
    assert visits * chosen['window_stride'] / chosen['window_size'] > 0.99


def test_time_becomes_visits():
    images = Images(10_000, 300, False)
    assert values(choose_settings(images, CPU, hours=2, views_per_second=50))['visits'] == 36
    assert values(choose_settings(images, CPU, views_per_second=50))['visits'] == 18  # an hour
    assert values(choose_settings(images, CPU, views_per_second=1))['visits'] == 10
    assert values(choose_settings(images, GPUS, views_per_second=5000))['visits'] == 200


def test_a_small_gpu_takes_smaller_batches():
    chosen = values(choose_settings(Images(10**6, 375, False), Machine(1, 12 << 30, 8)))
    assert chosen['batch_size'] == 64 and chosen['learning_rate'] == pytest.approx(0.06 * 64 / 512)


@pytest.mark.parametrize('count, options, message', [
    (1, {}, 'there must be at least 16 images to learn from, got 1'),
    (15, {}, 'at least 16 images'),
    (100, dict(batch_size=64), r'100 are fewer than 2 x 64; batch_size may be 50 at most'),
    (100, dict(batch_size=0), 'batch_size must be positive'),
    (100, dict(batch_size=2.5), 'batch_size must be a whole number'),
    (100, dict(visits=-1), 'visits must be positive'),
    (100, dict(visits=3, hours=2), 'give visits or hours'),
    (100, dict(backbone='vgg'), "backbone must be one of small, resnet18, .* got 'vgg'"),
])
def test_what_cannot_be(count, options, message):
    with pytest.raises(ValueError, match=message):
        choose_settings(Images(count, 300, False), CPU, **options)


def test_gpus_share_out_a_batch():
    with pytest.raises(ValueError, match='must be a multiple of their number, 8; got 100'):
        choose_settings(Images(1000, 300, False), GPUS, batch_size=100)
