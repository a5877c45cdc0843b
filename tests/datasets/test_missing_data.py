import pytest
from mmengine.config import Config

from pic_plugin.datasets import check_data, missing_data


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for path in ('coco/train', 'coco/labels/train'):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / 'coco/train.json').touch()
    monkeypatch.chdir(tmp_path)


def found(**dataset):
    return list(missing_data(Config(dict(train_dataloader=dict(dataset=dict(type='X', **dataset))))))


def test_all_there(folder):
    for dataset in (dict(data_root='coco'), dict(data_root='coco', ann_file='', data_prefix=''), dict(),
                    dict(data_root='coco', ann_file='train.json', data_prefix=dict(img='train/', seg='labels/train')),
                    dict(ann_file='coco/train.json'), dict(data_root=['coco/train', 'coco/labels']),
                    dict(datasets=[dict(data_root='coco'), dict(data_root='coco', data_prefix='train')])):
        assert found(**dataset) == []
    check_data(Config(dict(train_dataloader=dict(dataset=dict(data_root='coco')), val_dataloader=None)))


def test_missing(folder):
    assert found(data_root='voc', ann_file='a.txt') == [
        'there is no voc: put the data set there, or set train_dataloader.dataset.data_root in --cfg-options']
    assert found(data_root='coco', ann_file='val.json', data_prefix=dict(img='val')) == [
        'there is no coco/val.json, which train_dataloader.dataset.ann_file names',
        'there is no coco/val, which train_dataloader.dataset.data_prefix.img names']
    assert found(data_root='coco', data_prefix='val') == [
        'there is no coco/val, which train_dataloader.dataset.data_prefix names']


def test_missing_of_several(folder):
    assert found(data_root=['coco', 'voc', 'coco/labels'], data_prefix='train', ann_file='train.json') == [
        'there is no voc: put the data set there, or set train_dataloader.dataset.data_root in --cfg-options',
        'there is no coco/labels/train.json, which train_dataloader.dataset.ann_file names']


def test_missing_within(folder):
    assert found(dataset=dict(datasets=[dict(data_root='coco'), dict(data_root='voc')])) == [
        'there is no voc: put the data set there, or set train_dataloader.dataset.dataset.datasets.1.data_root in '
        '--cfg-options']


def test_all_are_named(folder):
    cfg = Config({f'{split}_dataloader': dict(dataset=dict(data_root=split)) for split in ('train', 'val', 'test')})
    with pytest.raises(ValueError, match=r'there is no train: .*; there is no val: .*; there is no test: '):
        check_data(cfg)
