"""The algorithm and its head."""
from .cosine_instance_head import CosineInstanceHead
from .pic import PIC

__all__ = ['PIC', 'CosineInstanceHead']
