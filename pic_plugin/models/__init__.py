"""The algorithm, its head and its data preprocessor; the classifier for fine-tuning."""
import pic_plugin.registry  # noqa: F401  (before the toolboxes: it has them imported quietly)

from .cosine_cls_head import CosineClsHead
from .cosine_instance_head import CosineInstanceHead, SeenBatch
from .data_preprocessor import InstanceDataPreprocessor
from .pic import PIC

__all__ = ['PIC', 'CosineClsHead', 'CosineInstanceHead', 'InstanceDataPreprocessor', 'SeenBatch']
