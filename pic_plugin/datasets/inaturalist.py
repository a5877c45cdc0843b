"""iNaturalist as it is published: images in folders, and a JSON file of annotations for each split."""
import json

from mmengine.fileio import get_text, join_path
from mmpretrain.datasets import BaseDataset

from pic_plugin.registry import DATASETS


@DATASETS.register_module()
class INaturalist(BaseDataset):
    """iNaturalist 2018 and the others with annotations in COCO's form (Van Horn et al., CVPR 2018).

    The file has ``images`` (``id``, ``file_name`` below the folder of images), ``annotations`` (``image_id``,
    ``category_id``; one for each image) and ``categories`` (``id``, ``name``).  A category's place in the order of
    their ids is its label.

    Args:
        data_root, data_prefix, ann_file, pipeline, ...: as in mmpretrain's ``BaseDataset``.

    Raises:
        ValueError: if the file is no such file or names no image, or an image does not have exactly one annotation of a
            known category.
    """

    def load_data_list(self) -> list[dict]:
        """``img_path`` and ``gt_label`` of each image, in the file's order."""
        try:
            content = json.loads(get_text(self.ann_file))
            images, annotations, categories = (content[key] for key in ('images', 'annotations', 'categories'))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{self.ann_file} must be a JSON file with images, annotations and categories, as '
                             f'train2018.json is ({type(error).__name__}: {error})') from error
        if not images:
            raise ValueError(f'{self.ann_file} must name images, and its list of them is empty')
        categories = sorted(categories, key=lambda category: category['id'])
        self._metainfo.setdefault('classes', tuple(category['name'] for category in categories))
        labels = {category['id']: label for label, category in enumerate(categories)}
        categories_of: dict[int, list[int]] = {image['id']: [] for image in images}
        for annotation in annotations:
            categories_of.setdefault(annotation['image_id'], []).append(annotation['category_id'])
        data_list = []
        for image in images:
            found = categories_of[image['id']]
            if len(found) != 1 or found[0] not in labels:
                raise ValueError(f'each image of {self.ann_file} must have one annotation, of one of its '
                                 f'{len(categories)} categories; {image["file_name"]} has {found}')
            data_list.append(dict(img_path=join_path(self.img_prefix, image['file_name']), gt_label=labels[found[0]]))
        return data_list
