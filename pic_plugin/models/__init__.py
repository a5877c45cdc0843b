"""The algorithm and its head; the classifier for fine-tuning."""
from .cosine_cls_head import CosineClsHead
from .cosine_instance_head import CosineInstanceHead
from .pic import PIC

__all__ = ['PIC', 'CosineClsHead', 'CosineInstanceHead']
